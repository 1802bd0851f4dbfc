"""Reading, proving and writing a ledger that is full already."""

from __future__ import annotations

import multiprocessing
import random
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta

from django.db import connection, transaction

from bench import cases
from bench.clients import OurClients, Work
from bench.house import House, as_owner
from bench.measure import interleaved
from bench.row import Row, rows
from bench.timed import Timed
from kauri.balance import selectors
from kauri.balance.chart import AccountKind
from kauri.balance.models import Entry, LedgerAccount, SelfCheck
from kauri.common import clock
from kauri.order_core.services import books_check

DAY = 20_000
#: Milliseconds.
AS_OF, HOT_AS_OF, OBLIGATIONS, TRIAL, CHECK, PROOF = 1, 2, 10, 60, 50, 15_000


@rows(filled=True)
def reading(house: House) -> Iterator[Row]:
    """Balances and totals, now and as of a past moment, by the selectors that the product uses."""
    filled = house.notes["filled"]
    size = {name: filled[name] for name in ("entries", "accounts", "days")}
    accounts = list(
        LedgerAccount.objects.filter(kind=AccountKind.CUSTOMER_AVAILABLE, version__gt=1)
        .select_related("currency")
        .order_by("?")[:200]
    )
    hot = (
        LedgerAccount.objects.filter(kind=AccountKind.FEE_INCOME, version__gt=0)
        .select_related("currency")
        .latest("version")
    )

    def past() -> datetime:
        return clock.now() - timedelta(days=random.uniform(2, filled["days"] - 2))

    def some_account() -> None:
        selectors.account_balance(random.choice(accounts), past())

    yield Timed(some_account, 200).row("as-of balance, random account", AS_OF, **size)
    yield Timed(lambda: selectors.account_balance(hot, past()), 50).row(
        "as-of balance, hot account", HOT_AS_OF, **size, entries_of_it=hot.version
    )
    everything = Timed(lambda: selectors.customer_balances(random.choice(house.customers), past()), 100)
    yield everything.row("a customer's balances in every currency, as of", None, **size)
    yield Timed(lambda: selectors.coverage(past()), 20).row("obligations as of T", OBLIGATIONS, **size)
    yield Timed(selectors.trial_balance, 10).row("trial balance now", TRIAL, **size)
    yield Timed(lambda: selectors.trial_balance(past()), 20).row("trial balance as of T", TRIAL, **size)


@rows(filled=True)
def proving(house: House) -> Iterator[Row]:
    """The self-check as its schedule runs it: of what a day brought, and of everything, while others post."""
    work = cases.random_post(house)
    while (today := Entry.objects.filter(created_at__gt=_proven_until()).count()) < DAY:
        for _ in range((DAY - today + 1) // 2):
            work()
    proofs = SelfCheck.objects.latest("id").pk

    def forget() -> None:
        with as_owner(), transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("set local session_replication_role = replica")
            cursor.execute("delete from balance_selfcheck where id > %s", [proofs])

    recent = Timed(lambda: _proven(full=False), 5, before=forget)
    yield recent.row("incremental self-check of a day", CHECK, entries=today)
    quiet = _posts_during(work, lambda: time.sleep(5))
    proofs_made: list[Timed] = []
    busy = _posts_during(work, lambda: proofs_made.append(Timed(lambda: _proven(full=True))))
    yield proofs_made[0].row("full proof of the books", PROOF, **house.notes["filled"])
    other = {"posts_per_second": round(busy[1]), "without_the_proof": round(quiet[1])}
    yield Row("longest post during the full proof", "ms", busy[0], quiet[0], other=other)


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


def _posts_during(work: Work, call: Callable[[], object]) -> tuple[float, float]:
    """One client posts while ``call`` runs: its longest post in milliseconds, and posts a second."""
    longest = multiprocessing.get_context("fork").Value("d", 0, lock=False)

    def timed() -> None:
        start = time.perf_counter()
        work()
        longest.value = max(longest.value, (time.perf_counter() - start) * 1000)

    def prepare(number: int) -> Work:
        random.seed()
        return timed

    clients = OurClients(prepare)
    clients.start(1)
    try:
        longest.value = 0
        count, at = clients.count(), time.monotonic()
        call()
        return longest.value, (clients.count() - count) / (time.monotonic() - at)
    finally:
        clients.stop()


def _proven_until() -> datetime:
    until = SelfCheck.objects.latest("id").until_at
    if until is None:
        raise RuntimeError("the last self-check has no end")
    return until


def _proven(*, full: bool) -> None:
    check = books_check(full=full)
    if not check.is_clean or check.is_full != full:
        raise RuntimeError(f"the books are not true after the run: {check.findings}")
