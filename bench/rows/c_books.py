"""Reading and writing a ledger that is full already."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from statistics import median
from typing import Any

from django.db import connection

from bench import cases
from bench.house import House
from bench.measure import interleaved
from bench.row import Row, rows
from kauri.balance import invariants, selectors
from kauri.common import clock


class Timed:
    """Milliseconds of the statements that a call makes, and of the call as a whole; the first call is not counted."""

    def __init__(self, call: Callable[[], object], repeats: int) -> None:
        self.database: list[float] = []
        self.whole: list[float] = []
        with connection.execute_wrapper(self._note):
            for _ in range(repeats + 1):
                self.spent = 0.0
                start = time.perf_counter()
                call()
                self.whole.append((time.perf_counter() - start) * 1000)
                self.database.append(self.spent * 1000)

    def row(self, name: str, most: float, entries: int) -> Row:
        """The statements are judged; the whole call is told beside them."""
        other: dict[str, Any] = {"whole_call_ms": round(median(self.whole[1:]), 3), "entries": entries}
        other["goal_is_for"] = "10,000,000 entries"
        return Row(name, "ms", median(self.database[1:]), most=most, other=other)

    def _note(self, execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        start = time.perf_counter()
        try:
            return execute(sql, params, many, context)
        finally:
            self.spent += time.perf_counter() - start


@rows(filled=True)
def reading(house: House) -> Iterator[Row]:
    """Balances and totals, now and as of a past moment, by the selectors that the product uses."""
    entries = house.notes["filled"]["entries"]

    def past() -> Any:
        return clock.now() - timedelta(days=random.uniform(2, 98))

    as_of = Timed(lambda: selectors.customer_balances(random.choice(house.customers), past()), 50)
    yield as_of.row("a customer's balances as of a past moment", 1, entries)
    yield Timed(selectors.trial_balance, 10).row("trial balance now", 60, entries)
    yield Timed(lambda: selectors.coverage(past()), 3).row("obligations as of a past moment", 10, entries)
    laws = Timed(_must_be_true, 1)
    yield laws.row("full proof of the books", 15_000, entries)


@rows(filled=True)
def writing(house: House) -> Iterator[Row]:
    """What a post costs in a full ledger, and how much disk."""
    result = interleaved({"limit": cases.limit(), "ours": cases.ours(cases.random_post(house))}, 4)
    full, empty = result.cpu_ratio("ours", "limit"), house.notes.get("cpu of a post over the limit's")
    name = "CPU of a post over the limit's: full ledger / empty"
    yield Row(name, "x limit", full, empty, most=1.3 if empty else None, other=dict(house.notes["filled"]))
    with connection.cursor() as cursor:
        cursor.execute(
            "select (pg_total_relation_size('ledger_transfer') + pg_total_relation_size('ledger_entry'))"
            " / (select count(*) from ledger_transfer)::float8"
        )
        yield Row("disk of a transfer", "bytes", cursor.fetchone()[0], most=750)


def _must_be_true() -> None:
    broken = invariants.broken_laws()
    if broken:
        raise RuntimeError(f"the books are not true after the run: {broken}")
