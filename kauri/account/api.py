"""Registration, sign-in and API keys."""

from __future__ import annotations

import uuid
from typing import Any

from django.http import HttpRequest
from ninja import Router, Schema, Status
from pydantic import Field

from kauri.account import api_keys, services
from kauri.account.models import User
from kauri.common import throttle
from kauri.common.api import errors, language_of
from kauri.common.errors import KauriError

router = Router(tags=["Account"])

#: Calls that anybody may make, per address and minute.
OPEN_CALLS_PER_MINUTE = 30


class UserCreateIn(Schema):
    email: str = Field(..., max_length=254, examples=["customer@example.com"])
    password: str = Field(..., min_length=1, max_length=128, examples=["correct horse battery staple"])
    username: str = Field("", max_length=64, examples=["customer"])


class UserCreateOut(Schema):
    status: str = "success"
    username: str = Field(..., examples=["customer"])
    email: str = Field(..., examples=["customer@example.com"])


class EmailVerifyIn(Schema):
    token: str = Field(..., max_length=500, description="The token of the link in the letter.")


class EmailVerifyOut(Schema):
    status: str = "success"
    email: str = Field(..., examples=["customer@example.com"])


class ObtainTokenIn(Schema):
    email: str = Field(..., max_length=254, examples=["customer@example.com"])
    password: str = Field(..., max_length=128, examples=["correct horse battery staple"])


class ObtainTokenOut(Schema):
    """``otp_device_id`` inside the token is null until the second factor is passed."""

    status: str = "success"
    username: str = Field(..., examples=["customer"])
    token: str = Field(..., description="Access token, 15 minutes.")


class ApiKeyCreateIn(Schema):
    name: str = Field("API", max_length=64, examples=["shop"])
    scopes: list[str] = Field(..., max_length=4, examples=[["read", "withdraw"]])
    ips: list[str] = Field(default_factory=list, max_length=50, examples=[["203.0.113.7"]])


class ApiKeyOut(Schema):
    status: str = "success"
    api_key_id: uuid.UUID
    name: str = Field(..., examples=["shop"])
    state: str = Field(..., examples=["pending"])
    scopes: list[str] = Field(..., examples=[["read", "withdraw"]])


class ApiKeyVerifyIn(Schema):
    api_key_id: uuid.UUID
    code: str = Field(..., max_length=16, examples=["01234567"], description="From the letter.")


class ApiKeySecretOut(ApiKeyOut):
    """Key, secret and the secret of webhooks: shown this once."""

    key: str
    secret: str
    webhook_secret: str = Field(..., examples=["whsec_…"])


class ApiKeyDeleteIn(Schema):
    api_key_id: uuid.UUID


@router.post(
    "/user/create",
    response={201: UserCreateOut, **errors("validation_error", "operation_disabled", "rate_limited")},
    operation_id="user_create",
    auth=None,
)
def user_create(request: HttpRequest, data: UserCreateIn) -> Status:
    """Register. A letter with a link, good for one day, goes to the address."""
    _count(request)
    username, email = services.user_create(
        email=data.email,
        password=data.password,
        username=data.username,
        language=language_of(request),
        ip=_ip(request),
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
    _count(request)
    return {"email": services.email_verify(token=data.token, ip=_ip(request)).email}


@router.post(
    "/user/obtain_token",
    response={
        200: ObtainTokenOut,
        **errors("validation_error", "invalid_credentials", "email_not_verified", "rate_limited"),
    },
    operation_id="obtain_token",
    auth=None,
)
def obtain_token(request: HttpRequest, data: ObtainTokenIn) -> dict[str, Any]:
    """Sign in with e-mail and password."""
    _count(request)
    user, token = services.obtain_token(
        email=data.email,
        password=data.password,
        ip=_ip(request),
        user_agent=request.headers.get("User-Agent", ""),
    )
    return {"username": user.username, "token": token}


@router.post(
    "/user/api_keys/create",
    response={
        200: ApiKeyOut,
        **errors("validation_error", "unauthenticated", "limit_exceeded", "rate_limited"),
    },
    operation_id="api_key_create",
)
def api_key_create(request: HttpRequest, data: ApiKeyCreateIn) -> dict[str, Any]:
    """Ask for a key. It works once its code, sent by e-mail, is confirmed."""
    user = _by_token(request)
    key = api_keys.api_key_create(
        user=user, name=data.name, scopes=data.scopes, ips=data.ips, ip=_ip(request)
    )
    return {"api_key_id": key.public_id, "name": key.name, "state": key.state, "scopes": key.scopes}


@router.post(
    "/user/api_keys/verify",
    response={
        200: ApiKeySecretOut,
        **errors("wrong_code", "unauthenticated", "not_found", "wrong_state", "rate_limited", "forbidden"),
    },
    operation_id="api_key_verify",
)
def api_key_verify(request: HttpRequest, data: ApiKeyVerifyIn) -> dict[str, Any]:
    """Confirm a key's code. Key and secret are shown now and never again."""
    user = _by_token(request)
    key = api_keys.api_key_verify(user=user, api_key_id=data.api_key_id, code=data.code, ip=_ip(request))
    return {
        "api_key_id": key.public_id,
        "name": key.name,
        "state": key.state,
        "scopes": key.scopes,
        "key": key.key,
        "secret": key.secret,
        "webhook_secret": user.webhook_secret,
    }


@router.post(
    "/user/api_keys/delete",
    response={200: ApiKeyOut, **errors("unauthenticated", "not_found", "rate_limited", "forbidden")},
    operation_id="api_key_delete",
)
def api_key_delete(request: HttpRequest, data: ApiKeyDeleteIn) -> dict[str, Any]:
    """Stop a key for ever."""
    key = api_keys.api_key_delete(user=_by_token(request), api_key_id=data.api_key_id, ip=_ip(request))
    return {"api_key_id": key.public_id, "name": key.name, "state": key.state, "scopes": key.scopes}


def _by_token(request: HttpRequest) -> User:
    """Keys manage no keys: whoever steals one must not make another."""
    if getattr(request, "api_key", None) is not None:
        raise KauriError("forbidden", "sign in for this")
    user = request.auth  # type: ignore[attr-defined]
    assert isinstance(user, User)
    return user


def _count(request: HttpRequest) -> None:
    window = throttle.hit(f"open:{_ip(request)}", OPEN_CALLS_PER_MINUTE, 60)
    request.rate_window = window  # type: ignore[attr-defined]
    if window.exceeded:
        raise KauriError("rate_limited")


def _ip(request: HttpRequest) -> str:
    return str(getattr(request, "client_ip", ""))
