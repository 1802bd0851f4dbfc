"""The only place that reads the time."""

from __future__ import annotations

from datetime import UTC, datetime


def now() -> datetime:
    """The present moment, aware, in UTC."""
    return datetime.now(UTC)


def iso(moment: datetime | None) -> str | None:
    """ISO 8601 UTC with ``Z``, microseconds kept: the API's one form of time."""
    return None if moment is None else moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
