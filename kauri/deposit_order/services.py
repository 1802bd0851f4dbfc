"""Money that comes in: seen, waited for, credited once; taken back from view when the chain does."""

from __future__ import annotations

import uuid
from datetime import timedelta
from decimal import Decimal
from typing import Final

from django.db import transaction
from django.db.models import QuerySet

from kauri.account.models import User
from kauri.common import clock
from kauri.common.actor import Actor, ActorKind
from kauri.common.effects import Effect, EffectKind
from kauri.common.errors import KauriError
from kauri.common.locks import lock
from kauri.common.money import exact, plain
from kauri.core.models import Currency, Provider
from kauri.core.outbox import emit
from kauri.deposit_order import postings
from kauri.deposit_order.body import deposit_object
from kauri.deposit_order.models import DepositDetail
from kauri.order_core import machine, policies
from kauri.order_core.models import Order
from kauri.order_core.states import OrderStatus, OrderType
from kauri.payment_provider import scanning
from kauri.payment_provider.gateway import Event, GatewayError, IncomingTransfer, PayoutStatus
from kauri.payment_provider.models import ChainBlock, Payin
from kauri.payment_provider.selectors import confirmations_needed
from kauri.wallet.models import DepositAddress, PaymentLink
from kauri.wallet.services import link_by_reference

CONFIRMATIONS_PATIENCE: Final = timedelta(hours=24)
#: Stretches of the chain one run reads at most; the next run goes on from the cursor.
STRETCHES: Final = 20


def provider_actor(provider: Provider) -> Actor:
    """The provider as the author of what its node or callback tells."""
    return Actor(kind=ActorKind.PROVIDER, id=str(provider.pk), label=provider.code)


def deposits_scan(provider_id: int) -> int:
    """Follow the provider's chain to its head and credit what is deep enough; returns credits."""
    provider = Provider.objects.filter(pk=provider_id, is_enabled=True).first()
    if provider is None:
        return 0
    head = None
    for _ in range(STRETCHES):
        findings = _advance(provider)
        if findings is None:
            break
        head = findings.head
        cursor = ChainBlock.objects.filter(provider=provider).first()
        if cursor is None or cursor.height >= head:
            break
    if head is None:
        return 0
    return _credit_confirmed(provider)


def deposit_credit(payin_id: int, *, actor: Actor) -> bool:
    """Credit a seen payin to its customer, once; False when there is nothing (more) to do."""
    with transaction.atomic():
        detail = DepositDetail.objects.filter(payin_id=payin_id).first()
        if detail is None:
            return False
        order = lock(_orders().filter(pk=detail.order_id)).get()
        payin = lock(Payin.objects.select_related("currency").filter(pk=payin_id)).get()
        if payin.state != Payin.State.SEEN or order.status != OrderStatus.WAITING_FOR_CONFIRMATION:
            return False
        payin.state = Payin.State.CREDITED
        payin.credited_at = clock.now()
        payin.save(update_fields=["state", "credited_at"])
        machine.transition(order, OrderStatus.CLOSED, actor=actor, body=deposit_object)
        postings.credit(order, payin, actor=actor)
    return True


def deposit_event(event: Event, provider: Provider) -> Effect:
    """A gateway's trusted word about a payin.

    Only a final success whose amount and currency match the link is credited, once a link; any other
    money waits for a person. A repeat finds the payin and changes nothing.
    """
    if event.status is not PayoutStatus.CONFIRMED:
        return Effect(EffectKind.NOTHING, f"the payin is {event.status.value}")
    currency = Currency.objects.filter(code=event.currency).first()
    if currency is None:
        raise KauriError("conflict", f"unknown currency {event.currency}")
    if event.amount <= 0:
        return Effect(EffectKind.NOTHING, "a payin of nothing")
    with transaction.atomic():
        found = link_by_reference(event.reference, provider)
        # One payin of a link at a time: the second one sees that the link is paid.
        link = (
            found and lock(PaymentLink.objects.select_related("user", "currency").filter(pk=found.pk)).get()
        )
        payin, made = Payin.objects.get_or_create(
            provider=provider,
            transaction=event.provider_reference,
            ordinal="0",
            defaults={
                "currency": currency,
                "amount": exact(event.amount, currency.scale),
                "reference": event.reference[:64],
            },
        )
        fault = _fault(payin, link) if made else ""
        if link is not None and made and not fault:
            opened = _open_order(
                payin,
                link.user,
                confirmations=0,
                callback_url=link.callback_url,
                external_id=link.external_id,
                actor=provider_actor(provider),
            )
            fault = "" if opened else "the policy refuses it"
        if fault:
            _unmatched(payin, fault)
            return Effect(EffectKind.DONE, f"the payin waits for a person: {fault}")
    # Also for a known payin: whoever made it may have died before this line.
    if deposit_credit(payin.pk, actor=provider_actor(provider)):
        return Effect(EffectKind.DONE, "credited")
    return Effect(EffectKind.REPEATED, "this payin is known")


def _fault(payin: Payin, link: PaymentLink | None) -> str:
    """Why a new payin is not credited by itself; '' when it matches its link."""
    if link is None:
        return "no payment link of ours has this reference"
    if payin.currency != link.currency or link.amount not in {None, payin.amount}:
        return "amount or currency differ from the link"
    others = Payin.objects.filter(provider=payin.provider, reference=payin.reference).exclude(pk=payin.pk)
    paid = others.filter(state__in=[Payin.State.SEEN, Payin.State.CREDITED]).exists()
    return "the link has been paid already" if paid and link.amount is not None else ""


def deposits_expire() -> int:
    """Close deposits whose confirmations did not come in 24 hours; returns how many."""
    expired = 0
    stale = _orders().filter(
        type=OrderType.DEPOSIT,
        status=OrderStatus.WAITING_FOR_CONFIRMATION,
        created_at__lt=clock.now() - CONFIRMATIONS_PATIENCE,
        deposit__payin__state=Payin.State.ORPHANED,
    )
    for pk in list(stale.values_list("pk", flat=True)[:500]):
        with transaction.atomic():
            order = lock(_orders().filter(pk=pk)).get()
            payin = lock(Payin.objects.filter(deposit=pk)).get()
            if order.status != OrderStatus.WAITING_FOR_CONFIRMATION or payin.state != Payin.State.ORPHANED:
                continue  # it moved, or came back to the chain, meanwhile
            actor = provider_actor(order.deposit.payin.provider)
            machine.transition(
                order, OrderStatus.EXPIRED, actor=actor, body=deposit_object, reason="the chain dropped it"
            )
            expired += 1
    return expired


def _advance(provider: Provider) -> scanning.Findings | None:
    try:
        return scanning.advance(provider, lambda findings: _apply(provider, findings))
    except GatewayError:
        return None  # the health check speaks of nodes that do not answer
    except scanning.ReorgTooDeep as exc:
        with transaction.atomic():
            row = lock(Provider.objects.filter(pk=provider.pk)).get()
            detail = str(exc)[:300]
            if (row.health, row.health_detail) != (Provider.HealthState.BAD, detail):
                # Told once, not at every scan; the health check keeps it bad until it is mended.
                Provider.objects.filter(pk=row.pk).update(
                    health=Provider.HealthState.BAD, health_detail=detail, health_at=clock.now()
                )
                _alarm("chain.reorg_too_deep", provider, {"detail": detail})
        return None


def _apply(provider: Provider, findings: scanning.Findings) -> None:
    if findings.orphaned_above is not None:
        _orphan(provider, findings.orphaned_above)
    wanted = {transfer.address for transfer in findings.transfers}
    ours = {
        address.address: address
        for address in DepositAddress.objects.select_related("user", "currency", "network").filter(
            provider=provider, address__in=wanted
        )
    }
    for transfer in findings.transfers:
        address = ours.get(transfer.address)
        if address is not None:
            _seen(provider, address, transfer)


def _seen(provider: Provider, address: DepositAddress, transfer: IncomingTransfer) -> None:
    currency = address.currency
    payin, made = Payin.objects.get_or_create(
        provider=provider,
        transaction=transfer.transaction,
        ordinal=transfer.ordinal,
        defaults={
            "currency": currency,
            "address": transfer.address,
            "sender": transfer.sender,
            "amount": exact(transfer.amount, currency.scale),
            "block_height": transfer.block.height,
            "block_hash": transfer.block.hash,
        },
    )
    if not made:
        _seen_again(payin, transfer)
        return
    if address.user is None:
        _unmatched(payin, "the address was not given to anybody")
        return
    order = _open_order(
        payin,
        address.user,
        confirmations=max(
            transfer.final_after, confirmations_needed(provider, address.network, payin.amount)
        ),
        callback_url=address.callback_url,
        external_id="",
        actor=provider_actor(provider),
    )
    if order is None:
        _unmatched(payin, "the policy refuses it")


def _seen_again(payin: Payin, transfer: IncomingTransfer) -> None:
    """The same transfer in another block: the chain changed its mind."""
    payin = lock(Payin.objects.filter(pk=payin.pk)).get()
    payin.block_height = transfer.block.height
    payin.block_hash = transfer.block.hash
    back = {Payin.State.ORPHANED: Payin.State.SEEN, Payin.State.ALARM: Payin.State.CREDITED}
    payin.state = back.get(Payin.State(payin.state), Payin.State(payin.state))
    payin.save(update_fields=["block_height", "block_hash", "state"])
    if payin.state == Payin.State.SEEN:
        waits = Order.objects.filter(deposit__payin=payin, status=OrderStatus.WAITING_FOR_CONFIRMATION)
        if not waits.exists():
            _unmatched(payin, "it came back to the chain, and no deposit waits for it")


def _orphan(provider: Provider, above: int) -> None:
    gone = lock(Payin.objects.select_related("currency").filter(provider=provider, block_height__gt=above))
    for payin in gone:
        if payin.state in {Payin.State.SEEN, Payin.State.UNMATCHED}:
            payin.state = Payin.State.ORPHANED
        elif payin.state == Payin.State.CREDITED:
            payin.state = Payin.State.ALARM
            _alarm(
                "deposit.orphaned_after_credit",
                provider,
                {
                    "transaction": payin.transaction,
                    "amount": plain(payin.amount),
                    "currency": payin.currency.code,
                },
            )
        payin.save(update_fields=["state"])


def _open_order(
    payin: Payin, user: User, *, confirmations: int, callback_url: str, external_id: str, actor: Actor
) -> Order | None:
    """The deposit order of a new payin; None when the policy leaves nothing to credit."""
    currency = payin.currency
    try:
        judgement = policies.judge(OrderType.DEPOSIT, currency, user, payin.amount)
    except KauriError:
        return None
    net = payin.amount - judgement.fee
    if net <= Decimal(0):
        return None
    order = Order(
        type=OrderType.DEPOSIT,
        owner=user,
        currency_in=currency,
        amount_in=payin.amount,
        currency_out=currency,
        amount_out=net,
        fee=judgement.fee,
        fee_currency=currency,
        external_id="",
        callback_url=callback_url,
        additional_info={"external_id": external_id} if external_id else {},
        source=Order.Source.PROVIDER,
        explanation=judgement.as_json(),
    )
    order.deposit = DepositDetail(order=order, payin=payin, confirmations_needed=confirmations)
    machine.start(order, actor=actor, body=deposit_object)
    DepositDetail.objects.create(order=order, payin=payin, confirmations_needed=confirmations)
    payin.order_id = order.public_id
    payin.save(update_fields=["order_id"])
    machine.transition(order, OrderStatus.WAITING_FOR_CONFIRMATION, actor=actor, body=deposit_object)
    return order


def _credit_confirmed(provider: Provider) -> int:
    cursor = ChainBlock.objects.filter(provider=provider).first()
    if cursor is None:
        return 0
    waiting = Payin.objects.filter(provider=provider, state=Payin.State.SEEN, deposit__isnull=False)
    credited = 0
    for pk, height, needed in waiting.values_list("pk", "block_height", "deposit__confirmations_needed"):
        if height is not None and cursor.height - height + 1 >= needed:
            credited += deposit_credit(pk, actor=provider_actor(provider))
    return credited


def _unmatched(payin: Payin, reason: str) -> None:
    payin.state = Payin.State.UNMATCHED
    payin.save(update_fields=["state"])
    emit(
        "payin.unmatched",
        subject_type="payin",
        subject_id=payin.public_id,
        payload={
            "payin_id": str(payin.public_id),
            "amount": plain(payin.amount),
            "currency": payin.currency.code,
            "reason": reason,
        },
    )


def _alarm(kind: str, provider: Provider, payload: dict[str, str]) -> None:
    emit(
        kind,
        subject_type="provider",
        subject_id=uuid.uuid5(uuid.NAMESPACE_OID, f"provider:{provider.pk}"),
        payload={"provider": provider.title, **payload},
    )


def _orders() -> QuerySet[Order]:
    return Order.objects.select_related(
        "owner", "currency_in", "currency_out", "fee_currency", "deposit__payin__provider"
    )
