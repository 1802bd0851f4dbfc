"""Where customers pay in."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from ninja import Router, Schema
from pydantic import Field

from kauri.common.api import AmountIn, errors, require_scope
from kauri.deposit_order import addresses

router = Router(tags=["Deposits"])


class DepositAddressIn(Schema):
    """The old call's fields; ``payment_method`` names the network where a currency has several."""

    currency: str = Field(..., max_length=12, examples=["USDT"])
    payment_type: str = Field("P2P", max_length=20)
    payment_method: str | None = Field(None, max_length=24, examples=["ERC20"])
    amount_to_spend: AmountIn | None = Field(None, examples=["100.00"])
    callback_url: str | None = Field(None, max_length=500, examples=["https://shop.example/kauri"])
    success_url: str | None = Field(None, max_length=500)
    external_id: str = Field("", max_length=128)
    additional_info: dict[str, Any] = Field(default_factory=dict)


class DepositAddressOut(Schema):
    """``addr`` and ``qr`` (base64 PNG) for crypto, ``url`` for fiat."""

    status: str = "success"
    currency: str = Field(..., examples=["USDT"])
    network: str | None = Field(None, examples=["erc20"])
    addr: str | None = Field(None, examples=["0x9858EfFD232B4033E47d90003D41EC34EcaEda94"])
    qr: str | None = None
    url: str | None = None
    external_id: str | None = None
    confirmations: int | None = Field(None, examples=[12])


@router.post(
    "/deposit/address",
    response={
        200: DepositAddressOut,
        **errors(
            "unauthenticated",
            "validation_error",
            "invalid_amount",
            "operation_disabled",
            "currency_disabled",
            "provider_unavailable",
            "rate_limited",
        ),
    },
    operation_id="deposit_address",
)
def deposit_address(request: HttpRequest, data: DepositAddressIn) -> dict[str, Any]:
    """The caller's own deposit address (always the same one), or a payment link for fiat."""
    require_scope(request, "read")
    return addresses.deposit_address(
        user=request.auth,  # type: ignore[attr-defined]
        currency_code=data.currency,
        network=data.payment_method or "",
        amount=data.amount_to_spend,
        callback_url=data.callback_url or "",
        return_url=data.success_url or "",
        external_id=data.external_id,
    )
