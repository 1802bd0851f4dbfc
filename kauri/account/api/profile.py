"""The account's own settings."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from ninja import Router, Schema
from pydantic import Field

from kauri.account import profile, second_factor
from kauri.account.api.caller import ip_of
from kauri.account.models import User
from kauri.common.actor import Actor, ActorKind
from kauri.common.api import errors, require_scope
from kauri.common.errors import KauriError
from kauri.common.exact_json import dumps
from kauri.core import idempotency

router = Router(tags=["Account"])


class SettingIn(Schema):
    """``language``: en, uk (or ua), ru. ``callback_url``: where orders without one of their own are told.

    ``auto_conversion``: the currency that deposits shall be converted to, or nothing. It is kept as a wish until
    exchange exists: deposits are credited in their own currency.
    """

    name: str = Field(..., max_length=32, examples=["language"])
    value: str = Field(..., max_length=500, examples=["uk"])
    totp_code: str | None = Field(
        None, max_length=12, examples=["123456"], description="Where the account has an authenticator."
    )


class SettingsOut(Schema):
    status: str = "success"
    settings: dict[str, str] = Field(
        ...,
        examples=[
            {"language": "uk", "callback_url": "https://shop.example/kauri", "auto_conversion": "USDT"}
        ],
    )


@router.get(
    "/user/account/setting",
    response={200: SettingsOut, **errors("unauthenticated", "forbidden", "rate_limited")},
    operation_id="account_setting_list",
)
def account_setting_list(request: HttpRequest) -> dict[str, Any]:
    """Every setting as it stands."""
    require_scope(request, "read")
    return {"settings": profile.settings_of(request.auth)}  # type: ignore[attr-defined]


@router.post(
    "/user/account/setting",
    response={
        200: SettingsOut,
        **errors(
            "validation_error",
            "unauthenticated",
            "forbidden",
            "totp_required",
            "totp_invalid",
            "conflict",
            "idempotency_mismatch",
            "rate_limited",
        ),
    },
    operation_id="account_setting_set",
)
def account_setting_set(request: HttpRequest, data: SettingIn) -> HttpResponse:
    """Change one setting. An account with an authenticator proves itself by a one-time code."""
    require_scope(request, "trade")
    user = request.auth  # type: ignore[attr-defined]
    if data.totp_code:
        second_factor.must_not_guess(user.pk)

    def run() -> idempotency.StoredAnswer:
        second_factor.totp_require_inside(user, data.totp_code or "")
        row = profile.account_setting_set(
            user=user, name=data.name, value=data.value, actor=_actor(request, user)
        )
        body = dumps({"status": "success", "settings": profile.settings_of(row)})
        return idempotency.StoredAnswer(200, "application/json", body)

    try:
        answer = idempotency.once(
            owner_id=user.pk,
            endpoint="account_setting_set",
            keys=[],
            body=request.body,
            run=run,
            passing=getattr(request, "passing_key", None),
        )
    except KauriError as error:
        if error.code == "totp_invalid":
            second_factor.count_wrong_code(user.pk)
        raise
    return HttpResponse(answer.body, status=answer.status, content_type=answer.content_type)


def _actor(request: HttpRequest, user: User) -> Actor:
    key = getattr(request, "api_key", None)
    if key is None:
        return user.as_actor(ip_of(request))
    return Actor(ActorKind.API_KEY, str(key.public_id), f"{user.email} ({key.name})", ip_of(request))
