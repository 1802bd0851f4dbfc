"""What every request passes: its id, its address, its path's one form, its session's limits."""

from __future__ import annotations

import logging
import re
import time
import uuid
from collections.abc import Callable
from http import HTTPStatus
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final

from django.conf import settings
from django.contrib.auth import logout
from django.db import connection
from django.http import HttpRequest, HttpResponse

from kauri.common.actor import reading, request_id
from kauri.common.api import error_response
from kauri.common.errors import KauriError
from kauri.common.throttle import Window

Respond = Callable[[HttpRequest], HttpResponse]

_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9_.:-]{8,64}")
#: Seconds between two notes of a session being used: one write a minute, not one a request.
NOTE_EVERY: Final = 60
_SLASHES: Final = re.compile(r"/{2,}")
_COUNTRY: Final = re.compile(r"[A-Z]{2}")
#: What proxies say when they do not know.
_NO_COUNTRY: Final = frozenset({"XX", "ZZ"})


class RequestIdFilter(logging.Filter):
    """Puts the request id on every log line."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.request_id = request_id.get() or "-"
        return True


def client_ip(request: HttpRequest) -> str:
    """The caller's address; forwarded headers count only from a trusted proxy."""
    remote = _address(str(request.META.get("REMOTE_ADDR", ""))) or ip_address("127.0.0.1")
    trusted = settings.KAURI.networks("trusted_proxies")
    hops = request.headers.get("X-Forwarded-For", "").split(",")
    # From the nearest hop outwards: the first address that is not a proxy of ours is the caller.
    while hops and any(remote in network for network in trusted):
        if not (candidate := hops.pop().strip()):
            continue
        if (address := _address(candidate)) is None:
            break  # whoever wrote this, no proxy of ours did: the last known hop is the caller
        remote = address
    return str(remote)


def client_country(request: HttpRequest) -> str:
    """The caller's country in two letters as a trusted proxy says it; '' where nobody trusted does."""
    header = settings.KAURI.country_header
    remote = _address(str(request.META.get("REMOTE_ADDR", "")))
    if not header or remote is None:
        return ""
    if not any(remote in network for network in settings.KAURI.networks("trusted_proxies")):
        return ""
    country = request.headers.get(header, "").strip().upper()
    return country if _COUNTRY.fullmatch(country) and country not in _NO_COUNTRY else ""


def _address(text: str) -> IPv4Address | IPv6Address | None:
    """One spelling of an address: without a zone, an IPv4 one never dressed as IPv6."""
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


class RequestContextMiddleware:
    """Takes or makes ``X-Request-Id``, answers it, and remembers it for logs, audit and history."""

    def __init__(self, get_response: Respond) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        given = request.headers.get("X-Request-Id", "")
        value = given if _REQUEST_ID.fullmatch(given) else uuid.uuid4().hex
        token = request_id.set(value)
        request.client_ip = client_ip(request)  # type: ignore[attr-defined]
        request.client_country = client_country(request)  # type: ignore[attr-defined]
        request.request_id = value  # type: ignore[attr-defined]
        try:
            response = self.get_response(request)
        finally:
            request_id.reset(token)
        response["X-Request-Id"] = value
        return response


class ApiPathMiddleware:
    """Old clients send ``//api/v1/x`` and ``/api/v1/x/``: one form for routing, the sent one kept.

    Signatures are made over the path as sent, so that one stays in ``request.sent_path``.
    """

    def __init__(self, get_response: Respond) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        sent = request.path_info
        collapsed = _SLASHES.sub("/", sent)
        request.sent_path = collapsed  # type: ignore[attr-defined]
        if not collapsed.startswith("/api/"):
            return self.get_response(request)
        request.path_info = request.path = collapsed.rstrip("/")
        response = self.get_response(request)
        if response.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
            allowed = response.headers.get("Allow", "")
            response = error_response(request, KauriError("method_not_allowed", f"allowed: {allowed}"))
            response["Allow"] = allowed
        return _with_rate(request, response)


def _with_rate(request: HttpRequest, response: HttpResponse) -> HttpResponse:
    """RateLimit headers (IETF draft) where the call was counted."""
    window: Window | None = getattr(request, "rate_window", None)
    if window is not None:
        response["RateLimit-Policy"] = f'"{window.policy}";q={window.limit};w={window.seconds}'
        response["RateLimit"] = f'"{window.policy}";r={max(window.remaining, 0)};t={window.reset}'
        if response.status_code == HTTPStatus.TOO_MANY_REQUESTS:
            response["Retry-After"] = str(window.reset)
    return response


class SessionLimitsMiddleware:
    """Back office sessions end after idleness and, at the latest, after the working day."""

    def __init__(self, get_response: Respond) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if not request.path_info.startswith("/api/") and request.user.is_authenticated:
            now = int(time.time())
            started = request.session.setdefault("started", now)
            seen = request.session.get("seen", now)
            limits = settings.KAURI
            if now - seen > limits.session_idle_minutes * 60 or now - started > limits.session_hours * 3600:
                logout(request)
            elif now - seen > NOTE_EVERY or "seen" not in request.session:
                request.session["seen"] = now
        return self.get_response(request)


class PlansForValuesMiddleware:
    """The back office's statements are planned for the values that they are asked with.

    Prepared ones get one plan for all values after a while: it reads a list from its end until a page is
    full, which for a state that a few rows in ten million have is all of it.
    """

    def __init__(self, get_response: Respond) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        try:
            return self.get_response(request)
        finally:
            driver = connection.connection
            if driver is not None and not driver.closed:
                driver.prepare_threshold = connection.settings_dict["OPTIONS"].get("prepare_threshold")

    def process_view(self, request: HttpRequest, view: object, args: object, kwargs: object) -> None:
        del view, args, kwargs
        if request.resolver_match is not None and request.resolver_match.app_name == "admin":
            connection.ensure_connection()
            connection.connection.prepare_threshold = None


class ReadingMiddleware:
    """Tells whatever draws a page of the back office who reads it."""

    def __init__(self, get_response: Respond) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        token = reading.set(None)
        try:
            return self.get_response(request)
        finally:
            reading.reset(token)

    def process_view(self, request: HttpRequest, view: object, args: object, kwargs: object) -> None:
        del view, args, kwargs
        if request.resolver_match is not None and request.resolver_match.app_name == "admin":
            reading.set(request)
