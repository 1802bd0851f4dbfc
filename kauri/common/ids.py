"""Public identifiers: sortable by time, unguessable (RFC 9562 UUID version 7)."""

from __future__ import annotations

import re
import secrets
import threading
import time
import uuid
from typing import Final

#: Namespace of every derived ledger key; a changed value would break "one transfer per key".
LEDGER_NAMESPACE: Final = uuid.UUID("6f0a3f0e-7c1d-5e0b-9b1a-4b61757269a1")

_NUMBER: Final = re.compile(r"KA[0-9]{15}")

_lock = threading.Lock()
_last = 0


def uuid7() -> uuid.UUID:
    """A new version 7 UUID: 48 bits of milliseconds, then 12 monotonic and 62 random bits."""
    global _last  # noqa: PLW0603 - the monotonic counter is the point
    with _lock:
        # Milliseconds with 12 bits of sub-millisecond fraction, never going back in this process.
        _last = max(_last + 1, time.time_ns() * 4096 // 1_000_000)
        stamp = _last
    value = (stamp >> 12) << 80 | 0x7 << 76 | (stamp & 0xFFF) << 64 | 0b10 << 62 | secrets.randbits(62)
    return uuid.UUID(int=value)


def account_number() -> str:
    """A new account number: KA, 14 random digits, and a check digit (Luhn) against typing errors."""
    digits = f"{secrets.randbelow(10**14):014d}"
    return f"KA{digits}{_check_digit(digits)}"


def is_account_number(text: str) -> bool:
    """Whether ``text`` can be an account number: two typing errors in a row seldom pass."""
    has_form = _NUMBER.fullmatch(text) is not None
    return has_form and _check_digit(text[2:-1]) == text[-1]


def _check_digit(digits: str) -> str:
    """Luhn (ISO/IEC 7812-1, annex B): every second digit from the right doubled."""
    total = sum(
        sum(divmod(int(digit) * 2, 10)) if place % 2 == 0 else int(digit)
        for place, digit in enumerate(reversed(digits))
    )
    return str(-total % 10)


def ledger_key(*parts: object) -> uuid.UUID:
    """The idempotency key of one business step, e.g. ``ledger_key("withdrawal", id, "capture")``."""
    return uuid.uuid5(LEDGER_NAMESPACE, ":".join(str(part) for part in parts))
