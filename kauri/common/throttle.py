"""Counting tries: fixed windows, the same for every process, one statement a try."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from django.conf import settings
from django.core.cache import cache
from django.db import connection

_ONCE_MORE: Final = (
    " order by name on conflict (name) do update set hits = case when core_throttle.slot = excluded.slot"
    " then core_throttle.hits + 1 else 1 end, slot = excluded.slot, at = clock_timestamp()"
    " returning name, hits"
)
_WANTED: Final = (
    "insert into core_throttle (name, slot, hits)"
    " select name, slot, 1 from unnest(%s::text[], %s::bigint[]) as wanted (name, slot)"
)
#: Counts every name once, always in one order, so that two never wait for each other in a circle.
COUNT: Final = _WANTED + _ONCE_MORE
#: The same behind a ``fresh`` of the statement's own: counts only where that found a row.
COUNT_IF_FRESH: Final = _WANTED + " where exists (select 1 from fresh)" + _ONCE_MORE  # noqa: S608 - constants


@dataclass(frozen=True, slots=True)
class Rate:
    """At most ``limit`` under ``name`` in so many seconds; ``policy`` is what clients read."""

    name: str
    limit: int
    seconds: int = 60
    policy: str = "default"

    @property
    def slot(self) -> int:
        return int(time.time()) // self.seconds


@dataclass(frozen=True, slots=True)
class Window:
    """What is left of a window: ``remaining`` tries, ``reset`` seconds until a new one."""

    limit: int
    seconds: int
    remaining: int
    reset: int
    policy: str = "default"

    @property
    def exceeded(self) -> bool:
        return self.remaining < 0


def hit(name: str, limit: int, seconds: int) -> Window:
    """Count one try under ``name`` and say how many are left in this window."""
    return hit_all([Rate(name, limit, seconds)])


def hit_all(rates: Sequence[Rate]) -> Window:
    """Count one try under each name, in one statement; the tightest window (:func:`tightest`)."""
    if settings.KAURI.redis_url:
        used = {rate.name[:200]: _hit_redis(rate) for rate in rates}
    else:
        with connection.cursor() as cursor:
            cursor.execute(COUNT, counted(rates))
            used = dict(cursor.fetchall())
    return tightest(rates, used)


def counted(rates: Sequence[Rate]) -> list[Any]:
    """The parameters of :data:`COUNT` and :data:`COUNT_IF_FRESH`."""
    return [[rate.name[:200] for rate in rates], [rate.slot for rate in rates]]


def tightest(rates: Sequence[Rate], used: Mapping[str, int]) -> Window:
    """The window with the fewest tries left; of several used up ones the one that lasts longest."""
    now = int(time.time())
    windows = [
        Window(
            limit=rate.limit,
            seconds=rate.seconds,
            remaining=rate.limit - used[rate.name[:200]],
            reset=rate.seconds - now % rate.seconds,
            policy=rate.policy,
        )
        for rate in rates
    ]
    return min(windows, key=lambda window: (max(window.remaining, -1), -window.reset))


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


def _hit_redis(rate: Rate) -> int:
    key = f"throttle:{rate.name}:{rate.slot}"
    cache.add(key, 0, timeout=rate.seconds + 5)
    return int(cache.incr(key))
