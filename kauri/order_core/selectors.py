"""Reading orders: the object that clients see, and history pages."""

from __future__ import annotations

import base64
import binascii
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from django.db.models import Q, QuerySet

from kauri.common import clock
from kauri.common.errors import KauriError
from kauri.common.money import exact
from kauri.order_core.models import Order


def old_time(moment: datetime | None) -> str | None:
    """The old order object's ``dt``: naive UTC with microseconds, null while unset."""
    return None if moment is None else moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")


def order_object(order: Order, details: dict[str, Any]) -> dict[str, Any]:
    """The order as the old API's clients know it, with what we added beside it."""
    is_out = order.type == "WITHDRAWAL"
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
    """The orders that this customer may see."""
    return Order.objects.filter(owner_id=owner_id).select_related(
        "owner", "currency_in", "currency_out", "fee_currency"
    )


def order_of(owner_id: int, public_id: uuid.UUID) -> Order:
    """One order of this customer; ``not_found`` for anybody else's."""
    order = for_owner(owner_id).filter(public_id=public_id).first()
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


def after_cursor(orders: QuerySet[Order], cursor: str, limit: int) -> tuple[list[Order], str | None]:
    """The page behind ``cursor`` ('' for the first), newest first, and the next page's cursor."""
    orders = orders.order_by("-created_at", "-id")
    if cursor:
        moment, last = _decode(cursor)
        orders = orders.filter(Q(created_at__lt=moment) | Q(created_at=moment, id__lt=last))
    rows = list(orders[: limit + 1])
    more = len(rows) > limit
    rows = rows[:limit]
    return rows, _encode(rows[-1]) if more else None


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
