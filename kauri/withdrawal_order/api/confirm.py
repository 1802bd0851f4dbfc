"""The customer confirms a withdrawal with the code of a letter."""

from __future__ import annotations

import uuid
from typing import Any

from django.http import HttpRequest
from ninja import Router, Schema
from pydantic import Field

from kauri.common.api import errors, require_scope
from kauri.common.locks import retried
from kauri.order_core.money_call import caller
from kauri.withdrawal_order import confirming
from kauri.withdrawal_order.api.orders import WithdrawalOut, body_of

router = Router()

_DOOR = (
    "validation_error",
    "unauthenticated",
    "forbidden",
    "ip_not_allowed",
    "not_found",
    "wrong_state",
    "rate_limited",
)
ORDER_ID = Field(..., description="A withdrawal of one's own that is `WAITING_FOR_CONFIRMATION`.")


class WithdrawalConfirmIn(Schema):
    order_id: uuid.UUID = ORDER_ID
    code: str = Field("", max_length=16, examples=["12345678"], description="From the letter: eight digits.")
    totp_code: str | None = Field(
        None, max_length=12, description="Only where no letter reaches the account: instead of `code`."
    )


class WithdrawalResendIn(Schema):
    order_id: uuid.UUID = ORDER_ID


@router.post(
    "/withdrawal/confirm",
    response={
        200: WithdrawalOut,
        **errors(
            *_DOOR,
            "wrong_code",
            "account_disabled",
            "totp_required",
            "totp_invalid",
            "confirmation_unavailable",
            "conflict",
        ),
    },
    operation_id="withdrawal_confirm",
)
def withdrawal_confirm(request: HttpRequest, data: WithdrawalConfirmIn) -> dict[str, Any]:
    """Confirm a withdrawal with the code of its letter: it goes on to an operator, or out.

    Five tries a letter; a confirmed one answers the same again.
    """
    require_scope(request, "withdraw")
    order = retried(
        lambda: confirming.withdrawal_confirm(
            order_id=data.order_id,
            code=data.code,
            totp_code=data.totp_code or "",
            user_id=request.auth.pk,  # type: ignore[attr-defined]
            actor=caller(request),
        )
    )
    return body_of(order)


@router.post(
    "/withdrawal/confirm/resend",
    response={200: WithdrawalOut, **errors(*_DOOR, "confirmation_unavailable", "conflict")},
    operation_id="withdrawal_confirm_resend",
)
def withdrawal_confirm_resend(request: HttpRequest, data: WithdrawalResendIn) -> dict[str, Any]:
    """Send another letter: its code replaces the one before, the time to confirm stays. Five letters an order."""
    require_scope(request, "withdraw")
    order = confirming.withdrawal_confirm_resend(
        order_id=data.order_id,
        user_id=request.auth.pk,  # type: ignore[attr-defined]
    )
    return body_of(order)
