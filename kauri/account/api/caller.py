"""Who calls, from where, and how often anybody may."""

from __future__ import annotations

from django.http import HttpRequest

from kauri.account.models import Session, User
from kauri.common import throttle
from kauri.common.errors import KauriError

#: Calls that anybody may make, per address and minute.
OPEN_CALLS_PER_MINUTE = 30


def by_token(request: HttpRequest) -> User:
    """Keys manage no keys: whoever steals one must not make another."""
    if getattr(request, "api_key", None) is not None:
        raise KauriError("forbidden", "sign in for this")
    user = request.auth  # type: ignore[attr-defined]
    assert isinstance(user, User)
    return user


def session_of(request: HttpRequest) -> tuple[User, Session]:
    """The caller and the session that their token names (:func:`by_token`)."""
    user = by_token(request)
    session = request.account_session  # type: ignore[attr-defined]
    assert isinstance(session, Session)
    return user, session


def count_open(request: HttpRequest) -> None:
    """Count a call that anybody may make; ``rate_limited`` when the address has made too many."""
    window = throttle.hit(f"open:{ip_of(request)}", OPEN_CALLS_PER_MINUTE, 60)
    request.rate_window = window  # type: ignore[attr-defined]
    if window.exceeded:
        raise KauriError("rate_limited")


def ip_of(request: HttpRequest) -> str:
    """The caller's address, as the middleware found it."""
    return str(getattr(request, "client_ip", ""))
