"""Sending payouts: one step at a time, each committed before the next, so that a crash anywhere
leaves a row that says what may have happened."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import UTC, timedelta
from decimal import Decimal
from typing import Any

from django.db import transaction
from django.db.models import Max

from kauri.account.selectors import require_permission, require_scope
from kauri.common import clock
from kauri.common.actor import Actor
from kauri.common.errors import KauriError
from kauri.common.locks import claim, lock
from kauri.common.money import plain
from kauri.core.audit import audit
from kauri.core.models import Currency, Provider
from kauri.core.outbox import emit
from kauri.payment_provider import coins, routing, scanning, sending
from kauri.payment_provider.gateway import ConfigError, GatewayError, PayoutState, PayoutStatus
from kauri.payment_provider.models import Channel, Payout, ProviderBalanceSnapshot
from kauri.payment_provider.sending import Outcome as Outcome


def payout_create(
    *, order_id: uuid.UUID | None, provider: Provider, currency: Currency, amount: Decimal, destination: str
) -> Payout:
    """The intent, written in the caller's transaction; nothing is sent yet. Our own money has no order."""
    return Payout.objects.create(
        order_id=order_id,
        provider=provider,
        currency=currency,
        amount=amount,
        destination=destination,
    )


def payout_claim(payout_id: int) -> Payout | None:
    """Take a due payout for :data:`sending.LEASE`; None when it is not due, final, or in other hands."""
    return sending.claim_row(Payout, payout_id)


def payout_companions(payout: Payout) -> list[Payout]:
    """Take other new payouts that the claimed one's transaction can pay too, for :data:`sending.LEASE`.

    None where the provider makes one transaction a payout. The caller keeps those it lets go.
    """
    if payout.state != Payout.State.NEW or payout.order_id is None or not payout.provider.is_enabled:
        return []
    try:
        room = routing.gateway_for(payout.provider).batch_size - 1
    except ConfigError:
        return []  # the payout's own step says so
    if room < 1:
        return []
    with transaction.atomic():
        now = clock.now()
        rows: list[Payout] = claim(
            Payout.objects.select_related("provider", "currency")
            .filter(
                provider=payout.provider,
                currency=payout.currency,
                state=Payout.State.NEW,
                order_id__isnull=False,
                next_attempt_at__lte=now,
            )
            .exclude(lease_until__gt=now)
            .order_by("pk"),
            room,
        )
        for row in rows:
            row.attempts += 1
            row.lease_until = now + sending.LEASE
            row.save(update_fields=["attempts", "lease_until"])
    admitted = [row for row in rows if payout_admit(row, beside=True) is None]
    held_back = [row.pk for row in rows if row not in admitted]
    if held_back:
        Payout.objects.filter(pk__in=held_back, state=Payout.State.NEW).update(lease_until=None)
    return admitted


def payout_step(payout: Payout, beside: Sequence[Payout] = ()) -> Outcome:
    """Do the next thing for a claimed payout; network here, and no transaction around it.

    ``beside``: claimed payouts that the same transaction may pay. Those it does not are let go.
    """
    try:
        return sending.step(payout, beside)
    finally:
        Payout.objects.filter(pk__in=[one.pk for one in beside], state=Payout.State.NEW).update(
            lease_until=None
        )


def payout_record(payout: Payout, outcome: Outcome) -> Payout:
    """Write what a step found out, in the caller's transaction; the row is locked and re-read.

    A final row is never changed again: a late or doubled step finds it final and leaves it.
    """
    row = lock(Payout.objects.select_related("currency", "provider").filter(pk=payout.pk)).get()
    if outcome.unsent_only and row.state != Payout.State.NEW:
        return row
    if row.state in Payout.OPEN_STATES:
        if sending.record(row, outcome):
            _tell_unknown(row, outcome.reason)
        row.save()
    return row


def payout_admit(payout: Payout, *, beside: bool = False) -> Outcome | None:
    """Let a claimed payout through its channel: None when it may go, else why and until when it waits.

    One at a time per channel, so that two workers can't both use the last of a day's cap. ``beside``:
    it goes with another's transaction, and the pace is that one's.
    """
    if payout.state != Payout.State.NEW:
        return None
    with transaction.atomic():
        channel = lock(Channel.objects.filter(provider=payout.provider, currency=payout.currency)).first()
        if channel is None:
            return None
        if not channel.is_enabled:
            return sending.waiting("the channel is switched off")
        now = clock.now()
        opening = channel.next_opening(now)
        if opening > now:
            return sending.waiting("outside of the channel's hours", opening)
        midnight = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        if payout.admitted_at is not None and payout.admitted_at >= midnight:
            return None
        if channel.pace_seconds and not beside:
            last = (
                Payout.objects.filter(provider=payout.provider, currency=payout.currency)
                .exclude(pk=payout.pk)
                .aggregate(last=Max("admitted_at"))["last"]
            )
            following = last and last + timedelta(seconds=channel.pace_seconds)
            if following and following > now:
                return sending.waiting("the channel's pace", following)
        if channel.daily_cap is not None:
            spent = routing.spent_today(channel, now, without=payout)
            if spent + payout.amount > channel.daily_cap:
                return sending.waiting("the channel's daily cap", midnight + timedelta(days=1))
        payout.admitted_at = now
        payout.save(update_fields=["admitted_at"])
    return None


def given_up(reason: str) -> Outcome:
    """Never sent, and never to be: final for a payout of which nothing was stored, nothing for any other."""
    return Outcome(PayoutStatus.FAILED, PayoutState(PayoutStatus.FAILED), reason[:300], unsent_only=True)


def can_cancel(payout: Payout) -> bool:
    """Whether its bytes may be on their way, unmined, through a provider that can take them back."""
    on_its_way = payout.state in {Payout.State.SENT, Payout.State.UNKNOWN} and not payout.confirmations
    return on_its_way and payout.cancel_asked_at is None and routing.gateway_for(payout.provider).replaces


@transaction.atomic
def payout_cancel(*, payout_id: int, actor: Actor, reason: str) -> Payout:
    """Ask for a stuck payout to be made impossible: bytes that pay nobody take its place on the chain.

    Whether they win is the chain's to say: the payout ends FAILED (all held money is released) or
    CONFIRMED. Raises ``forbidden``, ``not_found``, ``wrong_state`` (nothing is on its way, or the
    provider replaces nothing), ``validation_error`` (no reason).
    """
    require_permission(actor, "payment_provider.cancel_payout")
    if not reason.strip():
        raise KauriError("validation_error", fields={"reason": "required"})
    row = lock(Payout.objects.select_related("provider", "currency").filter(pk=payout_id)).first()
    if row is None:
        raise KauriError("not_found")
    require_scope(actor, row)
    if not can_cancel(row):
        raise KauriError("wrong_state", "this payout can't be cancelled")
    row.cancel_asked_at = row.next_attempt_at = clock.now()
    row.save(update_fields=["cancel_asked_at", "next_attempt_at"])
    audit(
        actor,
        "payout_cancel",
        object_type="payout",
        object_id=row.public_id,
        label=str(row),
        before={"cancel_asked": False},
        after={"cancel_asked": True, "transaction": row.provider_reference},
        reason=reason.strip(),
    )
    return row


@transaction.atomic
def payout_ask(*, payout_id: uuid.UUID, actor: Actor) -> Payout:
    """Have the provider asked about an open payout now, and not when its turn comes.

    Raises ``forbidden``, ``not_found``, ``wrong_state`` (it has ended).
    """
    require_permission(actor, "payment_provider.ask_payout")
    row = lock(Payout.objects.select_related("currency").filter(public_id=payout_id)).first()
    if row is None:
        raise KauriError("not_found")
    require_scope(actor, row)
    if row.state not in Payout.OPEN_STATES:
        raise KauriError("wrong_state", "this payout has ended")
    row.next_attempt_at = clock.now()
    row.save(update_fields=["next_attempt_at"])
    audit(actor, "payout_ask", object_type="payout", object_id=row.public_id, label=str(row))
    return row


def held(reason: str) -> Outcome:
    """Not sent, by our own decision: the row says why and is looked at again."""
    return sending.waiting(reason)


def told(status: PayoutStatus, answer: dict[str, Any], *, reference: str = "", reason: str = "") -> Outcome:
    """A trusted word on a payout, a callback's or two people's, as an outcome."""
    return Outcome(status, PayoutState(status, answer=answer, mined_reference=reference), reason[:300])


def due_payouts(limit: int = 100, *, own: bool = False) -> list[int]:
    """Ids of open payouts of orders, or of our ``own``, whose time has come and whom nobody holds."""
    return sending.due_ids(Payout, limit, order_id__isnull=own)


def health_check(provider_id: int) -> None:
    """Ask a provider for its health and balances, and tell operators when its health changes."""
    provider = Provider.objects.get(pk=provider_id)
    try:
        gateway = routing.gateway_for(provider)
        health = gateway.check_health()
        ok, detail = health.ok, health.detail
        balances = gateway.fetch_balances() if ok else ()
        if ok and gateway.scans:
            scanning.require_known_chain(provider, gateway)
        if ok and gateway.uses_coins:
            code = gateway.capabilities()[0].currency
            balances = (coins.proven(provider, gateway, code, cold=False),)
    except scanning.ReorgTooDeep as exc:
        ok, detail, balances = False, str(exc), ()
    except GatewayError as exc:
        ok, detail, balances = False, f"{type(exc).__name__}: {exc}", ()
    with transaction.atomic():
        row = lock(Provider.objects.filter(pk=provider_id)).get()
        before = row.health
        row.health = Provider.HealthState.OK if ok else Provider.HealthState.BAD
        row.health_detail = detail[:300]
        row.health_at = clock.now()
        # A health reading is no change of a setting: it makes no version.
        Provider.objects.filter(pk=row.pk).update(
            health=row.health, health_detail=row.health_detail, health_at=row.health_at
        )
        currencies = {currency.code: currency for currency in Currency.objects.all()}
        ProviderBalanceSnapshot.objects.bulk_create(
            ProviderBalanceSnapshot(
                provider=row, currency=currencies[balance.currency], amount=balance.amount
            )
            for balance in balances
            if balance.currency in currencies
        )
        if before != row.health and Provider.HealthState.BAD in {before, row.health}:
            emit(
                "provider.health",
                subject_type="provider",
                subject_id=uuid.uuid5(uuid.NAMESPACE_OID, f"provider:{row.pk}"),
                payload={"provider": row.title, "health": row.health, "detail": row.health_detail},
            )


def _tell_unknown(row: Payout, reason: str) -> None:
    """Say so once: operators are told when it becomes unknown, not at every look."""
    facts = {
        "provider": row.provider.title,
        "amount": plain(row.amount),
        "currency": row.currency.code,
        "reason": reason,
    }
    if row.order_id is None:
        emit(
            "sweep.unknown",
            subject_type="payout",
            subject_id=row.public_id,
            payload={"purpose": "cold", **facts},
        )
        return
    emit(
        "payout.unknown",
        subject_type="order",
        subject_id=row.order_id,
        payload={"order_id": str(row.order_id), "payout_id": str(row.public_id), **facts},
    )
