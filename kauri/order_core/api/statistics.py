"""What the caller's orders came to."""

from __future__ import annotations

from typing import Any, Literal

from django.http import HttpRequest
from ninja import Query, Router, Schema
from pydantic import Field

from kauri.common import clock
from kauri.common.api import Amount, Moment, errors, require_scope
from kauri.common.errors import KauriError
from kauri.order_core import statistics
from kauri.order_core.api.orders import utc
from kauri.order_core.states import OrderType

router = Router(tags=["Orders"])


class StatisticsQuery(Schema):
    """Without moments: the last 30 days."""

    period: Literal["day", "week", "month"] = "day"
    from_timestamp: Moment | None = None
    till_timestamp: Moment | None = None
    order_type: OrderType | None = None
    of: Literal["own", "system"] = Field("own", description="system: for operators who may see orders.")


class StatisticsRow(Schema):
    """``turnover`` and ``fees`` are those of orders that were done."""

    period: str = Field(..., examples=["2026-11-22"], description="Its first day, UTC.")
    order_type: str = Field(..., examples=["WITHDRAWAL"])
    direction: str = Field(..., examples=["out"])
    currency: str = Field(..., examples=["USDT"])
    orders: int = Field(..., examples=[3])
    closed: int = Field(..., examples=[2])
    turnover: Amount = Field(..., examples=[250])
    fee_currency: str = Field(..., examples=["USDT"])
    fees: Amount = Field(..., examples=[2])


class StatisticsOut(Schema):
    status: str = "success"
    from_timestamp: str = Field(..., examples=["2026-10-23T12:00:00Z"])
    till_timestamp: str = Field(..., examples=["2026-11-22T12:00:00Z"])
    statistics: list[StatisticsRow]


@router.get(
    "/statistics",
    response={
        200: StatisticsOut,
        **errors("unauthenticated", "validation_error", "forbidden", "rate_limited"),
    },
    operation_id="statistics",
)
def statistics_read(request: HttpRequest, query: Query[StatisticsQuery]) -> dict[str, Any]:
    """Counts, turnover and fees by period, order type and currency."""
    require_scope(request, "read")
    user = request.auth  # type: ignore[attr-defined]
    asked = statistics.question(
        query.period, utc(query.from_timestamp), utc(query.till_timestamp), query.order_type or ""
    )
    if query.of == "system":
        if not (user.is_staff and user.has_perm("order_core.view_order")):
            raise KauriError("forbidden", "for operators who may see orders")
        rows = statistics.of_system(asked)
    else:
        rows = statistics.of_customer(user.pk, asked)
    return {
        "from_timestamp": clock.iso(asked.since),
        "till_timestamp": clock.iso(asked.till),
        "statistics": rows,
    }
