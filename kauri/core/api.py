"""Currencies and pairs."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from django.views.decorators.http import conditional_page
from ninja import Query, Router, Schema
from ninja.decorators import decorate_view
from pydantic import Field

from kauri.core import selectors

router = Router(tags=["Market"])


class NetworkOut(Schema):
    name: str = Field(..., examples=["erc20"])
    title: str = Field(..., examples=["Ethereum (ERC-20)"])
    environment: str = Field(..., examples=["mainnet"])
    confirmations: int = Field(..., examples=[12])
    is_enabled: bool


class CurrencyOut(Schema):
    """``scale`` is how many digits an amount may have behind the point."""

    name: str = Field(..., examples=["USDT"])
    title: str = Field(..., examples=["Tether"])
    kind: str = Field(..., examples=["crypto"])
    scale: int = Field(..., examples=[6])
    is_enabled: bool
    networks: list[NetworkOut]


class CurrenciesOut(Schema):
    """Codes; with ``details=1`` objects with kind, scale, networks and switches."""

    status: str = "success"
    currencies: list[str] | list[CurrencyOut] = Field(..., examples=[["BTC", "ETH", "USDT", "UAH"]])


class PairOut(Schema):
    """``name`` is ``<get>_<spend>``."""

    name: str = Field(..., examples=["BTC_UAH"])
    currency_to_spend: str = Field(..., examples=["UAH"])
    currency_to_get: str = Field(..., examples=["BTC"])
    base_currency: str = Field(..., examples=["BTC"])


class PairsOut(Schema):
    """Every pair in both directions."""

    status: str = "success"
    pairs: list[PairOut]


@router.get("/currency", response=CurrenciesOut, operation_id="currency_list", auth=None)
@decorate_view(conditional_page)
def currency_list(request: HttpRequest, details: bool = Query(False)) -> dict[str, Any]:
    """The currencies of the house. `If-None-Match` with the answer's `ETag`: 304 while nothing changed."""
    del request
    return {"currencies": selectors.currency_details() if details else selectors.currency_codes()}


@router.get("/pair", response=PairsOut, operation_id="pair_list", auth=None)
@decorate_view(conditional_page)
def pair_list(request: HttpRequest) -> dict[str, Any]:
    """The pairs that can be exchanged, one row a direction. `If-None-Match` with the answer's `ETag`: 304."""
    del request
    return {"pairs": selectors.pair_directions()}
