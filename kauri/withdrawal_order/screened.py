"""Analysis of where a withdrawal goes: asked with no transaction open, before anything can be paid."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from django.db import transaction

from kauri.common import clock
from kauri.common.actor import SYSTEM
from kauri.common.locks import claim
from kauri.common.tasks import enqueue
from kauri.order_core import screening
from kauri.order_core.models import Order, Screening
from kauri.order_core.states import FINAL
from kauri.withdrawal_order import paying, review, steps
from kauri.withdrawal_order.models import WithdrawalDetail

#: The claim of whoever asks; longer than an adapter's time-outs together.
LEASE: Final = timedelta(minutes=5)
#: After this nobody asks any more: a person decides without an answer.
GIVEN_UP_AFTER: Final = timedelta(hours=1)
_BATCH: Final = 100


def withdrawal_screen(detail_pk: int) -> None:
    """Ask about one withdrawal's destination, and send the order on by the answer. Call it outside transactions.

    Killed anywhere, the next run finds it due again.
    """
    detail = _claimed(detail_pk)
    if detail is None:
        return
    order = detail.order
    found = None
    if clock.now() - order.created_at < GIVEN_UP_AFTER:
        found = screening.destination_risk(
            destination=detail.destination,
            currency=order.currency_out,
            amount=order.amount_out,
            network=detail.network.code if detail.network else "",
            customer=str(order.owner.public_id),
        )
    _settle(order, found)


def screens_sweep() -> int:
    """Enqueue again what is due: covers lost, doubled and killed tasks."""
    due = WithdrawalDetail.objects.filter(screen_due_at__lte=clock.now()).order_by("screen_due_at")
    ids = list(due.values_list("pk", flat=True)[:_BATCH])
    for pk in ids:
        enqueue(steps.SCREEN_TASK, pk)
    return len(ids)


@transaction.atomic
def _claimed(detail_pk: int) -> WithdrawalDetail | None:
    rows = claim(
        WithdrawalDetail.objects.select_related("order__currency_out", "order__owner", "network").filter(
            pk=detail_pk, screen_due_at__lte=clock.now()
        )
    )
    if not rows:
        return None
    rows[0].screen_due_at = clock.now() + LEASE
    rows[0].save(update_fields=["screen_due_at"])
    return rows[0]


@transaction.atomic
def _settle(asked: Order, found: Screening | None) -> None:
    order = paying.locked(asked.public_id)
    detail = order.withdrawal
    if detail.screen_due_at is None or order.status in FINAL:
        return  # a slower worker's answer came after all, or the customer took it back
    detail.screen_due_at, detail.screening = None, found
    detail.save(update_fields=["screen_due_at", "screening"])
    case = review.Case(
        user=order.owner,
        currency=order.currency_out,
        amount=order.amount_out,
        destination=detail.destination,
        shown=detail.shown_destination,
        network=detail.network,
        country=detail.country,
        at=clock.now(),
    )
    steps.proceed(order, SYSTEM, review.said_by(found).and_also(review.analysed(case, found)))
