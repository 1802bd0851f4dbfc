"""What people type into a search box, as the values that columns hold."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from ipaddress import ip_address


def searched(term: str, kind: str) -> object | None:
    """``term`` as a value of ``kind``, or None when it cannot be one."""
    if kind == "text":
        return term
    if kind == "lower":
        return term.lower()
    kinds: dict[str, Callable[[str], object]] = {"uuid": uuid.UUID, "int": int, "address": ip_address}
    try:
        value = kinds[kind](term)
    except ValueError:
        return None
    return str(value) if kind == "address" else value
