"""Sign-in and sessions."""

from __future__ import annotations

import uuid
from typing import Any

from django.http import HttpRequest
from ninja import Router, Schema
from pydantic import Field

from kauri.account import sessions
from kauri.account.api.caller import count_open, ip_of, session_of
from kauri.account.models import Session
from kauri.common import clock
from kauri.common.api import errors
from kauri.common.errors import KauriError

router = Router(tags=["Account"])

REFRESH = "Good once, for the next pair; used again it ends the session."


class ObtainTokenIn(Schema):
    email: str = Field(..., max_length=254, examples=["customer@example.com"])
    password: str = Field(..., max_length=128, examples=["correct horse battery staple"])


class ObtainTokenOut(Schema):
    """``otp_device_id`` inside the token is null until the second factor is passed."""

    status: str = "success"
    username: str = Field(..., examples=["customer"])
    token: str = Field(..., description="Access token, 15 minutes.")
    refresh: str = Field(..., description=REFRESH)


class RefreshTokenIn(Schema):
    """One of the two: ``refresh``, or the newest access token as old clients send it."""

    refresh: str = Field("", max_length=128, examples=["q1Zk…"])
    token: str = Field("", max_length=2000)


class RefreshTokenOut(Schema):
    status: str = "success"
    token: str = Field(..., description="Access token; its orig_iat is that of the sign-in.")
    refresh: str = Field(..., description=REFRESH)


class SessionOut(Schema):
    session_id: uuid.UUID
    ip: str | None = Field(None, examples=["203.0.113.7"])
    device: str = Field(..., examples=["Mozilla/5.0"])
    started_at: str = Field(..., examples=["2026-01-31T12:00:00Z"])
    seen_at: str = Field(..., examples=["2026-01-31T12:15:00Z"])
    second_factor: bool
    is_current: bool


class SessionsOut(Schema):
    status: str = "success"
    sessions: list[SessionOut]


class SessionEndIn(Schema):
    session_id: uuid.UUID | None = Field(None, description="Null: the session of this token (sign out).")


class SessionEndOut(Schema):
    status: str = "success"
    session_id: uuid.UUID


@router.post(
    "/user/obtain_token",
    response={
        200: ObtainTokenOut,
        **errors(
            "validation_error",
            "invalid_credentials",
            "email_not_verified",
            "account_disabled",
            "forbidden",
            "ip_not_allowed",
            "rate_limited",
        ),
    },
    operation_id="obtain_token",
    auth=None,
)
def obtain_token(request: HttpRequest, data: ObtainTokenIn) -> dict[str, Any]:
    """Sign in with e-mail and password.

    Where the account has a second factor, this token may only call `user/totp/verify`; all else
    answers `two_factor_required`.
    """
    count_open(request)
    made = sessions.obtain_token(
        email=data.email,
        password=data.password,
        ip=ip_of(request),
        user_agent=request.headers.get("User-Agent", ""),
    )
    return {"username": made.user.username, "token": made.token, "refresh": made.refresh}


@router.post(
    "/user/refresh_token",
    response={
        200: RefreshTokenOut,
        **errors("validation_error", "unauthenticated", "ip_not_allowed", "rate_limited"),
    },
    operation_id="refresh_token",
    auth=None,
)
def refresh_token(request: HttpRequest, data: RefreshTokenIn) -> dict[str, Any]:
    """The session's next pair of tokens. Both of the old pair are used up by it."""
    count_open(request)
    if bool(data.refresh) == bool(data.token):
        raise KauriError("validation_error", fields={"refresh": "send either refresh or token"})
    made = sessions.refresh_token(refresh=data.refresh, token=data.token, ip=ip_of(request))
    return {"token": made.token, "refresh": made.refresh}


@router.get(
    "/user/sessions",
    response={200: SessionsOut, **errors("unauthenticated", "forbidden", "rate_limited")},
    operation_id="sessions",
)
def living_sessions(request: HttpRequest) -> dict[str, Any]:
    """The account's living sessions, newest first."""
    user, current = session_of(request)
    return {"sessions": [_object(row, current) for row in sessions.living_sessions(user)]}


@router.post(
    "/user/sessions/end",
    response={
        200: SessionEndOut,
        **errors("validation_error", "unauthenticated", "forbidden", "not_found", "rate_limited"),
    },
    operation_id="session_end",
)
def session_end(request: HttpRequest, data: SessionEndIn) -> dict[str, Any]:
    """End a session of the account, at once: its tokens answer `unauthenticated` from now on."""
    user, current = session_of(request)
    row = sessions.session_end(user=user, session_id=data.session_id or current.public_id, ip=ip_of(request))
    return {"session_id": row.public_id}


def _object(row: Session, current: Session) -> dict[str, Any]:
    return {
        "session_id": row.public_id,
        "ip": row.ip,
        "device": row.user_agent,
        "started_at": clock.iso(row.started_at),
        "seen_at": clock.iso(row.seen_at),
        "second_factor": row.second_factor_id is not None,
        "is_current": row.pk == current.pk,
    }
