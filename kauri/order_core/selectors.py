"""Reading orders: the object that clients see, and history pages."""

from __future__ import annotations

import base64
import binascii
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from django.db.models import Count, IntegerField, Q, QuerySet, Subquery, Sum, Value
from django.utils.translation import gettext as _

from kauri.account.models import User
from kauri.account.selectors import cooling_until
from kauri.common import clock
from kauri.common.errors import KauriError
from kauri.common.money import exact
from kauri.core.models import Currency
from kauri.order_core.models import Approval, ApprovalVote, Order
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


class CountOf(Subquery):
    """How many rows a query has, as a value inside another."""

    template = "(select count(*) from (%(subquery)s) counted)"
    output_field = IntegerField()


@dataclass(frozen=True, slots=True)
class Page:
    """One page: its orders, the next page's cursor, and how many orders there are (up to a bound)."""

    orders: list[Order]
    cursor: str | None
    total: int | None


def page(
    sides: Sequence[QuerySet[Order]],
    wide: Callable[[QuerySet[Order]], QuerySet[Order]],
    *,
    limit: int,
    number: int = 1,
    cursor: str = "",
) -> Page:
    """The page behind ``cursor``, or page ``number``; newest first. One query, two for an empty page.

    ``sides`` are disjoint (orders made, orders received): each is read by its own index, then merged.
    ``wide`` adds what the orders' bodies read. ``total`` goes up to 1,000 pages, and is None behind a cursor.
    """
    start = 0 if cursor else (number - 1) * limit
    newest = [
        _before(side, cursor).order_by("-created_at", "-id").values("pk")[: start + limit + 1]
        for side in sides
    ]
    found = newest[0].union(*newest[1:], all=True) if newest[1:] else newest[0]
    orders = wide(_shown(Order.objects.filter(pk__in=found))).order_by("-created_at", "-id")
    count = sum((CountOf(side.order_by().values("pk")[: 1000 * limit]) for side in sides), Value(0))
    if not cursor:
        orders = orders.annotate(total=count)
    rows = list(orders[start : start + limit + 1])
    if cursor:
        total = None
    elif rows:
        total = rows[0].total  # type: ignore[attr-defined]
    else:
        total = sum(side.order_by()[: 1000 * limit].count() for side in sides) if start else 0
    shown = rows[:limit]
    return Page(shown, _encode(shown[-1]) if len(rows) > limit else None, total)


def _before(side: QuerySet[Order], cursor: str) -> QuerySet[Order]:
    if not cursor:
        return side
    moment, last = _decode(cursor)
    return side.filter(Q(created_at__lt=moment) | Q(created_at=moment, id__lt=last))


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


def happened(approval: Approval) -> str:
    """In words, what became of the order meanwhile; empty while it waits for anybody."""
    if approval.state == Approval.State.WITHDRAWN:
        return _("The customer withdrew this order.")
    if approval.state == Approval.State.PENDING:
        if approval.held_by is not None and approval.held_at is not None:
            words = _("%(who)s put it on hold at %(at)s UTC.")
            return words % {"who": approval.held_by.email, "at": f"{approval.held_at:%H:%M:%S}"}
        if approval.taken_by is None or approval.taken_at is None:
            return ""
        words = _("%(who)s took it at %(at)s UTC.")
        return words % {"who": approval.taken_by.email, "at": f"{approval.taken_at:%H:%M:%S}"}
    vote = approval.votes.order_by("-id").first()
    if vote is None:
        return ""
    approved = vote.decision == ApprovalVote.Decision.APPROVE
    words = _("%(who)s approved it at %(at)s UTC.") if approved else _("%(who)s rejected it at %(at)s UTC.")
    return words % {"who": vote.actor_label, "at": f"{vote.at:%Y-%m-%d %H:%M:%S}"}
