"""The second factor."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from django.http import HttpRequest, HttpResponse
from ninja import Router, Schema
from pydantic import Field

from kauri.account import second_factor
from kauri.account.api.caller import by_token, ip_of, session_of
from kauri.common.api import errors

router = Router(tags=["Account"])

CODE = Field("", max_length=16, examples=["287082"], description="Of the authenticator; each is good once.")
RECOVERY_CODE = Field("", max_length=32, description="abcd-efgh-ijkl-mnop; instead of it, once.")


class QrCodeOut(Schema):
    status: str = "success"
    secret: str = Field(..., examples=["GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"])
    uri: str = Field(..., examples=["otpauth://totp/Kauri:customer%40example.com?secret=GEZD…&issuer=Kauri"])
    qr: str = Field(..., description="PNG, base64.")


class EnableIn(Schema):
    totp_code: str = Field(..., max_length=16, examples=["287082"])


class PassedOut(Schema):
    """The session's next pair; ``otp_device_id`` inside the token is set."""

    status: str = "success"
    token: str
    refresh: str


class EnabledOut(PassedOut):
    recovery_codes: list[str] = Field(
        ..., examples=[["abcd-efgh-ijkl-mnop"]], description="Ten, each good once; shown this once."
    )


class CodeIn(Schema):
    totp_code: str = CODE
    recovery_code: str = RECOVERY_CODE


class StatusOut(Schema):
    status: str = "success"


@router.get(
    "/user/totp/qr_code",
    response={200: QrCodeOut, **errors("unauthenticated", "forbidden", "wrong_state", "rate_limited")},
    operation_id="totp_qr_code",
)
def totp_qr_code(request: HttpRequest, response: HttpResponse) -> dict[str, Any]:
    """A new secret for an authenticator; `user/enable_2fa` puts it in force. Each call makes another."""
    response["Cache-Control"] = "no-store"
    return asdict(second_factor.totp_qr_code(user=by_token(request)))


@router.post(
    "/user/enable_2fa",
    response={
        200: EnabledOut,
        **errors("totp_required", "totp_invalid", "wrong_state"),
    },
    operation_id="enable_2fa",
)
def enable_2fa(request: HttpRequest, response: HttpResponse, data: EnableIn) -> dict[str, Any]:
    """Put the secret of `user/totp/qr_code` in force by a code made from it."""
    response["Cache-Control"] = "no-store"
    user, session = session_of(request)
    made, codes = second_factor.enable_2fa(user=user, session=session, code=data.totp_code, ip=ip_of(request))
    return {"token": made.token, "refresh": made.refresh, "recovery_codes": codes}


@router.post(
    "/user/totp/verify",
    response={
        200: PassedOut,
        **errors("totp_required", "totp_invalid", "wrong_state"),
    },
    operation_id="second_factor_verify",
)
def second_factor_verify(request: HttpRequest, data: CodeIn) -> dict[str, Any]:
    """Pass the second factor of the session that the token names."""
    user, session = session_of(request)
    made = second_factor.second_factor_verify(
        user=user,
        session=session,
        code=data.totp_code,
        recovery_code=data.recovery_code,
        ip=ip_of(request),
    )
    return {"token": made.token, "refresh": made.refresh}


@router.post(
    "/user/disable_2fa",
    response={
        200: StatusOut,
        **errors("totp_required", "totp_invalid", "wrong_state"),
    },
    operation_id="disable_2fa",
)
def disable_2fa(request: HttpRequest, data: CodeIn) -> dict[str, Any]:
    """Take the second factor off. For a day, money then leaves only after an operator has looked."""
    second_factor.disable_2fa(
        user=by_token(request),
        code=data.totp_code,
        recovery_code=data.recovery_code,
        ip=ip_of(request),
    )
    return {}
