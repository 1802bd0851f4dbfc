"""The account as its owner reads it: who they are, and on what terms they move money."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from ninja import Router, Schema
from pydantic import Field

from kauri.account.models import User
from kauri.account.selectors import has_second_factor
from kauri.common import clock
from kauri.common.api import errors, language_of, require_scope
from kauri.order_core import profile
from kauri.order_core.api.shapes import Fees, Limits, Rules

router = Router(tags=["Account"])

LIMITS = {
    "USDT": {
        "GATEWAY": {
            "min_amount": 5,
            "max_amount": 100000,
            "daily_amount": 200000,
            "monthly_amount": None,
            "daily_count": 20,
        }
    }
}
FEES = {
    "USDT": {"GATEWAY": {"static_fee": 0, "percent_fee": 0.5, "min_fee": 1, "max_fee": 50}},
}
RULES = {
    "USDT": {
        "GATEWAY": {
            "is_withdrawal_enabled": True,
            "disable_description": "",
            "is_repeat_enabled": True,
            "is_cancel_enabled": True,
            "required_level": 1,
        }
    }
}


class AccountInfoOut(Schema):
    """The blocks are keyed by currency, sub type and, where a currency has several, network.

    A limit in US dollars stands under its name with ``_usd``, and its old name is null then.
    """

    status: str = "success"
    name: str = Field(..., examples=["customer"])
    email: str = Field(..., examples=["customer@example.com"])
    account_number: str = Field(..., examples=["KA123456789012345"])
    account_type: str = Field(..., examples=["VERIFIED"], description="NOT_VERIFIED, VERIFIED or BUSINESS.")
    verification_level: int = Field(..., examples=[1])
    is_email_verified: bool = Field(..., examples=[True])
    is_2fa_enabled: bool = Field(..., examples=[False])
    language: str = Field(..., examples=["uk"])
    referral_id: str | None = Field(None, description="The old platform's; nobody is referred here.")
    created: str = Field(..., examples=["2026-11-22T12:00:00Z"])
    deposit_order_limits: Limits = Field(..., examples=[LIMITS])
    deposit_order_fees: Fees = Field(..., examples=[FEES])
    deposit_order_processing_rules: Rules
    withdrawal_order_limits: Limits = Field(..., examples=[LIMITS])
    withdrawal_order_fees: Fees = Field(..., examples=[FEES])
    withdrawal_order_processing_rules: Rules = Field(..., examples=[RULES])
    internal_movement_limits: Limits
    internal_movement_fees: Fees
    internal_movement_processing_rules: Rules


@router.get(
    "/user/account_info",
    response={200: AccountInfoOut, **errors("unauthenticated", "forbidden", "rate_limited")},
    operation_id="account_info",
)
def account_info(request: HttpRequest) -> dict[str, Any]:
    """The caller's profile, and per order type limits, fees and rules as they hold for them now."""
    require_scope(request, "read")
    user = request.auth  # type: ignore[attr-defined]
    assert isinstance(user, User)
    return {
        "name": user.get_short_name(),
        "email": user.email,
        "account_number": user.number,
        "account_type": _account_type(user),
        "verification_level": user.verification_level,
        "is_email_verified": user.email_verified_at is not None,
        "is_2fa_enabled": has_second_factor(user),
        "language": user.language,
        "created": clock.iso(user.created_at),
        **profile.terms(user, language_of(request)),
    }


def _account_type(user: User) -> str:
    """The old platform's three words."""
    if user.account_type == User.AccountType.BUSINESS:
        return "BUSINESS"
    return "VERIFIED" if user.verification_level else "NOT_VERIFIED"
