"""From a decided withdrawal to its end: parts, their payouts, the next channel, and the books with each outcome."""

from __future__ import annotations

import uuid
from decimal import Decimal
from typing import Final

from django.db import transaction

from kauri.common import clock
from kauri.common.actor import Actor
from kauri.common.effects import Effect, EffectKind
from kauri.common.errors import KauriError
from kauri.common.locks import lock
from kauri.common.tasks import enqueue
from kauri.core.models import Provider
from kauri.order_core import machine
from kauri.order_core.models import Order
from kauri.order_core.states import FINAL, OrderStatus
from kauri.payment_provider import routing
from kauri.payment_provider import services as payouts
from kauri.payment_provider.gateway import Event, PayoutStatus
from kauri.payment_provider.models import Payout
from kauri.withdrawal_order import destinations, postings
from kauri.withdrawal_order.body import withdrawal_object
from kauri.withdrawal_order.models import WithdrawalDetail, WithdrawalPart
from kauri.withdrawal_order.selectors import orders, parts_of

STEP_TASK: Final = "kauri.withdrawal_order.tasks.payout_advance"


def locked(order_id: uuid.UUID) -> Order:
    """A withdrawal, locked. Raises ``not_found``."""
    order = lock(orders().filter(public_id=order_id)).first()
    if order is None:
        raise KauriError("not_found")
    return order


def start(order: Order, actor: Actor) -> None:
    """Make the parts of a decided, locked order and their payouts: nothing is sent yet.

    The channel is chosen now, by what is healthy and open now; when none is, the one that was chosen
    when the order came keeps it, and its payouts wait.
    """
    detail = order.withdrawal
    plan = _plan(order, detail, destinations.told(order.owner_id, detail.destination, detail.sealed_number))
    if detail.provider_id != plan.provider.pk:
        detail.provider = plan.provider
        detail.save(update_fields=["provider"])
    for part in _parts(order, plan.amounts):
        part.payout = payouts.payout_create(
            order_id=order.public_id,
            provider=plan.provider,
            currency=order.currency_out,
            amount=part.amount,
            destination=detail.destination,
        )
        part.save(force_insert=True)
        enqueue(STEP_TASK, part.payout.pk)
    machine.transition(order, OrderStatus.PAYMENT_IN_PROGRESS, actor=actor, body=withdrawal_object)


def payout_advance(payout_id: int) -> None:
    """One step of a payout, and the order's settlement when the step was the last.

    Claim, commit; call out with no transaction open; record and settle in one transaction. Killed
    anywhere, the next run finds the row and goes on from what it says.
    """
    payout = payouts.payout_claim(payout_id)
    if payout is None:
        return
    if _is_held(payout):
        outcome = payouts.held("the customer froze the account")
    elif (refused := _card_refused(payout)) is not None:
        outcome = refused
    elif (refusal := payouts.payout_admit(payout)) is not None:
        outcome = _handed_over(payout, refusal)
    else:
        beside = [one for one in payouts.payout_companions(payout) if not _is_held(one)]
        outcome = payouts.payout_step(payout, beside)
    payout_settle(payout, outcome, actor=routing.provider_actor(payout.provider))


def payout_settle(payout: Payout, outcome: payouts.Outcome, *, actor: Actor, fails_over: bool = True) -> None:
    """Write a payout's outcome and, when final, settle its part: capture, next channel, or the order's end.

    Without ``fails_over`` a failed part ends here: people said that it was not paid.
    """
    with transaction.atomic():
        order = locked(payout.for_order)
        before = payout.state
        row = payouts.payout_record(payout, outcome)
        if OrderStatus(order.status) in FINAL:
            return
        part = next((one for one in parts_of(order.withdrawal) if one.payout_id == row.pk), None)
        if part is None:
            return  # another channel has this part now
        if row.state == Payout.State.FAILED and fails_over and _next_channel(order, part, row):
            return
        if row.state in {Payout.State.CONFIRMED, Payout.State.FAILED}:
            settle(order, row, actor=actor)
        elif row.state != before:
            enqueue(STEP_TASK, row.pk)


def take_back(order: Order, *, actor: Actor, reason: str) -> list[WithdrawalPart]:
    """End a locked order whose payouts are all unsent; the caller releases the parts.

    A worker that is preparing one finds it ended and throws its bytes away. Raises ``wrong_state`` when
    bytes of any are stored: it may be anywhere.
    """
    rows = lock(Payout.objects.filter(part__detail=order.withdrawal))
    if any(row.state != Payout.State.NEW for row in rows):
        raise KauriError("wrong_state", "this withdrawal can't be taken back any more")
    for row in rows:
        row.state, row.last_error, row.finished_at = Payout.State.FAILED, reason[:300], clock.now()
        row.save(update_fields=["state", "last_error", "finished_at"])
    machine.transition(order, OrderStatus.CANCELLING, actor=actor, body=withdrawal_object, reason=reason)
    machine.transition(order, OrderStatus.CANCELLED, actor=actor, body=withdrawal_object, reason=reason)
    return parts_of(order.withdrawal)


def payout_event(event: Event, provider: Provider) -> Effect:
    """A gateway's trusted word about a payout. ``conflict`` when amount or currency differ from ours."""
    try:
        payout = Payout.objects.select_related("provider", "currency").get(
            public_id=uuid.UUID(event.reference), provider=provider
        )
    except (ValueError, Payout.DoesNotExist):
        return Effect(EffectKind.NOTHING, "no payout of ours has this reference")
    final = {Payout.State.CONFIRMED: PayoutStatus.FAILED, Payout.State.FAILED: PayoutStatus.CONFIRMED}
    if payout.state in final:
        if event.status is final[Payout.State(payout.state)]:
            raise KauriError("conflict", f"this payout is final already: {payout.state}")
        return Effect(EffectKind.REPEATED, "this payout is final already")
    if event.currency != payout.currency.code or event.amount != payout.amount:
        raise KauriError("conflict", "amount or currency differ from the payout's")
    if event.status not in {PayoutStatus.CONFIRMED, PayoutStatus.FAILED}:
        return Effect(EffectKind.NOTHING, f"the payout is {event.status.value}")
    if payout.state == Payout.State.NEW:
        raise KauriError("conflict", "this payout was not sent yet")
    answer = {"callback": event.status.value, "provider_reference": event.provider_reference}
    payout_settle(payout, payouts.told(event.status, answer), actor=routing.provider_actor(provider))
    return Effect(EffectKind.DONE, f"payout {event.status.value}")


def payouts_sweep() -> int:
    """Enqueue again every payout that is due: covers lost, doubled and killed tasks."""
    due = payouts.due_payouts()
    for pk in due:
        enqueue(STEP_TASK, pk)
    return len(due)


def settle(order: Order, last: Payout, *, actor: Actor) -> None:
    """After ``last`` became final: book what was paid, and end the order when no part is open any more.

    Each paid part is taken from the hold at once. What was not paid is released with the last part's
    end: all of it when nothing was paid (the order ends ERROR), else as an order of its own.
    """
    parts = parts_of(order.withdrawal)
    open_parts = [part for part in parts if part.payout.state in Payout.OPEN_STATES]
    paid = [part for part in parts if part.payout.state == Payout.State.CONFIRMED]
    failed = [part for part in parts if part.payout.state == Payout.State.FAILED]
    if not open_parts:
        if not paid:
            machine.transition(
                order, OrderStatus.ERROR, actor=actor, body=withdrawal_object, reason=last.last_error
            )
            postings.release(order, failed, actor=actor, reason="payout failed")
            return
        if failed:
            # The customer's accounts come before the providers' in the order of locks: release first.
            postings.release(order, failed, actor=actor, reason="a part was not paid")
            _split_off(order, failed, actor, last.last_error)
        else:
            machine.transition(order, OrderStatus.CLOSED, actor=actor, body=withdrawal_object)
    if last.state == Payout.State.CONFIRMED:
        part = next(one for one in paid if one.payout_id == last.pk)
        postings.capture(order, part, actor=actor, only=len(parts) == 1, ends=not open_parts and not failed)


def _split_off(order: Order, failed: list[WithdrawalPart], actor: Actor, reason: str) -> None:
    """Paid in part: the order closes with what was paid, and the rest ends as an order of its own."""
    rest_out = sum((part.amount for part in failed), Decimal(0))
    rest_fee = sum((part.fee for part in failed), Decimal(0))
    detail = order.withdrawal

    def detail_of(rest: Order) -> None:
        row = WithdrawalDetail.objects.create(
            order=rest,
            destination=detail.destination,
            network=detail.network,
            provider=detail.provider,
            card_mask=detail.card_mask,
            sealed_number=detail.sealed_number,
            country=detail.country,
        )
        WithdrawalPart.objects.filter(pk__in=[part.pk for part in failed]).update(detail=row)
        rest.withdrawal = row

    machine.split_off(
        order,
        amount_out=rest_out,
        fee=rest_fee,
        actor=actor,
        body=withdrawal_object,
        reason=reason,
        detail=detail_of,
    )


def _plan(order: Order, detail: WithdrawalDetail, told: str) -> routing.Plan:
    network = detail.network.code if detail.network else ""
    try:
        return routing.plan(order.currency_out, order.amount_out, network, told)
    except KauriError:
        # Nobody can now: the one that could when the order came keeps it until somebody can.
        return routing.plan_with(detail.provider, order.currency_out, order.amount_out, detail.destination)


def _parts(order: Order, amounts: list[Decimal]) -> list[WithdrawalPart]:
    """Shares of amount and fee that add up to the order's; the fee by amount, rounding carried along."""
    scale = Decimal(1).scaleb(-order.fee_currency.scale)
    parts, paid, charged = [], Decimal(0), Decimal(0)
    for ordinal, amount in enumerate(amounts, 1):
        paid += amount
        due = order.fee if paid == order.amount_out else (order.fee * paid / order.amount_out).quantize(scale)
        parts.append(
            WithdrawalPart(detail=order.withdrawal, ordinal=ordinal, amount=amount, fee=due - charged)
        )
        charged = due
    return parts


def _next_channel(order: Order, part: WithdrawalPart, failed: Payout) -> bool:
    """Give a part whose payout surely failed to the next provider that can pay it; False when none can.

    A payout that people made impossible is not tried elsewhere.
    """
    if failed.cancel_asked_at is not None or not routing.fails_over(failed.provider, failed.currency):
        return False
    detail = order.withdrawal
    tried = [*part.tried, failed.provider_id]
    network = detail.network.code if detail.network else ""
    try:
        told = destinations.told(order.owner_id, detail.destination, detail.sealed_number)
    except KauriError:
        return False  # the card may not be paid to any more, by nobody
    following = routing.alternative(order.currency_out, part.amount, network, told, without=tried)
    if following is None:
        return False
    part.payout = payouts.payout_create(
        order_id=order.public_id,
        provider=following,
        currency=order.currency_out,
        amount=part.amount,
        destination=detail.destination,
    )
    part.tried = tried
    part.save(update_fields=["payout", "tried"])
    enqueue(STEP_TASK, part.payout.pk)
    return True


def _handed_over(payout: Payout, waits: payouts.Outcome) -> payouts.Outcome:
    """An unsent payout that its channel kept waiting too long ends, when another channel can take its part."""
    if not routing.gives_up_waiting(payout):
        return waits
    order = orders().get(public_id=payout.for_order)
    part = next((one for one in parts_of(order.withdrawal) if one.payout_id == payout.pk), None)
    network = order.withdrawal.network.code if order.withdrawal.network else ""
    if part is None or not routing.alternative(
        payout.currency,
        payout.amount,
        network,
        payout.told_destination,
        without=[*part.tried, payout.provider_id],
    ):
        return waits
    return payouts.given_up(f"handed to the next channel: {waits.reason}")


def _card_refused(payout: Payout) -> payouts.Outcome | None:
    """Open the card that an unsent payout goes to, on the row in hand only; its end where it may not be paid to.

    What may have been sent is looked up by its own name: it needs no number.
    """
    unsent = payout.state in {Payout.State.NEW, Payout.State.PREPARED}
    if not unsent or not destinations.is_hidden(payout.destination):
        return None
    order = orders().get(public_id=payout.for_order)
    detail = order.withdrawal
    try:
        payout.unstored_destination = destinations.told(
            order.owner_id, detail.destination, detail.sealed_number
        )
    except KauriError as error:
        return payouts.given_up(error.code) if payout.state == Payout.State.NEW else payouts.held(error.code)
    return None


def _is_held(payout: Payout) -> bool:
    """Whether nothing of it was sent yet, and its customer says that the account is in wrong hands."""
    unsent = payout.state in {Payout.State.NEW, Payout.State.PREPARED}
    return (
        unsent and Order.objects.filter(public_id=payout.for_order, owner__frozen_at__isnull=False).exists()
    )
