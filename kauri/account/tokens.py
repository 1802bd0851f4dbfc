"""Access tokens: short-lived, signed, ended all at once by raising the account's epoch."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

import jwt
from django.conf import settings

from kauri.account.models import User
from kauri.common import clock
from kauri.common.errors import KauriError

ALGORITHM: Final = "HS256"
AUDIENCE: Final = "kauri-api"


@dataclass(frozen=True, slots=True)
class AccessToken:
    user_id: int
    epoch: int


def issue(user: User) -> str:
    """A signed token for ``user``. ``otp_device_id`` is null: the second factor is not passed."""
    now = clock.now()
    claims = {
        "aud": AUDIENCE,
        "iat": now,
        "orig_iat": int(now.timestamp()),
        "exp": now + timedelta(minutes=settings.KAURI.access_token_minutes),
        "jti": uuid.uuid4().hex,
        "user_id": str(user.public_id),
        "sub": str(user.pk),
        "username": user.username or user.email,
        "epoch": user.token_epoch,
        "otp_device_id": None,
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
            options={"require": ["exp", "sub", "epoch", "jti"]},
        )
        return AccessToken(user_id=int(claims["sub"]), epoch=int(claims["epoch"]))
    except (jwt.InvalidTokenError, ValueError, TypeError):
        raise KauriError("unauthenticated") from None
