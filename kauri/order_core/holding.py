"""Orders that operators have put on hold: which of them are there for too long, and that somebody is told."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from django.conf import settings
from django.db import transaction
from django.db.models import Count, Min, Q, QuerySet
from django.db.models.functions import Coalesce

from kauri.common import clock
from kauri.common.locks import claim
from kauri.common.money import plain
from kauri.common.scopes import EVERYTHING, Scope, narrow
from kauri.core.outbox import emit
from kauri.order_core.models import Approval
from kauri.order_core.states import OrderType

_AT_A_TIME: Final = 100
_HOUR: Final = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class HoldState:
    """How many orders are on hold, since when the oldest hold lasts, and how many last too long."""

    count: int
    oldest: datetime | None
    overdue: int


def patience() -> timedelta:
    """How long a hold may last before operators are told, and after which they are told again."""
    return timedelta(hours=settings.KAURI.hold_alarm_hours)


def on_hold(order_type: OrderType) -> QuerySet[Approval]:
    """Orders of a type that an operator has put aside, whatever comes of them: nobody decides meanwhile."""
    return Approval.objects.filter(
        state=Approval.State.PENDING, held_at__isnull=False, order__type=order_type
    )


def too_long(prefix: str = "") -> Q:
    """Approvals whose hold is older than :func:`patience`: exactly as old is not yet. ``prefix``: a path to them."""
    return Q(**{f"{prefix}held_at__lt": clock.now() - patience()})


def hold_state(order_type: OrderType, scope: Scope = EVERYTHING) -> HoldState:
    """One query over the partial index of holds, of those that an operator of ``scope`` sees."""
    found = narrow(on_hold(order_type), scope).aggregate(
        count=Count("id"), oldest=Min("held_at"), overdue=Count("id", filter=too_long())
    )
    return HoldState(count=found["count"], oldest=found["oldest"], overdue=found["overdue"])


@transaction.atomic
def holds_sweep() -> int:
    """Tell operators of holds that are too long, each once a period of :func:`patience`; how many were told.

    What was told is counted from the beginning of the hold, not from the moment of telling: late runs do not
    move the next one, and periods in which nobody ran are told together. Another worker's rows are left to it.
    """
    now, period = clock.now(), patience()
    due = Approval.objects.alias(since=Coalesce("held_told_to", "held_at")).filter(
        state=Approval.State.PENDING, held_at__isnull=False, since__lt=now - period
    )
    found = claim(
        due.select_related("order__owner", "order__currency_out", "held_by").order_by("held_at"), _AT_A_TIME
    )
    for approval in found:
        since = approval.held_told_to or approval.held_at
        if since is None:  # the query asks for it; only types can't know
            continue
        # A period that ends at this very moment is not over yet.
        periods = (now - since - timedelta.resolution) // period
        approval.held_told_to = since + periods * period
        approval.save(update_fields=["held_told_to"])
        _tell(approval, now)
    return len(found)


def _tell(approval: Approval, now: datetime) -> None:
    order, since = approval.order, approval.held_at
    emit(
        "approval.held_long",
        subject_type="order",
        subject_id=order.public_id,
        payload={
            "order_id": str(order.public_id),
            "type": order.type,
            "amount": plain(order.amount_out),
            "currency": order.currency_out.code,
            "customer": order.owner.email,
            "by": approval.held_by.email if approval.held_by is not None else "",
            "reason": approval.held_reason,
            "since": f"{since:%Y-%m-%d %H:%M}" if since is not None else "",
            "hours": (now - since) // _HOUR if since is not None else 0,
        },
    )
