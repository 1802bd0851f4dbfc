"""What becomes of money that is final: the books, the customer's balance, or a person's decision. Each step once."""

from __future__ import annotations

from django.db import transaction
from django.db.models import QuerySet

from kauri.common import clock
from kauri.common.actor import Actor
from kauri.common.locks import lock
from kauri.common.money import plain
from kauri.core.outbox import emit
from kauri.deposit_order import postings
from kauri.deposit_order.body import deposit_object
from kauri.deposit_order.models import DepositDetail
from kauri.order_core import machine, screening
from kauri.order_core.models import Order
from kauri.order_core.models.screening import Outcome
from kauri.order_core.states import OrderStatus
from kauri.payment_provider.models import Payin


def orders() -> QuerySet[Order]:
    """Orders with what a deposit's body reads."""
    return Order.objects.select_related(
        "owner",
        "currency_in",
        "currency_out",
        "fee_currency",
        "deposit__payin__provider",
        "deposit__convert_to",
    )


def settle(payin_id: int, *, actor: Actor) -> bool:
    """Credit final money to its customer, once, when analysis lets it; True when it was credited now.

    What analysis holds or freezes is booked as nobody's, and its order stands BLOCKED.
    """
    with transaction.atomic():
        found = _locked(payin_id)
        if found is None:
            return False
        order, payin = found
        if payin.state != Payin.State.SEEN or order.status != OrderStatus.WAITING_FOR_CONFIRMATION:
            return False
        outcome = screening.incoming_outcome(order, payin)
        if outcome is None:
            return False
        if outcome is Outcome.PASS:
            credit(order, payin, actor=actor)
            return True
        book(payin, actor=actor)
        payin.state = Payin.State.HELD
        payin.save(update_fields=["state"])
        machine.transition(
            order, OrderStatus.BLOCKED, actor=actor, body=deposit_object, reason=f"analysis: {outcome.value}"
        )
        emit(
            "deposit.held",
            subject_type="order",
            subject_id=order.public_id,
            payload={
                "order_id": str(order.public_id),
                "amount": plain(payin.amount),
                "currency": payin.currency.code,
                "customer": order.owner.email,
                "outcome": outcome.value,
            },
        )
        return False


def credit(order: Order, payin: Payin, *, actor: Actor, reason: str = "") -> None:
    """Close a locked deposit with its money on the customer's balance."""
    payin.state = Payin.State.CREDITED
    payin.credited_at = clock.now()
    payin.save(update_fields=["state", "credited_at"])
    machine.transition(order, OrderStatus.CLOSED, actor=actor, body=deposit_object, reason=reason)
    postings.credit(order, payin, actor=actor)


def book(payin: Payin, *, actor: Actor) -> None:
    """Let the books know of a locked payin that is nobody's yet; again: nothing happens."""
    if payin.booked_at is not None:
        return
    payin.booked_at = clock.now()
    payin.save(update_fields=["booked_at"])
    postings.suspend(payin, actor=actor)


def book_unmatched(payin_id: int, *, actor: Actor) -> None:
    """The same for unmatched money that has become final."""
    with transaction.atomic():
        rows = Payin.objects.select_related("currency", "provider")
        payin = lock(rows.filter(pk=payin_id, state=Payin.State.UNMATCHED)).first()
        if payin is not None:
            book(payin, actor=actor)


def _locked(payin_id: int) -> tuple[Order, Payin] | None:
    detail = DepositDetail.objects.filter(payin_id=payin_id).first()
    if detail is None:
        return None
    order = lock(orders().filter(pk=detail.order_id)).get()
    return order, lock(Payin.objects.select_related("currency", "provider").filter(pk=payin_id)).get()
