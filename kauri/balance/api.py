"""The customer's balance."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Any

from django.http import HttpRequest
from ninja import Query, Router, Schema
from pydantic import Field, WithJsonSchema

from kauri.balance import selectors
from kauri.common import clock
from kauri.common.api import AMOUNT, Moment, component, errors, require_scope

router = Router(tags=["Account"])


_OLD = {
    "type": "object",
    "required": ["total", "reserved"],
    "properties": {"total": AMOUNT, "reserved": AMOUNT},
}
#: One currency's money. Its own code names the old form, which no class can say.
Money = Annotated[
    dict[str, Any],
    WithJsonSchema(
        component(
            "Money",
            {
                "type": "object",
                "required": ["currency", "available", "held"],
                "properties": {"currency": {"type": "string"}, "available": AMOUNT, "held": AMOUNT},
                "additionalProperties": _OLD,
            },
        )
    ),
]


class BalanceOut(Schema):
    """``balance[CUR][CUR]`` is the old form: ``total`` is what may be spent, ``reserved`` what is held."""

    status: str = "success"
    at: str = Field(..., examples=["2026-11-22T12:00:00Z"])
    balance: dict[str, Money] = Field(
        ...,
        examples=[
            {
                "USDT": {
                    "currency": "USDT",
                    "available": 75.5,
                    "held": 24.5,
                    "USDT": {"total": 75.5, "reserved": 24.5},
                }
            }
        ],
    )


@router.get(
    "/user/balance",
    response={
        200: BalanceOut,
        **errors("unauthenticated", "validation_error", "moment_unknown", "forbidden", "rate_limited"),
    },
    operation_id="balance_read",
)
def balance_read(
    request: HttpRequest, at: Moment | None = Query(None, description="A past moment, ISO 8601.")
) -> dict[str, Any]:
    """Every currency's available and held money, now or as of a past moment."""
    require_scope(request, "read")
    now = clock.now()
    rows = selectors.customer_balances(request.auth.pk, at)  # type: ignore[attr-defined]
    return {
        "at": clock.iso(at or now),
        "balance": {row.currency.code: _one(row) for row in rows},
    }


def _one(row: selectors.CustomerBalance) -> dict[str, Any]:
    amounts: dict[str, Decimal] = {"total": row.available, "reserved": row.held}
    return {
        "currency": row.currency.code,
        "available": row.available,
        "held": row.held,
        row.currency.code: amounts,
    }
