"""Registration."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from ninja import Router, Schema, Status
from pydantic import Field

from kauri.account import services
from kauri.account.api.caller import count_open, ip_of
from kauri.common.api import errors, language_of

router = Router(tags=["Account"])


class UserCreateIn(Schema):
    email: str = Field(..., max_length=254, examples=["customer@example.com"])
    password: str = Field(..., min_length=1, max_length=128, examples=["correct horse battery staple"])
    username: str = Field("", max_length=64, examples=["customer"])


class UserCreateOut(Schema):
    status: str = "success"
    username: str = Field(..., examples=["customer"])
    email: str = Field(..., examples=["customer@example.com"])


class EmailVerifyIn(Schema):
    token: str = Field(
        ..., max_length=500, examples=["MTI:1tQ…"], description="The token of the link in the letter."
    )


class EmailVerifyOut(Schema):
    status: str = "success"
    email: str = Field(..., examples=["customer@example.com"])


@router.post(
    "/user/create",
    response={201: UserCreateOut, **errors("validation_error", "operation_disabled", "rate_limited")},
    operation_id="user_create",
    auth=None,
)
def user_create(request: HttpRequest, data: UserCreateIn) -> Status:
    """Register. A letter with a link, good for one day, goes to the address."""
    count_open(request)
    username, email = services.user_create(
        email=data.email,
        password=data.password,
        username=data.username,
        language=language_of(request),
        ip=ip_of(request),
    )
    return Status(201, {"username": username, "email": email})


@router.post(
    "/user/email/verify",
    response={200: EmailVerifyOut, **errors("wrong_code", "rate_limited")},
    operation_id="email_verify",
    auth=None,
)
def email_verify(request: HttpRequest, data: EmailVerifyIn) -> dict[str, Any]:
    """Confirm the e-mail address with the letter's token."""
    count_open(request)
    return {"email": services.email_verify(token=data.token, ip=ip_of(request)).email}
