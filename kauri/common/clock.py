"""The only place that reads the time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Final

_standing: Final[ContextVar[datetime | None]] = ContextVar("standing_clock", default=None)


def now() -> datetime:
    """The present moment, aware, in UTC."""
    return _standing.get() or datetime.now(UTC)


@contextmanager
def standing_at(moment: datetime) -> Iterator[None]:
    """Let :func:`now` say ``moment`` in this block: for tests, and for the demo's history."""
    token = _standing.set(moment)
    try:
        yield
    finally:
        _standing.reset(token)


def iso(moment: datetime | None) -> str | None:
    """ISO 8601 UTC with ``Z``, microseconds kept: the API's one form of time."""
    return None if moment is None else moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
