"""What the account has, what it is worth in the other currencies, and where it pays in."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import ROUND_DOWN, Decimal
from typing import Annotated, Any

from django.http import HttpRequest
from ninja import Query, Router, Schema
from pydantic import Field, WithJsonSchema

from kauri.balance.selectors import CustomerBalance, customer_balances
from kauri.common import clock
from kauri.common.api import AMOUNT, Moment, component, errors, require_scope
from kauri.common.money import CONTEXT
from kauri.core.models import Currency
from kauri.exchange_rate.selectors import USD, fresh_usd_price, usd_rates
from kauri.wallet.selectors import address_qr, newest_address

router = Router(tags=["Account"])

Prices = Mapping[str, Decimal | None]

_UNKNOWN_TOO = {"anyOf": [AMOUNT, {"type": "null"}]}
_WORTH = {
    "type": "object",
    "required": ["total", "reserved"],
    "properties": {"total": _UNKNOWN_TOO, "reserved": _UNKNOWN_TOO},
}
#: One currency's money. The codes of the currencies name its worth in each, which no class can say.
Money = Annotated[
    dict[str, Any],
    WithJsonSchema(
        component(
            "Money",
            {
                "type": "object",
                "required": ["currency", "available", "held"],
                "properties": {"currency": {"type": "string"}, "available": AMOUNT, "held": AMOUNT},
                "additionalProperties": _WORTH,
            },
        )
    ),
]


class WalletOut(Schema):
    """Where the account pays in."""

    address: str = Field(..., examples=["0x52908400098527886E0F7030069857D2E4169EE7"])
    network: str = Field(..., examples=["ERC20"])
    qr_file_data: str = Field(..., description="PNG in base64.", examples=["iVBORw0KGgo="])


class BalanceOut(Schema):
    """``balance[CUR][OTHER]`` is what the account has in CUR, in OTHER: ``total`` may be spent, ``reserved`` is held.

    Between two currencies it is null where either has no fresh rate: unknown is not zero.
    """

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
                    "UAH": {"total": 3133.25, "reserved": 1016.75},
                    "BTC": {"total": None, "reserved": None},
                }
            }
        ],
    )
    wallets: dict[str, WalletOut] = Field(
        ...,
        description="The newest address of each currency that was given out.",
        examples=[
            {
                "USDT": {
                    "address": "0x52908400098527886E0F7030069857D2E4169EE7",
                    "network": "ERC20",
                    "qr_file_data": "iVBORw0KGgo=",
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
    """Every currency's available and held money, now (one query) or as of a past moment, with its worth then."""
    require_scope(request, "read")
    user_id: int = request.auth.pk  # type: ignore[attr-defined]
    also = {"found_address": newest_address(user_id, "pk"), "usd_price": fresh_usd_price("pk")}
    rows = customer_balances(user_id, at, also)
    currencies = [row.currency for row in rows]
    if at is None:
        prices: Prices = {currency.code: _price(currency) for currency in currencies}
    else:
        then = usd_rates(currencies, at)
        prices = {
            currency.code: quote.price if (quote := then.get(currency)) else None for currency in currencies
        }
    return {
        "at": clock.iso(at or clock.now()),
        "balance": {row.currency.code: _one(row, currencies, prices) for row in rows},
        "wallets": {currency.code: _wallet(currency) for currency in currencies if _address(currency)},
    }


def _one(row: CustomerBalance, currencies: list[Currency], prices: Prices) -> dict[str, Any]:
    worth = {
        other.code: {
            "total": _worth(row.available, row.currency, other, prices),
            "reserved": _worth(row.held, row.currency, other, prices),
        }
        for other in currencies
    }
    return {"currency": row.currency.code, "available": row.available, "held": row.held, **worth}


def _worth(amount: Decimal, own: Currency, other: Currency, prices: Prices) -> Decimal | None:
    """Rounded down to the other's scale, once; a figure to look at, nobody is paid it."""
    if own.pk == other.pk:
        return amount
    ours, theirs = prices[own.code], prices[other.code]
    if ours is None or theirs is None:
        return None
    exact = CONTEXT.divide(CONTEXT.multiply(amount, ours), theirs)
    return exact.quantize(Decimal(1).scaleb(-other.scale), ROUND_DOWN, CONTEXT)


def _price(currency: Currency) -> Decimal | None:
    return Decimal(1) if currency.code == USD else currency.usd_price  # type: ignore[attr-defined]


def _address(currency: Currency) -> dict[str, str] | None:
    return currency.found_address  # type: ignore[attr-defined, no-any-return]


def _wallet(currency: Currency) -> dict[str, str]:
    found = _address(currency) or {}
    return {**found, "qr_file_data": address_qr(found["address"])}
