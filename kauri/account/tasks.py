"""What the ``account`` queue does."""

from __future__ import annotations

from kauri.account import api_keys


def nonces_forget() -> None:
    """Drop nonces that are too old to matter."""
    api_keys.nonces_forget()
