"""Orders of every type, as their owner sees them."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from django.db.models import Prefetch, QuerySet
from django.http import HttpRequest
from ninja import Query, Router, Schema
from pydantic import Field

from kauri.balance.selectors import order_transfers
from kauri.common import clock
from kauri.common.api import Moment, errors, require_scope
from kauri.common.errors import KauriError
from kauri.common.money import exact
from kauri.order_core import selectors
from kauri.order_core.api.shapes import OrderBody, OrderInFull
from kauri.order_core.models import Order
from kauri.order_core.states import OrderStatus, OrderType


@dataclass(frozen=True, slots=True)
class OrderView:
    """How one order type is shown: its body, the relations the body reads, and what a page adds.

    ``prefetch`` names relations to many, read by a query each.
    ``received`` is the body for the other side, where an order type has one.
    """

    body: Callable[[Order], dict[str, Any]]
    relations: tuple[str, ...]
    annotate: Callable[[QuerySet[Order]], QuerySet[Order]] | None = None
    received: Callable[[Order], dict[str, Any]] | None = None
    prefetch: tuple[Prefetch[Any], ...] = ()

    def shown(self, order: Order, user_id: int) -> dict[str, Any]:
        """The order as this customer may see it."""
        if order.owner_id != user_id and self.received is not None:
            return self.received(order)
        return self.body(order)


class HistoryQuery(Schema):
    """The old filters, plus ``external_id`` and ``cursor``."""

    order_type: OrderType | None = Field(None, examples=["WITHDRAWAL"])
    order_status: OrderStatus | None = Field(None, examples=["CLOSED"])
    order_sub_type: str = Field("", max_length=20, examples=["GATEWAY"])
    currency: str = Field("", max_length=12, examples=["USDT"])
    address: str = Field("", max_length=128)
    external_id: str = Field("", max_length=128, examples=["payout-0001"])
    from_timestamp: Moment | None = Field(None, examples=["2026-11-01T00:00:00Z"])
    till_timestamp: Moment | None = Field(None, examples=["2026-12-01T00:00:00Z"])
    page: int = Field(1, ge=1, le=1000)
    limit: int = Field(10, ge=1, le=100)
    limits: int | None = Field(None, ge=1, le=100, description="The old clients' spelling of limit.")
    cursor: str = Field("", max_length=200)


class HistoryOut(Schema):
    """``pages_count`` is exact up to 1,000 pages; ``next_cursor`` is null on the last page."""

    status: str = "success"
    orders: list[OrderBody]
    pages_count: int | None = None
    next_cursor: str | None = None


class DetailsOut(Schema):
    """One order with its history and its ledger transfers."""

    status: str = "success"
    order_id: uuid.UUID
    order_details: OrderInFull


def orders_router(views: Mapping[str, OrderView]) -> Router:
    """The router; ``views`` says how each order type is shown (the types live a floor above)."""
    router = Router(tags=["Orders"])
    relations = tuple({relation for view in views.values() for relation in view.relations})
    many = [relation for view in views.values() for relation in view.prefetch]

    def wide(orders: QuerySet[Order]) -> QuerySet[Order]:
        """With all that the bodies read, in the same query."""
        orders = orders.select_related(*relations).prefetch_related(*many)
        for view in views.values():
            orders = view.annotate(orders) if view.annotate else orders
        return orders

    @router.get(
        "/orders/history",
        response={
            200: HistoryOut,
            **errors("unauthenticated", "validation_error", "forbidden", "rate_limited"),
        },
        operation_id="orders_history",
    )
    def orders_history(request: HttpRequest, query: Query[HistoryQuery]) -> dict[str, Any]:
        """The caller's orders, newest first, by page or by cursor."""
        require_scope(request, "read")
        user_id = request.auth.pk  # type: ignore[attr-defined]
        asked = _filters(query)
        limit = query.limits or query.limit
        page = selectors.page(
            [asked.apply(orders) for orders in selectors.sides(user_id, query.order_type)],
            wide,
            limit=limit,
            number=query.page,
            cursor=query.cursor,
        )
        return {
            "orders": [views[order.type].shown(order, user_id) for order in page.orders],
            "pages_count": None if page.total is None else -(-page.total // limit),
            "next_cursor": page.cursor,
        }

    def details(request: HttpRequest, order_id: uuid.UUID) -> dict[str, Any]:
        """One of the caller's orders in full."""
        require_scope(request, "read")
        user_id = request.auth.pk  # type: ignore[attr-defined]
        order = selectors.order_of(user_id, order_id)
        body = views[order.type].shown(order, user_id)
        return {
            "order_id": order.public_id,
            "order_details": {
                **body,
                "history": [
                    {"from": row.from_status or None, "to": row.to_status, "at": clock.iso(row.at)}
                    for row in order.transitions.all()
                ],
                "transfers": _transfers(order, user_id),
            },
        }

    answers = {
        200: DetailsOut,
        **errors("unauthenticated", "validation_error", "not_found", "forbidden", "rate_limited"),
    }
    router.get("/orders/details", response=answers, operation_id="orders_details")(details)
    router.get("/orders/detail", response=answers, operation_id="orders_detail", include_in_schema=False)(
        details
    )
    return router


def _filters(query: HistoryQuery) -> selectors.Filters:
    return selectors.Filters(
        order_type=query.order_type or "",
        order_status=query.order_status or "",
        order_sub_type=query.order_sub_type,
        currency=query.currency.upper(),
        external_id=query.external_id,
        address=query.address,
        from_timestamp=utc(query.from_timestamp),
        till_timestamp=utc(query.till_timestamp),
    )


def utc(moment: datetime | None) -> datetime | None:
    """Old clients send times without a zone: UTC is meant. ``validation_error`` outside of all time."""
    if moment is None or moment.tzinfo is None:
        return moment and moment.replace(tzinfo=UTC)
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise KauriError("validation_error", "a moment outside of the calendar") from None


def _transfers(order: Order, user_id: int) -> list[dict[str, Any]]:
    """The order's transfers that touch this customer's accounts, with only those entries."""
    rows = [
        {
            "transfer_id": str(transfer.key),
            "kind": transfer.get_kind_display(),
            "at": clock.iso(transfer.created_at),
            "entries": [
                {
                    "currency": entry.account.currency.code,
                    "account": "available" if entry.account.kind == 1 else "held",
                    "amount": exact(entry.amount, entry.account.currency.scale),
                }
                for entry in transfer.entries.all()
                if entry.account.customer_id == user_id
            ],
        }
        for transfer in order_transfers(order.public_id)
    ]
    return [row for row in rows if row["entries"]]
