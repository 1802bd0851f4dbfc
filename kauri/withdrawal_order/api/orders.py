"""Money out: asked for, asked for again, taken back."""

from __future__ import annotations

import uuid
from typing import Any

from django.http import HttpRequest, HttpResponse
from ninja import Router, Schema
from pydantic import Field

from kauri.common.api import Amount, AmountIn, errors, require_scope
from kauri.common.urls import check_callback_url
from kauri.order_core.models import Order
from kauri.order_core.money_call import IDEMPOTENCY_HEADER, ORDER_CODES, caller, money_call
from kauri.payment_card.fingerprints import request_digest
from kauri.withdrawal_order import services

router = Router()

CODES = (
    *ORDER_CODES,
    "invalid_destination",
    "destination_not_allowed",
    "confirmation_unavailable",
    "provider_unavailable",
    "rate_limited",
)


class WithdrawalIn(Schema):
    """``amount`` is what shall arrive; the fee is taken on top."""

    currency: str = Field(..., max_length=12, examples=["USDT"])
    amount: AmountIn = Field(..., examples=["24.50"])
    wallet_to: str = Field(
        ..., min_length=1, max_length=128, examples=["0x9858EfFD232B4033E47d90003D41EC34EcaEda94"]
    )
    withdrawal_type: str = Field("GATEWAY", max_length=20, examples=["GATEWAY"])
    payment_method: str | None = Field(None, max_length=24, examples=["ERC20"])
    external_id: str | None = Field(None, max_length=128, examples=["payout-0001"])
    callback_url: str | None = Field(None, max_length=500, examples=["https://shop.example/kauri"])
    comment: str | None = Field(None, max_length=500, examples=["Salary of May"])
    additional_info: dict[str, Any] = Field(default_factory=dict)
    totp_code: str | None = Field(None, max_length=12, description="Where the amount needs one.")


class WithdrawalRepeatIn(Schema):
    order_id: uuid.UUID = Field(..., description="A withdrawal of one's own that has ended.")
    amount: AmountIn | None = Field(None, examples=["25.00"], description="Left out: the same again.")
    totp_code: str | None = Field(None, max_length=12, description="Where the amount needs one.")


class WithdrawalCancelIn(Schema):
    order_id: uuid.UUID = Field(..., description="A withdrawal of one's own that still waits.")


class WithdrawalOut(Schema):
    status: str = "success"
    order_id: str = Field(..., examples=["0a6282ec-f63d-4a15-a16c-a128b46eb7eb"])
    order_status: str = Field(..., examples=["WAITING_FOR_OPERATOR_CONFIRMATION"])
    amount: Amount = Field(..., examples=[25], description="What leaves the balance.")
    fee: Amount = Field(..., examples=[0.5])
    amount_to_withdrawal: Amount = Field(..., examples=[24.5], description="What arrives.")


@router.post(
    "/withdrawal",
    response={200: WithdrawalOut, **errors(*CODES)},
    operation_id="withdrawal_create",
    openapi_extra=IDEMPOTENCY_HEADER,
)
def withdrawal_create(request: HttpRequest, data: WithdrawalIn) -> HttpResponse:
    """Pay out of the balance. Money is held at once; an operator may have to approve.

    `WAITING_FOR_CONFIRMATION`: a letter with a code was sent, for `withdrawal/confirm` within 30 minutes.
    """
    require_scope(request, "withdraw")
    check_callback_url(data.callback_url or "")

    def run() -> dict[str, Any]:
        order = services.withdrawal_create(
            request=services.WithdrawalRequest(
                user_id=request.auth.pk,  # type: ignore[attr-defined]
                currency=data.currency.strip().upper(),
                amount=data.amount,
                destination=data.wallet_to,
                network=data.payment_method or "",
                external_id=data.external_id or "",
                callback_url=data.callback_url or "",
                comment=data.comment or "",
                additional_info=data.additional_info,
                ip=request.client_ip,  # type: ignore[attr-defined]
                country=request.client_country,  # type: ignore[attr-defined]
                user_agent=request.headers.get("User-Agent", ""),
                totp_code=data.totp_code or "",
            ),
            actor=caller(request),
        )
        return body_of(order)

    return money_call(
        request,
        endpoint="withdrawal_create",
        external_id=data.external_id,
        totp_code=data.totp_code,
        run=run,
        # The destination may be a card's number.
        body=request_digest(request.body),
    )


@router.post(
    "/withdrawal/repeat",
    response={200: WithdrawalOut, **errors(*CODES, "not_found", "wrong_state")},
    operation_id="withdrawal_repeat",
    openapi_extra=IDEMPOTENCY_HEADER,
)
def withdrawal_repeat(request: HttpRequest, data: WithdrawalRepeatIn) -> HttpResponse:
    """The same withdrawal again, of the same or another amount."""
    require_scope(request, "withdraw")

    def run() -> dict[str, Any]:
        order = services.withdrawal_repeat(
            order_id=data.order_id,
            amount=data.amount,
            user_id=request.auth.pk,  # type: ignore[attr-defined]
            actor=caller(request),
            ip=request.client_ip,  # type: ignore[attr-defined]
            country=request.client_country,  # type: ignore[attr-defined]
            user_agent=request.headers.get("User-Agent", ""),
            totp_code=data.totp_code or "",
        )
        return body_of(order)

    return money_call(
        request, endpoint="withdrawal_repeat", external_id=None, totp_code=data.totp_code, run=run
    )


@router.post(
    "/withdrawal/cancel",
    response={
        200: WithdrawalOut,
        **errors(
            "validation_error",
            "unauthenticated",
            "forbidden",
            "ip_not_allowed",
            "not_found",
            "wrong_state",
            "conflict",
            "idempotency_mismatch",
            "rate_limited",
        ),
    },
    operation_id="withdrawal_cancel",
    openapi_extra=IDEMPOTENCY_HEADER,
)
def withdrawal_cancel(request: HttpRequest, data: WithdrawalCancelIn) -> HttpResponse:
    """Take a withdrawal back while it waits, for a code or for an operator: what was held is available again."""
    require_scope(request, "withdraw")

    def run() -> dict[str, Any]:
        order = services.withdrawal_cancel(
            order_id=data.order_id,
            user_id=request.auth.pk,  # type: ignore[attr-defined]
            actor=caller(request),
        )
        return body_of(order)

    return money_call(request, endpoint="withdrawal_cancel", external_id=None, totp_code=None, run=run)


def body_of(order: Order) -> dict[str, Any]:
    """What every call about one withdrawal answers."""
    return {
        "status": "success",
        "order_id": str(order.public_id),
        "order_status": order.status,
        "amount": order.amount_in,
        "fee": order.fee,
        "amount_to_withdrawal": order.amount_out,
    }
