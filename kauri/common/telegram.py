"""How Telegram signs what its users bring: Mini App init data and the Login Widget's payload.

The two schemes swap the parts of their first step: a Mini App's key is HMAC("WebAppData", token), the
widget's is SHA-256(token). Sources: core.telegram.org/bots/webapps and /widgets/login.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import parse_qsl

from kauri.common.errors import KauriError

_WEB_APP: Final = b"WebAppData"
#: Telegram's ids have at most 52 significant bits.
_LARGEST_ID: Final = 2**52


@dataclass(frozen=True, slots=True)
class TelegramUser:
    """Whom Telegram names, and when; ``mark`` is the signature, by which a replay is known."""

    id: int
    username: str
    name: str
    at: datetime
    mark: str


def mini_app_user(init_data: str, token: str) -> TelegramUser:
    """The user in a Mini App's ``initData``. Raises ``invalid_signature``."""
    try:
        fields = dict(parse_qsl(init_data, keep_blank_values=True, strict_parsing=True))
    except ValueError:
        raise KauriError("invalid_signature", "this is no init data") from None
    key = hmac.new(_WEB_APP, token.encode(), hashlib.sha256).digest()
    signed = _checked(fields, key)
    try:
        user = json.loads(signed.get("user", ""))
    except ValueError:
        raise KauriError("invalid_signature", "the init data names nobody") from None
    return _user(user if isinstance(user, dict) else {}, signed)


def widget_user(payload: Mapping[str, Any], token: str) -> TelegramUser:
    """The user in a Login Widget's payload. Raises ``invalid_signature``."""
    fields = {name: str(value) for name, value in payload.items() if value is not None}
    signed = _checked(fields, hashlib.sha256(token.encode()).digest())
    return _user(signed, signed)


def _checked(fields: dict[str, str], key: bytes) -> dict[str, str]:
    """The fields that the signature covers, compared in constant time."""
    given = fields.pop("hash", "")
    text = "\n".join(f"{name}={fields[name]}" for name in sorted(fields))
    right = hmac.new(key, text.encode(), hashlib.sha256).hexdigest()
    if not hmac.compare_digest(right.encode(), given.encode()):
        raise KauriError("invalid_signature", "not signed by Telegram for this bot")
    return {**fields, "hash": given}


def _user(user: Mapping[str, Any], signed: dict[str, str]) -> TelegramUser:
    try:
        number = int(user["id"])
        at = datetime.fromtimestamp(int(signed["auth_date"]), tz=UTC)
    except (KeyError, ValueError, TypeError, OverflowError, OSError):
        raise KauriError("invalid_signature", "no user or no moment in it") from None
    if not 0 < number < _LARGEST_ID:
        raise KauriError("invalid_signature", "no user in it")
    names = [str(user.get(part) or "") for part in ("first_name", "last_name")]
    return TelegramUser(
        id=number,
        username=str(user.get("username") or "")[:32],
        name=" ".join(name for name in names if name)[:64],
        at=at,
        mark=signed["hash"],
    )
