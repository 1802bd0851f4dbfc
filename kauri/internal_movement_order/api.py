"""Money between customers, by API."""

from __future__ import annotations

import uuid
from typing import Any

from django.http import HttpRequest, HttpResponse
from ninja import Router, Schema
from pydantic import Field

from kauri.common import throttle
from kauri.common.api import Amount, AmountIn, errors, require_scope
from kauri.common.errors import KauriError
from kauri.common.urls import check_callback_url
from kauri.internal_movement_order import services
from kauri.internal_movement_order.models import MovementDetail
from kauri.order_core.models import Order
from kauri.order_core.money_call import IDEMPOTENCY_HEADER, ORDER_CODES, caller, money_call

router = Router(tags=["Internal movements"])

#: Names that led to nobody, per account and hour: enough for typing errors, not for finding out who is here.
UNKNOWN_AN_HOUR = 20

CODES = (*ORDER_CODES, "recipient_not_found")


class MovementIn(Schema):
    """Exactly one of the three destinations. The fee is on the sender or the recipient, as the house sets it."""

    currency: str = Field(..., max_length=12, examples=["UAH"])
    amount: AmountIn = Field(..., examples=["10.00"])
    destination_account_email: str | None = Field(None, max_length=254, examples=["friend@example.com"])
    destination_account_number: str | None = Field(
        None, max_length=32, description="As account_info says it: KA and digits."
    )
    destination_telegram: str | None = Field(
        None, max_length=64, description="A linked account's id or @name."
    )
    message: str | None = Field(None, max_length=500, description="For the recipient.")
    comment: str | None = Field(None, max_length=500, description="For the sender alone.")
    external_id: str | None = Field(None, max_length=128, examples=["gift-0001"])
    callback_url: str | None = Field(None, max_length=500, examples=["https://shop.example/kauri"])
    totp_code: str | None = Field(None, max_length=12, description="Where the amount needs one.")


class MovementRepeatIn(Schema):
    order_id: uuid.UUID = Field(..., description="A movement of one's own that has ended.")
    amount: AmountIn | None = Field(None, examples=["11.00"], description="Left out: the same again.")
    totp_code: str | None = Field(None, max_length=12, description="Where the amount needs one.")


class MovementOut(Schema):
    status: str = "success"
    order_id: str = Field(..., examples=["0a6282ec-f63d-4a15-a16c-a128b46eb7eb"])
    order_status: str = Field(..., examples=["CLOSED"])
    amount: Amount = Field(..., examples=[10.05], description="What leaves the balance.")
    fee: Amount = Field(..., examples=[0.05])
    amount_to_receive: Amount = Field(..., examples=[10], description="What the recipient gets.")


@router.post(
    "/internal_movement",
    response={200: MovementOut, **errors(*CODES)},
    operation_id="internal_movement_create",
    openapi_extra=IDEMPOTENCY_HEADER,
)
def internal_movement_create(request: HttpRequest, data: MovementIn) -> HttpResponse:
    """Move money to another customer, at once. Where a rule says so an operator looks first."""
    require_scope(request, "trade")
    check_callback_url(data.callback_url or "")
    _must_not_guess(request)
    addressed_by, addressed_to = _destination(data)

    def run() -> dict[str, Any]:
        order = services.movement_create(
            request=services.MovementRequest(
                user_id=request.auth.pk,  # type: ignore[attr-defined]
                currency=data.currency,
                amount=data.amount,
                addressed_by=addressed_by,
                addressed_to=addressed_to,
                message=data.message or "",
                comment=data.comment or "",
                external_id=data.external_id or "",
                callback_url=data.callback_url or "",
                ip=request.client_ip,  # type: ignore[attr-defined]
                user_agent=request.headers.get("User-Agent", ""),
                totp_code=data.totp_code or "",
            ),
            actor=caller(request),
        )
        return _body(order)

    try:
        return money_call(
            request,
            endpoint="internal_movement_create",
            external_id=data.external_id,
            totp_code=data.totp_code,
            run=run,
        )
    except KauriError as error:
        if error.code == "recipient_not_found":
            throttle.hit(_name(request), UNKNOWN_AN_HOUR, 3600)
        raise


@router.post(
    "/internal_movement/repeat",
    response={200: MovementOut, **errors(*CODES, "not_found", "wrong_state")},
    operation_id="internal_movement_repeat",
    openapi_extra=IDEMPOTENCY_HEADER,
)
def internal_movement_repeat(request: HttpRequest, data: MovementRepeatIn) -> HttpResponse:
    """The same movement again, of the same or another amount."""
    require_scope(request, "trade")

    def run() -> dict[str, Any]:
        order = services.movement_repeat(
            order_id=data.order_id,
            amount=data.amount,
            request_ip=request.client_ip,  # type: ignore[attr-defined]
            user_id=request.auth.pk,  # type: ignore[attr-defined]
            actor=caller(request),
            totp_code=data.totp_code or "",
        )
        return _body(order)

    return money_call(
        request, endpoint="internal_movement_repeat", external_id=None, totp_code=data.totp_code, run=run
    )


def _destination(data: MovementIn) -> tuple[MovementDetail.AddressedBy, str]:
    given = {
        MovementDetail.AddressedBy.EMAIL: data.destination_account_email,
        MovementDetail.AddressedBy.NUMBER: data.destination_account_number,
        MovementDetail.AddressedBy.TELEGRAM: data.destination_telegram,
    }
    named = [(by, to.strip()) for by, to in given.items() if to and to.strip()]
    if len(named) != 1:
        raise KauriError("validation_error", fields={"destination_account_email": "exactly one destination"})
    return named[0]


def _must_not_guess(request: HttpRequest) -> None:
    """Who named one unknown account after the other waits, whether the next one is known or not."""
    window = throttle.peek(_name(request), UNKNOWN_AN_HOUR, 3600)
    if window.remaining <= 0:
        request.rate_window = window  # type: ignore[attr-defined]
        raise KauriError("rate_limited")


def _name(request: HttpRequest) -> str:
    return f"recipient:{request.auth.pk}"  # type: ignore[attr-defined]


def _body(order: Order) -> dict[str, Any]:
    return {
        "status": "success",
        "order_id": str(order.public_id),
        "order_status": order.status,
        "amount": order.amount_in,
        "fee": order.fee,
        "amount_to_receive": order.amount_out,
    }
