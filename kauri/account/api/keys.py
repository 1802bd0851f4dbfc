"""API keys."""

from __future__ import annotations

import uuid
from typing import Any

from django.http import HttpRequest
from ninja import Router, Schema
from pydantic import Field

from kauri.account import api_keys
from kauri.account.api.caller import by_token, ip_of
from kauri.common.api import errors

router = Router(tags=["Account"])


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
    key = api_keys.api_key_create(
        user=user, name=data.name, scopes=data.scopes, ips=data.ips, ip=ip_of(request)
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
    user = by_token(request)
    key = api_keys.api_key_verify(user=user, api_key_id=data.api_key_id, code=data.code, ip=ip_of(request))
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
    key = api_keys.api_key_delete(user=by_token(request), api_key_id=data.api_key_id, ip=ip_of(request))
    return {"api_key_id": key.public_id, "name": key.name, "state": key.state, "scopes": key.scopes}
