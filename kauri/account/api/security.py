"""Passwords, allowed addresses, and the phrase of our letters."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from ninja import Router, Schema
from pydantic import Field

from kauri.account import addresses, passwords
from kauri.account.api.caller import by_token, count_open, ip_of, session_of
from kauri.common.api import errors

router = Router(tags=["Account"])

PASSWORD = Field(..., min_length=1, max_length=128, examples=["correct horse battery staple"])
TOTP_CODE = Field(
    None, max_length=16, examples=["287082"], description="Where the account has an authenticator."
)


class StatusOut(Schema):
    status: str = "success"


class ChangePasswordIn(Schema):
    old_password: str = PASSWORD
    new_password: str = PASSWORD
    totp_code: str | None = TOTP_CODE


class SendLinkIn(Schema):
    email: str = Field(..., max_length=254, examples=["customer@example.com"])


class SetNewPasswordIn(Schema):
    token: str = Field(
        ..., max_length=500, examples=["MTI:1tQ…"], description="From the letter; good for an hour, once."
    )
    password: str = PASSWORD


class WhiteIpIn(Schema):
    ip: str = Field(..., max_length=45, examples=["203.0.113.7"])
    totp_code: str | None = TOTP_CODE
    code: str | None = Field(None, max_length=16, description="From the letter: eight digits.")


class WhiteIpOut(Schema):
    """``pending`` waits for the code of the letter; an ``active`` list closes the account to all else."""

    status: str = "success"
    ip: str = Field(..., examples=["203.0.113.7"])
    state: str = Field(..., examples=["pending", "active", "deleted"])


class AntiPhishingCodeIn(Schema):
    phrase: str = Field(..., max_length=40, examples=["blue heron"], description="Empty takes it off.")
    totp_code: str | None = TOTP_CODE


@router.post(
    "/user/change_password",
    response={
        200: StatusOut,
        **errors("validation_error", "totp_required", "totp_invalid", "conflict"),
    },
    operation_id="change_password",
)
def change_password(request: HttpRequest, data: ChangePasswordIn) -> dict[str, Any]:
    """Change the password with the old one. The account's other sessions end."""
    user, session = session_of(request)
    passwords.change_password(
        user=user,
        session=session,
        old_password=data.old_password,
        new_password=data.new_password,
        totp_code=data.totp_code or "",
        ip=ip_of(request),
    )
    return {}


@router.post(
    "/user/reset_password/send_link",
    response={200: StatusOut, **errors("validation_error", "rate_limited")},
    operation_id="reset_ask",
    auth=None,
)
def reset_ask(request: HttpRequest, data: SendLinkIn) -> dict[str, Any]:
    """Ask for a letter with a link for a new password. The answer says nothing about who has an account."""
    count_open(request)
    passwords.reset_ask(email=data.email)
    return {}


@router.post(
    "/user/reset_password/set_new_password",
    response={200: StatusOut, **errors("validation_error", "wrong_code", "rate_limited")},
    operation_id="set_new_password",
    auth=None,
)
def set_new_password(request: HttpRequest, data: SetNewPasswordIn) -> dict[str, Any]:
    """Set a new password with the letter's token. All sessions end; for a day operators look at what leaves."""
    count_open(request)
    passwords.set_new_password(token=data.token, password=data.password, ip=ip_of(request))
    return {}


@router.post(
    "/user/white_ip/create",
    response={
        200: WhiteIpOut,
        **errors("validation_error", "wrong_code", "limit_exceeded", "totp_required", "totp_invalid"),
    },
    operation_id="white_ip_create",
)
def white_ip_create(request: HttpRequest, data: WhiteIpIn) -> dict[str, Any]:
    """Allow an address: with `totp_code`, or in two calls, the second with the `code` of a letter.

    Once one is active, tokens and keys are answered from the allowed addresses only.
    """
    row = addresses.white_ip_create(
        user=by_token(request),
        address=data.ip,
        totp_code=data.totp_code or "",
        code=data.code or "",
        ip=ip_of(request),
    )
    return {"ip": row.ip, "state": "active" if row.confirmed_at else "pending"}


@router.post(
    "/user/white_ip/delete",
    response={
        200: WhiteIpOut,
        **errors("validation_error", "wrong_code", "not_found", "totp_required", "totp_invalid"),
    },
    operation_id="white_ip_delete",
)
def white_ip_delete(request: HttpRequest, data: WhiteIpIn) -> dict[str, Any]:
    """Take an address off the list, confirmed like its creation."""
    gone = addresses.white_ip_delete(
        user=by_token(request),
        address=data.ip,
        totp_code=data.totp_code or "",
        code=data.code or "",
        ip=ip_of(request),
    )
    return {"ip": data.ip.strip(), "state": "deleted" if gone else "active"}


@router.post(
    "/user/anti_phishing_code",
    response={
        200: StatusOut,
        **errors("validation_error", "totp_required", "totp_invalid"),
    },
    operation_id="anti_phishing_code_set",
)
def anti_phishing_code_set(request: HttpRequest, data: AntiPhishingCodeIn) -> dict[str, Any]:
    """A phrase of the customer's own, shown in every letter: a letter without it is not ours."""
    passwords.anti_phishing_code_set(
        user=by_token(request), phrase=data.phrase, totp_code=data.totp_code or "", ip=ip_of(request)
    )
    return {}
