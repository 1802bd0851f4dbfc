"""Accounts from Telegram, and accounts tied to it."""

from __future__ import annotations

import hmac
from datetime import datetime
from typing import Any

from django.conf import settings
from django.http import HttpRequest
from ninja import Router, Schema, Status
from pydantic import ConfigDict, Field

from kauri.account import telegram
from kauri.account.api.caller import by_token, count_open, ip_of
from kauri.common.api import errors, language_of
from kauri.common.errors import KauriError
from kauri.common.telegram import TelegramUser, mini_app_user, widget_user

router = Router(tags=["Telegram"])


class WidgetIn(Schema):
    """What Telegram's Login Widget hands to the page: all of it, since all of it is signed."""

    model_config = ConfigDict(extra="allow")

    id: int = Field(..., ge=1, examples=[42])
    first_name: str = Field("", max_length=256, examples=["John"])
    last_name: str | None = Field(None, max_length=256, examples=["Smith"])
    username: str | None = Field(None, max_length=64, examples=["username"])
    photo_url: str | None = Field(None, max_length=500)
    auth_date: int = Field(..., examples=[1565810688])
    hash: str = Field(..., max_length=64)


class ProofIn(Schema):
    """Who it is: ``init_data`` of a Mini App as it came, or the Login Widget's ``widget``."""

    init_data: str = Field(
        "", max_length=4096, examples=["auth_date=1650385342&user=%7B%22id%22%3A42%7D&hash=…"]
    )
    widget: WidgetIn | None = None


class TelegramSignedInOut(Schema):
    status: str = "success"
    username: str = Field(..., examples=["John Smith"])
    token: str = Field(..., description="Access token, 15 minutes.")
    refresh: str = Field(..., description="Good for one next pair, once.")


class TelegramAssignOut(Schema):
    status: str = "success"
    url: str = Field(..., examples=["https://t.me/example_bot?start=…"])
    code: str = Field(..., description="What the bot is sent when the link is opened.")
    expires_at: datetime


class TelegramVerifyIn(ProofIn):
    """From a Mini App: the code and its ``init_data``. From the bot: the code, and whom it came from."""

    code: str = Field(..., max_length=64, examples=["pQ3f…"])
    telegram_id: int | None = Field(None, ge=1, lt=2**52, description="Only with the bot's own key.")
    telegram_username: str = Field("", max_length=32)


class TelegramUnassignIn(Schema):
    totp_code: str = Field("", max_length=12, examples=["123456"])


class TelegramStateOut(Schema):
    status: str = "success"
    telegram_id: int | None = Field(..., examples=[42])
    telegram_username: str = Field(..., examples=["username"])


@router.post(
    "/user/create_from_telegram",
    response={
        200: TelegramSignedInOut,
        201: TelegramSignedInOut,
        **errors(
            "validation_error",
            "invalid_signature",
            "replayed_request",
            "operation_disabled",
            "account_disabled",
            "forbidden",
            "ip_not_allowed",
            "rate_limited",
        ),
    },
    operation_id="create_from_telegram",
    auth=None,
)
def create_from_telegram(request: HttpRequest, data: ProofIn) -> Status:
    """Register with what Telegram signed, or sign in the account that it belongs to (200)."""
    count_open(request)
    signed, is_new = telegram.create_from_telegram(
        who=_proven(data),
        language=language_of(request),
        ip=ip_of(request),
        user_agent=request.headers.get("User-Agent", ""),
    )
    body = {"username": signed.user.username, "token": signed.token, "refresh": signed.refresh}
    return Status(201 if is_new else 200, body)


@router.post(
    "/user/telegram/assign",
    response={
        200: TelegramAssignOut,
        **errors("unauthenticated", "forbidden", "operation_disabled", "wrong_state", "rate_limited"),
    },
    operation_id="telegram_assign",
)
def telegram_assign(request: HttpRequest) -> dict[str, Any]:
    """A one-time link: whoever opens it in Telegram within 15 minutes is tied to this account."""
    link = telegram.telegram_assign(user=by_token(request), ip=ip_of(request))
    return {"url": link.url, "code": link.code, "expires_at": link.expires_at}


@router.post(
    "/user/telegram/verify",
    response={
        200: TelegramStateOut,
        **errors(
            "validation_error",
            "wrong_code",
            "invalid_signature",
            "replayed_request",
            "operation_disabled",
            "conflict",
            "rate_limited",
        ),
    },
    operation_id="telegram_verify",
    auth=None,
)
def telegram_verify(request: HttpRequest, data: TelegramVerifyIn) -> dict[str, Any]:
    """Use a link's code: the bot for whoever sent it (header ``Telegram-Bot-Key``), or a Mini App for its user."""
    count_open(request)
    if data.telegram_id is not None:
        if not is_our_bot(request):
            raise KauriError("invalid_signature", "only the bot says who sent a code")
        number, username = data.telegram_id, data.telegram_username
    else:
        who = _proven(data)
        telegram.require_fresh(who)
        number, username = who.id, who.username
    user = telegram.telegram_verify(code=data.code, telegram_id=number, username=username, ip=ip_of(request))
    return {"telegram_id": user.telegram_id, "telegram_username": user.telegram_username}


@router.post(
    "/user/telegram/unassign",
    response={
        200: TelegramStateOut,
        **errors(
            "unauthenticated", "forbidden", "totp_required", "totp_invalid", "wrong_state", "rate_limited"
        ),
    },
    operation_id="telegram_unassign",
)
def telegram_unassign(request: HttpRequest, data: TelegramUnassignIn) -> dict[str, Any]:
    """Untie the account from Telegram."""
    user = telegram.telegram_unassign(user=by_token(request), totp_code=data.totp_code, ip=ip_of(request))
    return {"telegram_id": user.telegram_id, "telegram_username": user.telegram_username}


def is_our_bot(request: HttpRequest) -> bool:
    """Whether the request carries the bot's own key."""
    key = settings.KAURI.telegram_service_key
    given = request.headers.get("Telegram-Bot-Key", "")
    return bool(key) and hmac.compare_digest(given.encode(), key.encode())


def _proven(data: ProofIn) -> TelegramUser:
    token = settings.KAURI.telegram_token
    if not token:
        raise KauriError("operation_disabled", "no Telegram bot is set up here")
    if bool(data.init_data) == (data.widget is not None):
        raise KauriError("validation_error", fields={"init_data": "this or widget, not both"})
    if data.widget is not None:
        return widget_user(data.widget.model_dump(exclude_unset=True), token)
    return mini_app_user(data.init_data, token)
