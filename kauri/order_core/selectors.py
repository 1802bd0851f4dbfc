"""Reading orders: the object that clients see, and history pages."""

from __future__ import annotations

import base64
import binascii
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from django.db.models import Count, Q, QuerySet, Sum

from kauri.account.models import User
from kauri.account.selectors import cooling_until
from kauri.common import clock
from kauri.common.errors import KauriError
from kauri.common.money import exact
from kauri.core.models import Currency
from kauri.order_core.models import Order
from kauri.order_core.states import OrderStatus, OrderType

#: Orders that moved nothing count towards no total.
NOT_COUNTED: Final = (
    OrderStatus.ERROR,
    OrderStatus.CANCELLED,
    OrderStatus.EXPIRED,
    OrderStatus.CANCELLED_BY_OPERATOR,
)
#: Orders whose ``amount``, to their owner, is what leaves the balance.
_OUT: Final = frozenset({OrderType.WITHDRAWAL, OrderType.INTERNAL_MOVEMENT})


def turnover(
    user: User, operation: OrderType, currency: Currency | None, spans: Mapping[str, int], now: datetime
) -> list[dict[str, Any]]:
    """Per currency (only ``currency`` if given) what a customer's orders came to: ``orders_a_day``, and under
    each name of ``spans`` the sum of the last so many days, None where there was none. One query."""
    within = {name: Q(created_at__gt=now - timedelta(days=days)) for name, days in spans.items()}
    longest = max([1, *spans.values()])
    orders = Order.objects.filter(
        owner=user, type=operation, created_at__gt=now - timedelta(days=longest)
    ).exclude(status__in=NOT_COUNTED)
    if currency is not None:
        orders = orders.filter(currency_out=currency)
    rows: QuerySet[Any, Any] = orders.values("currency_out").annotate(
        orders_a_day=Count("id", filter=Q(created_at__gt=now - timedelta(days=1))),
        **{name: Sum("amount_out", filter=condition) for name, condition in within.items()},
    )
    return list(rows)


def old_time(moment: datetime | None) -> str | None:
    """The old order object's ``dt``: naive UTC with microseconds, null while unset."""
    return None if moment is None else moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")


def order_object(order: Order, details: dict[str, Any]) -> dict[str, Any]:
    """The order as the old API's clients know it, with what we added beside it."""
    is_out = order.type in _OUT
    amount = order.amount_in if is_out else order.amount_out
    scale = (order.currency_in if is_out else order.currency_out).scale
    return {
        "external_id": str(order.public_id),
        "client_external_id": order.external_id or None,
        "order_type": order.type,
        "order_sub_type": order.sub_type,
        "status": order.status,
        "currency": order.currency_out.code,
        "amount": exact(amount, scale),
        "fee": exact(order.fee, order.fee_currency.scale),
        "dt": old_time(order.created_at),
        "created_at": clock.iso(order.created_at),
        "finished_at": clock.iso(order.finished_at),
        "comment": order.comment,
        "details": details,
    }


def for_owner(owner_id: int) -> QuerySet[Order]:
    """The orders that this customer made."""
    return _shown(Order.objects.filter(owner_id=owner_id))


def for_counterparty(user_id: int) -> QuerySet[Order]:
    """Others' orders that brought this customer money: only once they have."""
    return _shown(Order.objects.filter(counterparty_id=user_id, status=OrderStatus.CLOSED))


def sides(user_id: int, order_type: str | None) -> list[QuerySet[Order]]:
    """What a customer's history is made of: orders made, and received where the type has receivers."""
    own = for_owner(user_id)
    has_receivers = order_type in {None, "", OrderType.INTERNAL_MOVEMENT}
    return [own, for_counterparty(user_id)] if has_receivers else [own]


def _shown(orders: QuerySet[Order]) -> QuerySet[Order]:
    return orders.select_related("owner", "currency_in", "currency_out", "fee_currency")


def order_of(user_id: int, public_id: uuid.UUID) -> Order:
    """One order that this customer takes part in; ``not_found`` for anybody else's."""
    found = for_owner(user_id).filter(public_id=public_id).first()
    order = found or for_counterparty(user_id).filter(public_id=public_id).first()
    if order is None:
        raise KauriError("not_found")
    return order


@dataclass(frozen=True, slots=True)
class Filters:
    """What history can be narrowed by; None or '' leaves the field alone."""

    order_type: str = ""
    order_status: str = ""
    order_sub_type: str = ""
    currency: str = ""
    external_id: str = ""
    address: str = ""
    from_timestamp: datetime | None = None
    till_timestamp: datetime | None = None

    def apply(self, orders: QuerySet[Order]) -> QuerySet[Order]:
        wanted = {
            "type": self.order_type,
            "status": self.order_status,
            "sub_type": self.order_sub_type,
            "external_id": self.external_id,
        }
        orders = orders.filter(**{name: value for name, value in wanted.items() if value})
        if self.currency:
            orders = orders.filter(Q(currency_in__code=self.currency) | Q(currency_out__code=self.currency))
        if self.address:
            orders = orders.filter(
                Q(withdrawal__destination=self.address) | Q(deposit__payin__address=self.address)
            )
        if self.from_timestamp:
            orders = orders.filter(created_at__gte=self.from_timestamp)
        if self.till_timestamp:
            orders = orders.filter(created_at__lt=self.till_timestamp)
        return orders


def after_cursor(sides: Sequence[QuerySet[Order]], cursor: str, limit: int) -> tuple[list[Order], str | None]:
    """The page behind ``cursor`` ('' for the first), newest first, and the next page's cursor.

    ``sides`` are disjoint (orders made, orders received): each is read by its own index, then merged.
    """
    rows: list[Order] = []
    before = _decode(cursor) if cursor else None
    for side in sides:
        orders = side.order_by("-created_at", "-id")
        if before:
            moment, last = before
            orders = orders.filter(Q(created_at__lt=moment) | Q(created_at=moment, id__lt=last))
        rows += orders[: limit + 1]
    rows.sort(key=_newest, reverse=True)
    more = len(rows) > limit
    rows = rows[:limit]
    return rows, _encode(rows[-1]) if more else None


def page(sides: Sequence[QuerySet[Order]], start: int, limit: int) -> list[Order]:
    """``limit`` rows from the ``start``-th on, newest first, over all ``sides``."""
    rows: list[Order] = []
    for side in sides:
        rows += side.order_by("-created_at", "-id")[: start + limit]
    rows.sort(key=_newest, reverse=True)
    return rows[start : start + limit]


def _newest(order: Order) -> tuple[datetime, int]:
    return order.created_at, order.pk


def _encode(order: Order) -> str:
    text = f"{order.created_at.isoformat()}|{order.pk}"
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _decode(cursor: str) -> tuple[datetime, int]:
    try:
        text = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode()
        moment, last = text.split("|")
        at = datetime.fromisoformat(moment)
        if at.tzinfo is None:
            raise ValueError("our cursors have a zone")
        return at, int(last)
    except (ValueError, binascii.Error, UnicodeDecodeError):
        raise KauriError("validation_error", "unknown cursor", fields={"cursor": "unknown cursor"}) from None


def cooling_off(user: User) -> list[dict[str, Any]]:
    """Who took an account over has just changed its password or its second factor."""
    until = cooling_until(user)
    if until is None:
        return []
    return [
        {
            "rule": "security_changed",
            "text": "The password or the second factor was changed lately",
            "value": f"{clock.iso(user.security_changed_at)} – {clock.iso(until)}",
            "limit": "",
        }
    ]
