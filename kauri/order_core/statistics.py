"""What orders came to: counts, turnover and fees by period, type and currency."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from django.db.models import Count, Q, QuerySet, Sum
from django.db.models.functions import Trunc

from kauri.common import clock
from kauri.common.errors import KauriError
from kauri.common.money import ZERO, exact
from kauri.order_core.models import Order
from kauri.order_core.states import OrderStatus, OrderType

LONGEST: Final = timedelta(days=366)
_DEFAULT: Final = timedelta(days=30)
_OUT: Final = frozenset({OrderType.WITHDRAWAL, OrderType.INTERNAL_MOVEMENT})


@dataclass(frozen=True, slots=True)
class Question:
    """From inclusive, till exclusive; by ``day``, ``week`` or ``month``, in UTC."""

    period: str
    since: datetime
    till: datetime
    order_type: str = ""


def question(period: str, since: datetime | None, till: datetime | None, order_type: str) -> Question:
    """The question with its defaults: the last 30 days. Raises ``validation_error``."""
    end = till or clock.now()
    try:
        start = since or end - _DEFAULT
    except OverflowError:
        start = end
    if not timedelta(0) < end - start <= LONGEST:
        raise KauriError("validation_error", fields={"from_timestamp": f"up to {LONGEST.days} days before"})
    return Question(period, start, end, order_type)


def of_customer(user_id: int, asked: Question) -> list[dict[str, Any]]:
    """A customer's own orders, and the movements that brought them money. Two queries."""
    received = Order.objects.filter(
        counterparty_id=user_id, type=OrderType.INTERNAL_MOVEMENT, status=OrderStatus.CLOSED
    )
    rows = [
        *_rows(Order.objects.filter(owner_id=user_id), asked, direction=""),
        *_rows(received, asked, direction="in"),
    ]
    return sorted(rows, key=lambda row: (row["period"], row["order_type"], row["direction"], row["currency"]))


def of_system(asked: Question) -> list[dict[str, Any]]:
    """Everybody's orders. One query."""
    return _rows(Order.objects.all(), asked, direction="")


def _rows(orders: QuerySet[Order], asked: Question, direction: str) -> list[dict[str, Any]]:
    orders = orders.filter(created_at__gte=asked.since, created_at__lt=asked.till)
    if asked.order_type:
        orders = orders.filter(type=asked.order_type)
    closed = Q(status=OrderStatus.CLOSED)
    groups: QuerySet[Any, Any] = (
        orders.order_by()
        .annotate(begins=Trunc("created_at", asked.period, tzinfo=UTC))
        .values(
            "begins",
            "type",
            "currency_out__code",
            "currency_out__scale",
            "fee_currency__code",
            "fee_currency__scale",
        )
        .annotate(
            orders=Count("id"),
            closed=Count("id", filter=closed),
            turnover=Sum("amount_out", filter=closed),
            fees=Sum("fee", filter=closed),
        )
        .order_by("begins", "type", "currency_out__code", "fee_currency__code")
    )
    return [
        {
            "period": row["begins"].date().isoformat(),
            "order_type": row["type"],
            "direction": direction or ("out" if row["type"] in _OUT else "in"),
            "currency": row["currency_out__code"],
            "orders": row["orders"],
            "closed": row["closed"],
            "turnover": exact(row["turnover"] or ZERO, row["currency_out__scale"]),
            "fee_currency": row["fee_currency__code"],
            # Who received a movement is told no fee of its sender's.
            "fees": exact(ZERO if direction else row["fees"] or ZERO, row["fee_currency__scale"]),
        }
        for row in groups
    ]
