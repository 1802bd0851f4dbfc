"""What the ``account`` queue does."""

from __future__ import annotations

from kauri.account import api_keys
from kauri.common import throttle


def nonces_forget() -> None:
    """Drop nonces that are too old to matter."""
    api_keys.nonces_forget()


def throttles_forget() -> None:
    """Drop counters whose window is over."""
    throttle.forget(3600)
