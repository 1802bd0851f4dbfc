"""Who is calling the API: an access token, or a signed request of an API key."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final

from django.conf import settings
from django.http import HttpRequest
from ninja.security import HttpBearer
from ninja.security.apikey import APIKeyHeader

from kauri.account import api_keys, tokens
from kauri.account.api.telegram import is_our_bot
from kauri.account.models import ApiKey, User
from kauri.account.selectors import session_named
from kauri.common import throttle
from kauri.common.errors import KauriError

#: What a session may call before it has passed its account's second factor.
HALF_WAY: Final = frozenset({"/api/v1/user/totp/verify"})
#: Digits of a Telegram id, and more.
LONGEST_ID: Final = 16


class AccessTokenAuth(HttpBearer):
    """``Authorization: Bearer <access token>``: of a living session, from an allowed address, second factor passed."""

    openapi_scheme = "bearer"

    def authenticate(self, request: HttpRequest, token: str) -> User:
        claims = tokens.read(token)
        caller = session_named(claims.session_id, claims.user_id, _ip(request))
        if caller is None:
            raise KauriError("unauthenticated")
        user, factor = caller.session.user, caller.otp_device_id
        if not user.is_active:
            raise KauriError("account_disabled")
        if not caller.ip_allowed:
            raise KauriError("ip_not_allowed")
        if factor is not None and claims.otp_device_id != factor and request.path not in HALF_WAY:
            raise KauriError("two_factor_required")
        request.account_session = caller.session  # type: ignore[attr-defined]
        return admitted(request, user)


class SignedKeyAuth(APIKeyHeader):
    """``Key`` and ``Sign``, with ``Timestamp`` and ``Nonce`` (version 2) or, where the key allows, without."""

    param_name = "Key"

    def authenticate(self, request: HttpRequest, key: str | None) -> User | None:
        if not key:
            return None
        ip = _ip(request)
        signed = api_keys.SignedRequest(
            key=key,
            signature=request.headers.get("Sign", ""),
            timestamp=request.headers.get("Timestamp", ""),
            nonce=request.headers.get("Nonce", ""),
            method=request.method or "",
            path=str(getattr(request, "sent_path", request.path)),
            query=str(request.META.get("QUERY_STRING", "")),
            body=request.body,
            ip=ip,
        )
        admission = api_keys.authenticate(signed, lambda found: rates(found.user, ip, found))
        found = admission.key
        request.api_key = found  # type: ignore[attr-defined]
        request.decimals_as_strings = found.decimals_as_strings  # type: ignore[attr-defined]
        if signed.version == ApiKey.Signature.V1:
            request.weakly_signed = not admission.is_white  # type: ignore[attr-defined]
            if request.method == "POST":
                # Nothing in such a request says that it is new: for a while the same one is the same call.
                life = timedelta(seconds=settings.KAURI.signature_v1_replay_seconds)
                request.passing_key = f"sign:{signed.signature.strip().lower()}", life  # type: ignore[attr-defined]
        return within(request, admission.window, found.user)


class TelegramBotAuth(APIKeyHeader):
    """A bot's own key, and the Telegram user for whom it reads: ``Telegram-User-Id``. It changes nothing."""

    param_name = "Telegram-Bot-Key"

    def authenticate(self, request: HttpRequest, key: str | None) -> User | None:
        number = request.headers.get("Telegram-User-Id", "")
        if not key or not is_our_bot(request) or not (number.isascii() and number.isdecimal()):
            return None
        user = User.objects.filter(telegram_id=int(number[:LONGEST_ID]), is_staff=False).first()
        if user is None:
            return None
        if not user.is_active:
            raise KauriError("account_disabled")
        if request.method not in {"GET", "HEAD"}:
            raise KauriError("forbidden", "a bot reads for its users and changes nothing")
        return admitted(request, user)


def admitted(request: HttpRequest, user: User) -> User:
    """Count the request against the rates; ``rate_limited`` when one is used up."""
    return within(request, throttle.hit_all(rates(user, _ip(request))), user)


def rates(user: User, ip: str, key: ApiKey | None = None) -> list[throttle.Rate]:
    """What a request is counted against: its account, its address, and its key."""
    limits = settings.KAURI
    counted = [
        throttle.Rate(f"api:{user.pk}", limits.api_rate_per_minute, policy="account"),
        throttle.Rate(f"api-address:{ip}", limits.api_rate_per_minute_address, policy="address"),
    ]
    if key is not None:
        counted.append(throttle.Rate(f"api-key:{key.pk}", limits.api_rate_per_minute_key, policy="key"))
    return counted


def within(request: HttpRequest, window: throttle.Window, user: User) -> User:
    """Remember the window for the answer's headers; ``rate_limited`` when it is used up."""
    request.rate_window = window  # type: ignore[attr-defined]
    if window.exceeded:
        raise KauriError("rate_limited")
    return user


def _ip(request: HttpRequest) -> str:
    return str(getattr(request, "client_ip", ""))


AUTH: list[Any] = [AccessTokenAuth(), SignedKeyAuth(), TelegramBotAuth()]
