"""Counting tries in the shared cache: fixed windows, the same for every process."""

from __future__ import annotations

import time
from dataclasses import dataclass

from django.core.cache import cache


@dataclass(frozen=True, slots=True)
class Window:
    """What is left of a window: ``remaining`` tries, ``reset`` seconds until a new one."""

    limit: int
    remaining: int
    reset: int

    @property
    def exceeded(self) -> bool:
        return self.remaining < 0


def hit(name: str, limit: int, seconds: int) -> Window:
    """Count one try under ``name`` and say how many are left in this window."""
    now = int(time.time())
    slot, reset = now // seconds, seconds - now % seconds
    key = f"throttle:{name}:{slot}"
    cache.add(key, 0, timeout=seconds + 5)
    try:
        used = cache.incr(key)
    except ValueError:  # evicted between the two calls: start the window anew
        cache.set(key, 1, timeout=seconds + 5)
        used = 1
    return Window(limit=limit, remaining=limit - used, reset=reset)
