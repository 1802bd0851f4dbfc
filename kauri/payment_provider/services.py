"""Sending payouts: one step at a time, each committed before the next, so that a crash anywhere
leaves a row that says what may have happened."""

from __future__ import annotations

import logging
import uuid
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Any, Final

from django.db import transaction

from kauri.common import clock
from kauri.common.errors import KauriError
from kauri.common.locks import claim, lock
from kauri.common.money import exact, plain
from kauri.core.models import Currency, Provider
from kauri.core.outbox import emit
from kauri.payment_provider import routing, scanning
from kauri.payment_provider.gateway import (
    ConfigError,
    Gateway,
    GatewayError,
    InsufficientFloat,
    OutcomeUnknown,
    PayoutRequest,
    PayoutState,
    PayoutStatus,
    PreparedPayout,
    Rejected,
)
from kauri.payment_provider.models import NonceCounter, Payout, ProviderBalanceSnapshot

logger = logging.getLogger(__name__)

LEASE: Final = timedelta(seconds=60)
FIRST_DELAY: Final = timedelta(seconds=2)
LONGEST_DELAY: Final = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one step found out. ``final`` says whether the order can be settled by it."""

    status: PayoutStatus
    state: PayoutState
    reason: str = ""

    @property
    def final(self) -> bool:
        return self.status in {PayoutStatus.CONFIRMED, PayoutStatus.FAILED}


def payout_create(
    *, order_id: uuid.UUID, provider: Provider, currency: Currency, amount: Decimal, destination: str
) -> Payout:
    """The intent, written in the caller's transaction; nothing is sent yet."""
    return Payout.objects.create(
        order_id=order_id,
        provider=provider,
        currency=currency,
        amount=amount,
        destination=destination,
    )


def payout_claim(payout_id: int) -> Payout | None:
    """Take a due payout for :data:`LEASE`; None when it is not due, final, or in other hands."""
    with transaction.atomic():
        now = clock.now()
        rows = claim(
            Payout.objects.select_related("provider", "currency")
            .filter(pk=payout_id, state__in=Payout.OPEN_STATES, next_attempt_at__lte=now)
            .exclude(lease_until__gt=now)
        )
        if not rows:
            return None
        payout = rows[0]
        payout.attempts += 1
        payout.lease_until = now + LEASE
        payout.save(update_fields=["attempts", "lease_until"])
        return payout


def payout_step(payout: Payout) -> Outcome:
    """Do the next thing for a claimed payout; network here, and no transaction around it."""
    if payout.state in {Payout.State.NEW, Payout.State.PREPARED} and not payout.provider.is_enabled:
        return _waiting("the provider is switched off")
    try:
        gateway = routing.gateway_for(payout.provider)
        if payout.state == Payout.State.NEW:
            _prepare(payout, gateway)
        if payout.state == Payout.State.PREPARED:
            return _send(payout, gateway)
        return _look_up(payout, gateway)
    except Rejected as exc:
        # Only a refusal before anything was sent is final here: _send and _look_up sort their own.
        return Outcome(PayoutStatus.FAILED, PayoutState(PayoutStatus.FAILED), str(exc)[:300])
    except OutcomeUnknown as exc:
        return Outcome(PayoutStatus.UNKNOWN, PayoutState(PayoutStatus.UNKNOWN), str(exc)[:300])
    except (InsufficientFloat, ConfigError, GatewayError) as exc:
        return _waiting(f"{type(exc).__name__}: {exc}")


def payout_record(payout: Payout, outcome: Outcome) -> Payout:
    """Write what a step found out, in the caller's transaction; the row is locked and re-read.

    A final row is never changed again: a late or doubled step finds it final and leaves it.
    """
    row = lock(Payout.objects.select_related("currency", "provider").filter(pk=payout.pk)).get()
    if row.state not in Payout.OPEN_STATES:
        return row
    now = clock.now()
    row.lease_until = None
    row.last_error = outcome.reason
    state = outcome.state
    row.confirmations = max(row.confirmations, state.confirmations)
    if state.answer:
        row.answer = _plain_answer(state.answer)
    if outcome.status is PayoutStatus.CONFIRMED:
        row.state = Payout.State.CONFIRMED
        row.finished_at = now
        _record_cost(row, state)
    elif outcome.status is PayoutStatus.FAILED:
        row.state = Payout.State.FAILED
        row.finished_at = now
        _record_cost(row, state)
    elif outcome.status is PayoutStatus.UNKNOWN:
        _mark_unknown(row, outcome.reason)
    elif row.state in {Payout.State.PREPARED, Payout.State.UNKNOWN} and not outcome.reason:
        row.state = Payout.State.SENT
        row.sent_at = row.sent_at or now
    row.next_attempt_at = now + _delay(row)
    row.save()
    return row


def held(reason: str) -> Outcome:
    """Not sent, by our own decision: the row says why and is looked at again."""
    return _waiting(reason)


def told(status: PayoutStatus, answer: dict[str, Any]) -> Outcome:
    """A trusted callback's word on a payout, as an outcome."""
    return Outcome(status, PayoutState(status, answer=answer))


def due_payouts(limit: int = 100) -> list[int]:
    """Ids of open payouts whose time has come and whom nobody holds."""
    now = clock.now()
    return list(
        Payout.objects.filter(state__in=Payout.OPEN_STATES, next_attempt_at__lte=now)
        .exclude(lease_until__gt=now)
        .order_by("next_attempt_at")
        .values_list("pk", flat=True)[:limit]
    )


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


def _prepare(payout: Payout, gateway: Gateway) -> None:
    """Get the bytes that will be sent, and commit them with their nonce before anything is sent.

    The nonce is read first and used up only together with the stored bytes: bytes whose nonce
    another payout took meanwhile are thrown away unsent, so no nonce is skipped or shared.
    """
    address = gateway.hot_address() if gateway.uses_nonce else ""
    nonce = _peek_nonce(payout.provider, gateway, address) if gateway.uses_nonce else None
    request = _request(payout, nonce=nonce, source_address=address)
    prepared = gateway.prepare_payout(request)
    with transaction.atomic():
        row = lock(Payout.objects.filter(pk=payout.pk)).get()
        if row.state != Payout.State.NEW:
            raise OutcomeUnknown("another worker has prepared this payout")
        if nonce is not None:
            counter = lock(NonceCounter.objects.filter(provider=payout.provider, address=address)).get()
            if counter.next_nonce != nonce:
                raise GatewayError("another payout took this nonce first")
            counter.next_nonce = nonce + 1
            counter.save(update_fields=["next_nonce"])
        row.state = Payout.State.PREPARED
        row.provider_reference = prepared.provider_reference
        row.payload = prepared.payload
        row.nonce = prepared.nonce
        row.source_address = address
        row.save(update_fields=["state", "provider_reference", "payload", "nonce", "source_address"])
    for name in ("state", "provider_reference", "payload", "nonce", "source_address"):
        setattr(payout, name, getattr(row, name))


def _send(payout: Payout, gateway: Gateway) -> Outcome:
    if not gateway.resend_is_safe:
        # The row says "unknown" from before the call until the answer: a crash between them is
        # then looked up, never sent again. Whoever moves the row from "prepared" is the one who
        # sends: a worker that slept past its lease finds it moved.
        mine = Payout.objects.filter(pk=payout.pk, state=Payout.State.PREPARED).update(
            state=Payout.State.UNKNOWN, last_error="sending"
        )
        if not mine:
            return _waiting("another worker has this payout")
    try:
        state = gateway.send_payout(_request(payout), _prepared(payout))
    except (InsufficientFloat, ConfigError) as exc:
        return _not_sent(payout, f"{type(exc).__name__}: {exc}")
    except (Rejected, OutcomeUnknown):
        raise
    except GatewayError as exc:
        return _not_sent(payout, f"{type(exc).__name__}: {exc}")
    return Outcome(state.status, state)


def _not_sent(payout: Payout, reason: str) -> Outcome:
    """The provider surely has nothing: the stored bytes wait for another attempt."""
    Payout.objects.filter(pk=payout.pk, state=Payout.State.UNKNOWN, last_error="sending").update(
        state=Payout.State.PREPARED
    )
    return _waiting(reason)


def _waiting(reason: str) -> Outcome:
    """Nothing new is known; the row says why and is tried again."""
    return Outcome(PayoutStatus.PENDING, PayoutState(PayoutStatus.PENDING), reason[:300])


def _look_up(payout: Payout, gateway: Gateway) -> Outcome:
    state = gateway.fetch_payout(_request(payout), _prepared(payout))
    if state.status is PayoutStatus.NOT_FOUND:
        if gateway.resend_is_safe and not payout.provider.is_enabled:
            return _waiting("the provider is switched off")
        if gateway.resend_is_safe:
            return _send(payout, gateway)
        return Outcome(
            PayoutStatus.UNKNOWN, state, "the provider does not know this payout: a person decides"
        )
    return Outcome(state.status, state)


def _mark_unknown(row: Payout, reason: str) -> None:
    """Say so once: operators are told when it becomes unknown, not at every look."""
    if row.state == Payout.State.NEW:
        return  # nothing was stored, so nothing was sent
    row.state = Payout.State.UNKNOWN
    if row.unknown_since is None:
        row.unknown_since = clock.now()
        emit(
            "payout.unknown",
            subject_type="order",
            subject_id=row.order_id,
            payload={
                "order_id": str(row.order_id),
                "payout_id": str(row.public_id),
                "provider": row.provider.title,
                "amount": plain(row.amount),
                "currency": row.currency.code,
                "reason": reason,
            },
        )


def _record_cost(row: Payout, state: PayoutState) -> None:
    if state.cost is None or not state.cost_currency:
        return
    currency = Currency.objects.filter(code=state.cost_currency).first()
    try:
        row.cost = None if currency is None else exact(state.cost, currency.scale)
    except KauriError:
        row.cost = None
    if row.cost is None:
        # A cost that the books can't hold must not keep the payout from its end: people see it here.
        row.answer = {**row.answer, "cost_not_booked": f"{state.cost} {state.cost_currency}"}
        return
    row.cost_currency = currency


def _peek_nonce(provider: Provider, gateway: Gateway, address: str) -> int:
    counter = NonceCounter.objects.filter(provider=provider, address=address).first()
    if counter is None:
        first = gateway.next_nonce(address)
        counter, _ = NonceCounter.objects.get_or_create(
            provider=provider, address=address, defaults={"next_nonce": first}
        )
    return counter.next_nonce


def _request(payout: Payout, *, nonce: int | None = None, source_address: str = "") -> PayoutRequest:
    network = routing.network_of(payout.provider)
    return PayoutRequest(
        reference=str(payout.public_id),
        currency=payout.currency.code,
        amount=exact(payout.amount, payout.currency.scale),
        destination=payout.destination,
        nonce=payout.nonce if nonce is None else nonce,
        source_address=source_address or payout.source_address,
        min_confirmations=network.confirmations if network else 1,
    )


def _prepared(payout: Payout) -> PreparedPayout:
    return PreparedPayout(
        provider_reference=payout.provider_reference, payload=payout.payload, nonce=payout.nonce
    )


def _delay(row: Payout) -> timedelta:
    """2 s, doubling, at most 10 minutes; a sent payout is looked at every few seconds at first."""
    exponent = min(max(row.attempts - (10 if row.state == Payout.State.SENT else 0), 0), 9)
    return min(FIRST_DELAY * (1 << exponent), LONGEST_DELAY)


def _plain_answer(answer: Any) -> dict[str, str]:
    """What of a provider's answer is kept for people: plain values, bounded."""
    return {str(key)[:64]: str(value)[:300] for key, value in list(dict(answer).items())[:30]}
