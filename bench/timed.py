"""How long single calls take: their statements, and the whole."""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median
from typing import Any

from django.db import connection

from bench.row import Row


class Timed:
    """Milliseconds of the statements that a call makes, and of the call as a whole.

    The first of several calls is not counted. ``before`` is called before each, off the clock.
    """

    def __init__(
        self, call: Callable[[], object], repeats: int = 1, before: Callable[[], None] | None = None
    ) -> None:
        self.database: list[float] = []
        self.whole: list[float] = []
        for _ in range(repeats + (repeats > 1)):
            if before:
                before()
            self.spent = 0.0
            start = time.perf_counter()
            with connection.execute_wrapper(self._note):
                call()
            self.whole.append((time.perf_counter() - start) * 1000)
            self.database.append(self.spent * 1000)
        counted = slice(1 if repeats > 1 else 0, None)
        self.database, self.whole = self.database[counted], self.whole[counted]

    def row(self, name: str, most: float | None, **other: Any) -> Row:
        """The statements are judged; the whole call is told beside them."""
        facts = {
            "whole_call_ms": round(median(self.whole), 3),
            "worst_ms": round(max(self.database), 3),
            "goal_is_for": "10,000,000 entries",
        }
        return Row(name, "ms", median(self.database), most=most, other={**facts, **other})

    def _note(self, execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        start = time.perf_counter()
        try:
            return execute(sql, params, many, context)
        finally:
            self.spent += time.perf_counter() - start
