"""Counting tries: fixed windows, the same for every process, one statement a try."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Final

from django.conf import settings
from django.core.cache import cache
from django.db import connection

_HIT: Final = (
    "insert into core_throttle (name, slot, hits) values (%s, %s, 1)"
    " on conflict (name) do update set hits = case when core_throttle.slot = excluded.slot"
    " then core_throttle.hits + 1 else 1 end, slot = excluded.slot, at = clock_timestamp() returning hits"
)


@dataclass(frozen=True, slots=True)
class Window:
    """What is left of a window: ``remaining`` tries, ``reset`` seconds until a new one."""

    limit: int
    seconds: int
    remaining: int
    reset: int

    @property
    def exceeded(self) -> bool:
        return self.remaining < 0


def hit(name: str, limit: int, seconds: int) -> Window:
    """Count one try under ``name`` and say how many are left in this window."""
    now = int(time.time())
    slot, reset = now // seconds, seconds - now % seconds
    used = _hit_redis(name, slot, seconds) if settings.KAURI.redis_url else _hit_database(name, slot)
    return Window(limit=limit, seconds=seconds, remaining=limit - used, reset=reset)


def peek(name: str, limit: int, seconds: int) -> Window:
    """The window as it stands, without counting a try."""
    now = int(time.time())
    slot, reset = now // seconds, seconds - now % seconds
    if settings.KAURI.redis_url:
        used = int(cache.get(f"throttle:{name}:{slot}") or 0)
    else:
        with connection.cursor() as cursor:
            cursor.execute("select hits from core_throttle where name = %s and slot = %s", [name[:200], slot])
            row = cursor.fetchone()
        used = int(row[0]) if row else 0
    return Window(limit=limit, seconds=seconds, remaining=limit - used, reset=reset)


def forget(older_than_seconds: int) -> int:
    """Delete counters whose window is long over; returns how many."""
    with connection.cursor() as cursor:
        cursor.execute(
            "delete from core_throttle where at < clock_timestamp() - make_interval(secs => %s)",
            [older_than_seconds],
        )
        return int(cursor.rowcount)


def _hit_database(name: str, slot: int) -> int:
    with connection.cursor() as cursor:
        cursor.execute(_HIT, [name[:200], slot])
        row = cursor.fetchone()
    return int(row[0])


def _hit_redis(name: str, slot: int, seconds: int) -> int:
    key = f"throttle:{name}:{slot}"
    cache.add(key, 0, timeout=seconds + 5)
    return int(cache.incr(key))
