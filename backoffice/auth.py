"""Who is calling the API: an access token, or a signed request of an API key."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.conf import settings
from django.http import HttpRequest
from ninja.security import HttpBearer
from ninja.security.apikey import APIKeyHeader

from kauri.account import api_keys, tokens
from kauri.account.models import ApiKey, User
from kauri.common import throttle
from kauri.common.errors import KauriError


class AccessTokenAuth(HttpBearer):
    """``Authorization: Bearer <access token>``."""

    openapi_scheme = "bearer"

    def authenticate(self, request: HttpRequest, token: str) -> User:
        claims = tokens.read(token)
        user = User.objects.filter(pk=claims.user_id).first()
        if user is None or user.token_epoch != claims.epoch:
            raise KauriError("unauthenticated")
        if not user.is_active:
            raise KauriError("account_disabled")
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


AUTH: list[Any] = [AccessTokenAuth(), SignedKeyAuth()]
