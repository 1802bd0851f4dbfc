"""Money that comes in: seen, waited for, credited once; taken back from view when the chain does."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Final

from django.db import transaction

from kauri.account.models import User
from kauri.common import clock
from kauri.common.actor import SYSTEM
from kauri.common.effects import Effect, EffectKind
from kauri.common.errors import KauriError
from kauri.common.locks import lock
from kauri.common.money import exact, plain
from kauri.core.models import Currency, Provider
from kauri.core.outbox import emit
from kauri.deposit_order.body import deposit_object
from kauri.deposit_order.crediting import book_unmatched, orders, settle
from kauri.deposit_order.opening import (
    Openings,
    Refused,
    open_order,
    provider_cost,
    unmatched,
    wishes_of,
)
from kauri.order_core import machine, screening
from kauri.order_core.models import Order, Screening
from kauri.order_core.states import OrderStatus, OrderType
from kauri.payment_provider import routing, scanning
from kauri.payment_provider.gateway import Event, GatewayError, IncomingTransfer, PayoutStatus
from kauri.payment_provider.models import ChainBlock, Payin
from kauri.payment_provider.selectors import confirmations_needed
from kauri.wallet.models import DepositAddress, PaymentLink
from kauri.wallet.services import link_by_reference

CONFIRMATIONS_PATIENCE: Final = timedelta(hours=24)
#: Stretches of the chain one run reads at most; the next run goes on from the cursor.
STRETCHES: Final = 20
#: Payins in these states are in the books: when the chain drops them, people are told.
_BOOKED: Final = frozenset({Payin.State.CREDITED, Payin.State.HELD, Payin.State.RETURNED, Payin.State.KEPT})


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


def deposit_event(event: Event, provider: Provider) -> Effect:
    """A gateway's trusted word about a payin.

    Only a final success whose amount and currency match the link is credited, once a link; any other
    money is booked as nobody's and waits for a person. A repeat finds the payin and changes nothing.
    """
    if event.status is not PayoutStatus.CONFIRMED:
        return Effect(EffectKind.NOTHING, f"the payin is {event.status.value}")
    currency = Currency.objects.filter(code=event.currency).first()
    if currency is None:
        raise KauriError("conflict", f"unknown currency {event.currency}")
    if event.amount <= 0:
        return Effect(EffectKind.NOTHING, "a payin of nothing")
    actor = routing.provider_actor(provider)
    with transaction.atomic():
        link = _locked_link(event.reference, provider)
        amount = exact(event.amount, currency.scale)
        payin, made = Payin.objects.get_or_create(
            provider=provider,
            transaction=event.provider_reference,
            ordinal="0",
            defaults={
                "currency": currency,
                "amount": amount,
                "cost": provider_cost(provider, currency, amount),
                "reference": event.reference[:64],
            },
        )
        if made:
            _receive(payin, link)
        if payin.state == Payin.State.UNMATCHED:
            # A gateway's success is final: the books know at once.
            book_unmatched(payin.pk, actor=actor)
    if made and payin.state == Payin.State.UNMATCHED:
        return Effect(EffectKind.DONE, f"the payin waits for a person: {payin.fault}")
    # Also for a known payin: whoever made it may have died before this line.
    if settle(payin.pk, actor=actor):
        return Effect(EffectKind.DONE, "credited")
    if made:
        return Effect(EffectKind.DONE, "analysed before it is credited")
    return Effect(EffectKind.REPEATED, "this payin is known")


def _locked_link(reference: str, provider: Provider) -> PaymentLink | None:
    """The link, with its customer locked before it: one payin of a link at a time, the second sees the first."""
    found = link_by_reference(reference, provider)
    if found is None:
        return None
    lock(User.objects.filter(pk=found.user_id)).get()
    rows = PaymentLink.objects.select_related("user__group", "currency", "convert_to")
    return lock(rows.filter(pk=found.pk)).get()


def _receive(payin: Payin, link: PaymentLink | None) -> None:
    """Give a gateway's new payin its order, or its place in people's queue."""
    fault, detail = _fault(payin, link)
    if fault is None and link is not None:
        try:
            open_order(
                payin,
                link.user,
                wishes_of(link),
                confirmations=0,
                actor=routing.provider_actor(payin.provider),
            )
        except Refused as exc:
            fault, detail = exc.fault, exc.detail
    if fault is not None:
        unmatched(payin, fault, detail)


def _fault(payin: Payin, link: PaymentLink | None) -> tuple[Payin.Fault | None, str]:
    """Why a new payin is not credited by itself; None when it matches its link."""
    if link is None:
        return Payin.Fault.UNKNOWN_REFERENCE, "no payment link of ours has this reference"
    if payin.currency != link.currency:
        return Payin.Fault.WRONG_CURRENCY, f"the link is in {link.currency}"
    if link.cancelled_at is not None:
        return Payin.Fault.LATE, "the link was cancelled before the money came"
    if link.amount is None:
        return None, ""
    others = Payin.objects.filter(provider=payin.provider, reference=payin.reference).exclude(pk=payin.pk)
    paid = [Payin.State.SEEN, Payin.State.CREDITED, Payin.State.HELD, Payin.State.ALARM]
    if others.filter(state__in=paid).exists():
        return Payin.Fault.DUPLICATE, "the link has been paid already"
    if payin.amount != link.amount:
        more = payin.amount > link.amount
        return (
            Payin.Fault.OVERPAID if more else Payin.Fault.UNDERPAID,
            f"the link asked for {plain(link.amount)} {link.currency}",
        )
    return None, ""


def screenings_sweep() -> int:
    """Ask the providers of analysis what is due, then credit, hold or freeze what they answered."""
    for pk in screening.due_screenings():
        screening.screening_step(pk)
    waiting = Screening.objects.filter(payin__state=Payin.State.SEEN, outcome="").values_list(
        "payin_id", flat=True
    )
    return sum(settle(payin_id, actor=SYSTEM) for payin_id in list(waiting[:500]) if payin_id is not None)


def deposits_expire() -> int:
    """Close deposits whose confirmations did not come in 24 hours; returns how many."""
    expired = 0
    stale = orders().filter(
        type=OrderType.DEPOSIT,
        status=OrderStatus.WAITING_FOR_CONFIRMATION,
        created_at__lt=clock.now() - CONFIRMATIONS_PATIENCE,
        deposit__payin__state=Payin.State.ORPHANED,
    )
    for pk in list(stale.values_list("pk", flat=True)[:500]):
        with transaction.atomic():
            order = lock(orders().filter(pk=pk)).get()
            payin = lock(Payin.objects.filter(deposit=pk)).get()
            if order.status != OrderStatus.WAITING_FOR_CONFIRMATION or payin.state != Payin.State.ORPHANED:
                continue  # it moved, or came back to the chain, meanwhile
            actor = routing.provider_actor(order.deposit.payin.provider)
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
    wanted = {transfer.address for transfer in findings.transfers}
    ours = {
        address.address: address
        for address in DepositAddress.objects.select_related("currency", "network", "convert_to").filter(
            provider=provider, address__in=wanted
        )
    }
    # All customers first, in one order: their totals are judged below, and nobody meets us half way.
    owners = User.objects.select_related("group").filter(
        pk__in={found.user_id for found in ours.values() if found.user_id}
    )
    users = {user.pk: user for user in lock(owners)}
    if findings.orphaned_above is not None:
        _orphan(provider, findings.orphaned_above)
    transfers = [transfer for transfer in findings.transfers if transfer.address in ours]
    if not transfers:
        return
    cursor = ChainBlock.objects.filter(provider=provider).first()
    openings = Openings(
        routing.provider_actor(provider), users, findings.head if cursor is None else cursor.height
    )
    # The caller holds the provider's row: nobody else writes payins of it meanwhile.
    names = {transfer.transaction for transfer in transfers}
    seen = {
        (payin.transaction, payin.ordinal): payin
        for payin in Payin.objects.filter(provider=provider, transaction__in=names)
    }
    for transfer in transfers:
        known = seen.get((transfer.transaction, transfer.ordinal))
        if known is None:
            seen[transfer.transaction, transfer.ordinal] = _seen(
                provider, ours[transfer.address], transfer, openings
            )
        else:
            openings.write()
            _seen_again(known, transfer)
    openings.write()


def _seen(
    provider: Provider, address: DepositAddress, transfer: IncomingTransfer, openings: Openings
) -> Payin:
    """A transfer that was never seen before; it is written with the others."""
    amount = exact(transfer.amount, address.currency.scale)
    payin = Payin(
        provider=provider,
        transaction=transfer.transaction,
        ordinal=transfer.ordinal,
        currency=address.currency,
        address=transfer.address,
        sender=transfer.sender,
        amount=amount,
        cost=provider_cost(provider, address.currency, amount),
        block_height=transfer.block.height,
        block_hash=transfer.block.hash,
    )
    if address.user_id is None:
        openings.add_homeless(payin, Payin.Fault.NOT_GIVEN, "the address was not given to anybody")
        return payin
    confirmations = max(transfer.final_after, confirmations_needed(provider, address.network, amount))
    openings.add(payin, address.user_id, wishes_of(address), confirmations)
    return payin


def _seen_again(payin: Payin, transfer: IncomingTransfer) -> None:
    """The same transfer in another block: the chain changed its mind."""
    payin = lock(Payin.objects.select_related("currency").filter(pk=payin.pk)).get()
    payin.block_height = transfer.block.height
    payin.block_hash = transfer.block.hash
    if payin.state == Payin.State.ALARM:
        payin.state = payin.state_before or Payin.State.CREDITED
    elif payin.state == Payin.State.ORPHANED:
        payin.state = Payin.State.UNMATCHED if payin.fault else Payin.State.SEEN
    payin.save(update_fields=["block_height", "block_hash", "state"])
    if payin.state == Payin.State.SEEN:
        waits = Order.objects.filter(deposit__payin=payin, status=OrderStatus.WAITING_FOR_CONFIRMATION)
        if not waits.exists():
            unmatched(payin, Payin.Fault.LATE, "it came back to the chain, and no deposit waits for it")


def _orphan(provider: Provider, above: int) -> None:
    gone = lock(Payin.objects.select_related("currency").filter(provider=provider, block_height__gt=above))
    for payin in gone:
        if payin.state in _BOOKED or (payin.booked_at is not None and payin.state != Payin.State.ALARM):
            payin.state_before, payin.state = payin.state, Payin.State.ALARM
            _alarm(
                "deposit.orphaned_after_credit",
                provider,
                {
                    "transaction": payin.transaction,
                    "amount": plain(payin.amount),
                    "currency": payin.currency.code,
                },
            )
        elif payin.state in {Payin.State.SEEN, Payin.State.UNMATCHED}:
            payin.state = Payin.State.ORPHANED
        payin.save(update_fields=["state", "state_before"])


def _credit_confirmed(provider: Provider) -> int:
    cursor = ChainBlock.objects.filter(provider=provider).first()
    if cursor is None:
        return 0
    actor = routing.provider_actor(provider)
    network = routing.network_of(provider)
    needed_by_all = network.confirmations if network else 1
    lost = Payin.objects.filter(
        provider=provider,
        state=Payin.State.UNMATCHED,
        booked_at__isnull=True,
        block_height__lte=cursor.height - needed_by_all + 1,
    )
    for pk in list(lost.values_list("pk", flat=True)):
        book_unmatched(pk, actor=actor)
    waiting = Payin.objects.filter(provider=provider, state=Payin.State.SEEN, deposit__isnull=False)
    credited = 0
    for pk, height, needed in waiting.values_list("pk", "block_height", "deposit__confirmations_needed"):
        if height is not None and cursor.height - height + 1 >= needed:
            credited += settle(pk, actor=actor)
    return credited


def _alarm(kind: str, provider: Provider, payload: dict[str, str]) -> None:
    emit(
        kind,
        subject_type="provider",
        subject_id=uuid.uuid5(uuid.NAMESPACE_OID, f"provider:{provider.pk}"),
        payload={"provider": provider.title, **payload},
    )
