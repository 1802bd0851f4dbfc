"""Access tokens: short-lived, signed, and good only as long as the session that they name."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

import jwt
from django.conf import settings

from kauri.account.models import Session, User
from kauri.common import clock
from kauri.common.errors import KauriError

ALGORITHM: Final = "HS256"
AUDIENCE: Final = "kauri-api"


@dataclass(frozen=True, slots=True)
class AccessToken:
    """What a token says: whose, of which session, its own name, and the authenticator it was made with."""

    user_id: int
    session_id: uuid.UUID
    jti: str
    otp_device_id: str | None


def issue(user: User, session: Session | None = None, jti: str = "") -> str:
    """A signed token of ``session``; without one it opens one that can't be refreshed.

    ``orig_iat`` is when the session began and survives every refresh; ``otp_device_id`` is null
    until the session has passed the second factor.
    """
    now = clock.now()
    if session is None:
        session = Session.objects.create(user=user, epoch=user.token_epoch, started_at=now, seen_at=now)
    factor = session.second_factor
    claims = {
        "aud": AUDIENCE,
        "iat": now,
        "orig_iat": int(session.started_at.timestamp()),
        "exp": now + timedelta(minutes=settings.KAURI.access_token_minutes),
        "jti": jti or uuid.uuid4().hex,
        "sid": str(session.public_id),
        "user_id": str(user.public_id),
        "sub": str(user.pk),
        "username": user.username or user.email,
        "otp_device_id": None if factor is None else str(factor.public_id),
    }
    return jwt.encode(claims, settings.SECRET_KEY, algorithm=ALGORITHM)


def read(token: str) -> AccessToken:
    """Check signature, audience and age; ``unauthenticated`` otherwise."""
    try:
        claims = jwt.decode(
            token,
            settings.SECRET_KEY,
            algorithms=[ALGORITHM],
            audience=AUDIENCE,
            options={"require": ["exp", "sub", "sid", "jti"]},
        )
        return AccessToken(
            user_id=int(claims["sub"]),
            session_id=uuid.UUID(claims["sid"]),
            jti=str(claims["jti"]),
            otp_device_id=claims.get("otp_device_id"),
        )
    except (jwt.InvalidTokenError, ValueError, TypeError, AttributeError):
        raise KauriError("unauthenticated") from None
