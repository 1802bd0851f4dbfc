"""API keys."""

from __future__ import annotations

import uuid
from typing import Annotated, Any, Literal

from django.http import HttpRequest
from ninja import Router, Schema
from pydantic import Field, StrictBool, StrictInt, WithJsonSchema

from kauri.account import api_keys
from kauri.account.api.caller import by_token, ip_of
from kauri.account.models import ApiKey
from kauri.common.api import errors
from kauri.common.errors import KauriError

router = Router(tags=["Account"])


#: Checked by the service, which names the field.
Scope = Annotated[str, WithJsonSchema({"type": "string", "enum": list(ApiKey.Scope.values)})]


class ApiKeyCreateIn(Schema):
    """Version 1 signatures say neither when nor how often: only for clients of the old platform."""

    name: str = Field("API", max_length=64, examples=["shop"])
    scopes: list[Scope] = Field(..., min_length=1, max_length=4, examples=[["read", "withdraw"]])
    ips: list[str] = Field(default_factory=list, max_length=50, examples=[["203.0.113.7"]])
    signature_version: Literal[1, 2] = Field(
        2, examples=[2], description="1 takes both versions; withdrawals signed by 1 need a listed address."
    )
    window_ms: StrictInt = Field(
        5000, ge=1000, le=60_000, examples=[5000], description="How far Timestamp may be off."
    )
    decimals_as_strings: StrictBool = Field(
        False, examples=[False], description="Amounts in answers as strings."
    )


class ApiKeyOut(Schema):
    status: str = "success"
    api_key_id: uuid.UUID
    name: str = Field(..., examples=["shop"])
    state: str = Field(..., examples=["pending"])
    scopes: list[str] = Field(..., examples=[["read", "withdraw"]])
    ips: list[str] = Field(..., examples=[["203.0.113.7"]])
    signature_version: int = Field(..., examples=[2])
    window_ms: int = Field(..., examples=[5000])
    decimals_as_strings: bool = Field(..., examples=[False])


class ApiKeyVerifyIn(Schema):
    """One of the two codes."""

    api_key_id: uuid.UUID
    code: str | None = Field(None, max_length=16, examples=["01234567"], description="From the letter.")
    totp_code: str | None = Field(None, max_length=12, description="Of the account's authenticator instead.")


class ApiKeySecretOut(ApiKeyOut):
    """Key, secret and the secret of webhooks: shown this once."""

    key: str
    secret: str
    webhook_secret: str = Field(..., examples=["whsec_…"])


class ApiKeyDeleteIn(Schema):
    api_key_id: uuid.UUID


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
    user = by_token(request)
    wanted = api_keys.KeyRequest(
        name=data.name,
        scopes=data.scopes,
        ips=data.ips,
        signature_version=data.signature_version,
        window_ms=data.window_ms,
        decimals_as_strings=data.decimals_as_strings,
    )
    return _shown(api_keys.api_key_create(user=user, request=wanted, ip=ip_of(request)))


@router.post(
    "/user/api_keys/verify",
    response={
        200: ApiKeySecretOut,
        **errors(
            "validation_error",
            "wrong_code",
            "unauthenticated",
            "not_found",
            "wrong_state",
            "rate_limited",
            "forbidden",
            "totp_invalid",
        ),
    },
    operation_id="api_key_verify",
)
def api_key_verify(request: HttpRequest, data: ApiKeyVerifyIn) -> dict[str, Any]:
    """Confirm a key by the letter's code or by a one-time code. Key and secret are shown now and never again."""
    user = by_token(request)
    if bool(data.code) == bool(data.totp_code):
        raise KauriError("validation_error", fields={"code": "either code or totp_code"})
    key = api_keys.api_key_verify(
        user=user,
        api_key_id=data.api_key_id,
        ip=ip_of(request),
        code=data.code or "",
        totp_code=data.totp_code or "",
    )
    return {
        **_shown(key),
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
    return _shown(
        api_keys.api_key_delete(user=by_token(request), api_key_id=data.api_key_id, ip=ip_of(request))
    )


def _shown(key: ApiKey) -> dict[str, Any]:
    return {
        "api_key_id": key.public_id,
        "name": key.name,
        "state": key.state,
        "scopes": key.scopes,
        "ips": [str(address) for address in key.ips],
        "signature_version": key.signature_version,
        "window_ms": key.window_ms,
        "decimals_as_strings": key.decimals_as_strings,
    }
