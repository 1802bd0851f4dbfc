"""Any sequence of moves through days and months keeps every law, and the past stays what it was."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection, transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kauri.account.models import User
from kauri.balance import invariants, ledger
from kauri.balance.chart import CHART, AccountKind, TransferKind
from kauri.balance.ledger import LedgerFault, Leg
from kauri.balance.models import Entry, LedgerAccount, TrialBalancePack
from kauri.balance.selectors import account_balance, customer_balances, trial_balance
from kauri.balance.services import days_close, period_close
from kauri.common import clock
from kauri.common.actor import SYSTEM, Actor
from kauri.common.errors import KauriError
from kauri.core.models import Currency
from tests.moves import as_owner
from tests.properties.test_ledger import CODES, Model

#: How many sequences; those of an ordinary run are always the same.
EXAMPLES = int(os.environ.get("EXAMPLES") or 0)
#: So many in one transaction: what they leave there slows its next ones down.
AT_ONCE = 100
#: Each so many steps the moment is remembered.
EACH = 3
START = datetime(2026, 3, 30, 9, 0, tzinfo=UTC)
TICK = timedelta(microseconds=1)
PAUSES = st.sampled_from(
    [TICK, timedelta(seconds=1), timedelta(hours=15), timedelta(days=1), timedelta(days=9), timedelta(0)]
)
WRONG = ("too much", "no hold", "one-sided", "held by hand", "again otherwise", "reverse a hold", "nothing")
MONEY = st.tuples(
    st.sampled_from(
        ["give", "hold", "pay", "capture", "release", "hold", "capture", "reverse", "again", "roll"]
    ),
    st.integers(0, 7),
    st.sampled_from(CODES),
    st.integers(1, 10**5),
)
MISTAKES = st.tuples(st.sampled_from(WRONG), st.integers(0, 7), st.sampled_from(CODES), st.integers(1, 10**5))
CALENDAR = st.tuples(
    st.sampled_from(["month", "days", "too late", "month"]),
    st.sampled_from([0, 1, 0, 1, 2, 3]),
    st.just("UAH"),
    st.integers(1, 100),
)
BOOKS = st.one_of(MONEY, MONEY, MONEY, CALENDAR, CALENDAR, MISTAKES)
RICH = [(number, code) for number in range(2) for code in CODES]
#: Moves that name a customer; the others name one of what was done before.
FOR_ONE = {"give", "pay", "hold"}
#: Everything that a refused call might have changed.
ALL_OF_IT = (
    "select (select array[count(*), max(id)] from ledger_transfer), (select count(*) from ledger_entry),"
    " (select array[count(*), sum(amount), sum(captured), sum(released)] from ledger_hold),"
    " (select array[count(*), sum(amount)] from ledger_hot_delta), (select count(*) from ledger_day),"
    " (select count(*) from ledger_currency_day), (select count(*) from ledger_balance_day),"
    " (select count(*) from ledger_period), (select count(*) from balance_trialbalancepack),"
    " (select count(*) from core_auditentry),"
    " (select string_agg(id || ':' || balance || ':' || version, ' ' order by id) from ledger_account)"
)


@dataclass
class Books(Model):
    """The plain arithmetic of :class:`Model`, with a clock, closed days and months, and a memory."""

    closer: Actor = SYSTEM
    now: datetime = START
    done: int = 0
    first: datetime | None = None
    fees: dict[str, Decimal] = field(default_factory=dict)
    #: moment -> what everybody and every kind had then
    memory: dict[datetime, dict[Any, Decimal]] = field(default_factory=dict)
    #: end of a closed month -> its totals when it was closed
    closed: dict[datetime, list[Any]] = field(default_factory=dict)

    def step_after(self, pause: timedelta, move: tuple[str, int, str, int]) -> None:
        self.set_clock(self.now + pause)
        kind, which, code, units = move
        with clock.standing_at(self.now):
            if kind in WRONG:
                self.wrong(kind, which, code, units)
            elif kind == "days":
                self.days()
            elif kind == "month":
                self.month(which)
            elif kind == "too late":
                self.too_late(which, units)
            else:
                self.move(kind, which % 2 if kind in FOR_ONE else which, code, units)
        if self.first is None and (self.posts or self.holds):
            self.first = self.now
        self.done += 1
        if self.first is not None and (self.now in self.memory or self.done % EACH == 0):
            self.memory[self.now] = self.figures()

    def set_clock(self, moment: datetime) -> None:
        self.now = moment
        with connection.cursor() as cursor:
            cursor.execute("select set_config('kauri.now', %s, true)", [moment.isoformat()])

    def figures(self) -> dict[Any, Decimal]:
        """By arithmetic alone: each customer's two balances, and the totals of each kind."""
        found: dict[Any, Decimal] = {}
        for code in CODES:
            for number in range(len(self.users)):
                found[number, code] = self.available.get((number, code), Decimal(0))
                found[number, code, "held"] = self.held.get((number, code), Decimal(0))
            available = sum((self.available.get((n, code), Decimal(0)) for n in range(2)), Decimal(0))
            held = sum((self.held.get((n, code), Decimal(0)) for n in range(2)), Decimal(0))
            fee = self.fees.get(code, Decimal(0))
            found[AccountKind.CUSTOMER_AVAILABLE, code] = available
            found[AccountKind.CUSTOMER_HELD, code] = held
            found[AccountKind.FEE_INCOME, code] = fee
            found[AccountKind.CAPITAL, code] = -(available + held + fee)
        return found

    def settle(self, row: list[Any], kind: str, units: int) -> None:
        left = row[3]
        super().settle(row, kind, units)
        if kind == "capture":
            self.fees[row[2]] = self.fees.get(row[2], Decimal(0)) + left - row[3]

    @contextmanager
    def unchanged(self) -> Iterator[None]:
        before = _everything()
        yield
        assert _everything() == before

    def refuse(self, act: Callable[[], Any], *codes: str) -> None:
        """The act is refused with one of these codes ('fault': a mistake of ours), and changes nothing."""
        with self.unchanged():
            try:
                with transaction.atomic():
                    act()
            except KauriError as exc:
                said = exc.code
            except LedgerFault:
                said = "fault"
            else:
                said = "ok"
        assert said in codes

    def wrong(self, kind: str, which: int, code: str, units: int) -> None:
        """What the ledger must never do."""
        who, currency, amount = which % 2, self.currencies[code], self.amount(code, units)
        fee = Leg(AccountKind.FEE_INCOME, currency, amount)
        if kind == "too much" and self.holds:
            order, who, code, left = self.holds[which % len(self.holds)]
            self.refuse(
                lambda: self._settle(order, who, code, left + self.amount(code, units)),
                "fault",
                "insufficient_funds",
            )
        elif kind == "no hold":
            self.refuse(lambda: self._settle(uuid.uuid4(), who, code, amount), "fault")
        elif kind == "one-sided":
            self.refuse(lambda: self._post([fee]), "fault")
            self.refuse(lambda: self._post([fee, Leg(AccountKind.CAPITAL, currency, -2 * amount)]), "fault")
        elif kind == "held by hand":
            held = Leg(AccountKind.CUSTOMER_HELD, currency, -amount, customer_id=self.users[who].pk)
            self.refuse(lambda: self._post([fee, held]), "fault")
        elif kind == "again otherwise" and self.posts:
            key, who, code, before, *_ = self.posts[which % len(self.posts)]
            legs = self.legs(who, code, 2 * before)
            self.refuse(lambda: self._post(legs, key), "conflict")
        elif kind == "reverse a hold" and self.holds:
            order = self.holds[which % len(self.holds)][0]
            moved = Entry.objects.filter(transfer__order_id=order).values_list("transfer_id", flat=True)[0]
            self.refuse(lambda: ledger.reverse(moved, actor=SYSTEM, reason="wrong"), "fault")
        elif kind == "nothing":
            self.refuse(lambda: ledger.reverse(2**40, actor=SYSTEM, reason="wrong"), "not_found")

    def _post(self, legs: list[Leg], key: uuid.UUID | None = None) -> None:
        ledger.post(key or uuid.uuid4(), TransferKind.OPENING, legs, actor=SYSTEM)

    def _settle(self, order: uuid.UUID, who: int, code: str, amount: Decimal) -> None:
        ledger.release(
            order,
            TransferKind.WITHDRAWAL_RELEASE,
            customer_id=self.users[who].pk,
            currency=self.currencies[code],
            amount=amount,
            actor=SYSTEM,
            step=f"wrong{self.step}",
        )

    def days(self) -> None:
        """As many days as have passed since the first entry, or since the last closing."""
        with connection.cursor() as cursor:
            cursor.execute("select max(day) from ledger_day")
            last = cursor.fetchone()[0]
        begins = last + timedelta(days=1) if last else (self.first or self.now).date()
        assert days_close() == (self.now.date() - begins).days
        with self.unchanged():
            assert days_close() == 0

    def month(self, which: int) -> None:
        """The month ``which`` after March is closed exactly when it is over and the next one."""
        starts, ends = (datetime(2026, 3 + number, 1, tzinfo=UTC) for number in (which, which + 1))
        if self.first is None or ends <= self.first:
            return  # a month before the books begin has no totals
        last = max(self.closed, default=None)
        if last is not None and ends <= last:
            self.refuse(lambda: period_close(month=starts.date(), actor=self.closer), "period_closed")
            return
        is_next = starts == last if last else self.first >= starts
        if not is_next or ends > self.now:
            self.refuse(lambda: period_close(month=starts.date(), actor=self.closer), "wrong_state")
            return
        pack = period_close(month=starts.date(), actor=self.closer)
        self.closed[pack.period.ends_at] = [pack.pk, pack.body, *trial_balance(ends - TICK)]

    def too_late(self, which: int, units: int) -> None:
        """Nothing is dated in a closed month, whatever the clock says."""
        if not self.closed:
            return
        now, code = self.now, CODES[which % 2]
        self.set_clock(max(self.closed) - (TICK if which else timedelta(days=units)))
        legs = self.legs(which % 2, code, self.amount(code, units))
        self.refuse(lambda: self._post(legs), "fault")
        self.set_clock(now)

    def prove(self) -> None:
        """Every law, now; every remembered moment; every closed month."""
        assert invariants.broken_laws() == []
        until = self.now + TICK
        assert invariants.broken_laws((START - TICK, until)) == []
        assert invariants.broken_laws((max(self.closed, default=START), until)) == []
        with clock.standing_at(self.now):
            assert _read(self.users) == self.figures()
            for moment, figures in self.memory.items():
                assert _read(self.users, moment) == figures, moment
            for ends, (pk, body, *totals) in self.closed.items():
                assert trial_balance(ends - TICK) == totals
                assert TrialBalancePack.objects.get(pk=pk).body == body


def _everything() -> Any:
    with connection.cursor() as cursor:
        cursor.execute(ALL_OF_IT)
        return cursor.fetchone()


def _read(users: list[User], at: datetime | None = None) -> dict[Any, Decimal]:
    """What :meth:`Books.figures` says, as the books say it."""
    found: dict[Any, Decimal] = {}
    for number, user in enumerate(users):
        for row in customer_balances(user.pk, at):
            if row.currency.code in CODES:
                assert min(row.available, row.held) >= 0
                found[number, row.currency.code] = row.available
                found[number, row.currency.code, "held"] = row.held
    sums: dict[str, Decimal] = {}
    for total in trial_balance(at):
        code, raw = total.currency.code, total.amount * CHART[total.kind].normal
        sums[code] = sums.get(code, Decimal(0)) + raw
        if code in CODES and (total.amount or total.kind in _KINDS):
            found[total.kind, code] = raw
    assert not any(sums.values())
    hot = LedgerAccount.objects.filter(customer=None, provider=None).select_related("currency")
    for account in hot:
        assert account_balance(account, at) == found[AccountKind(account.kind), account.currency.code]
    return found


_KINDS = (
    AccountKind.CUSTOMER_AVAILABLE,
    AccountKind.CUSTOMER_HELD,
    AccountKind.FEE_INCOME,
    AccountKind.CAPITAL,
)


@pytest.fixture
def books_of(customer: Callable[..., User], operator: Callable[..., Actor]) -> Callable[[], Books]:
    """Books of two customers, on a clock that a setting moves (only the ledger's owner can do that)."""
    with as_owner() as cursor:
        cursor.execute(
            "create or replace function ledger_now() returns timestamptz language sql volatile"
            " as 'select current_setting(''kauri.now'')::timestamptz'"
        )
    people, closer = [customer(), customer()], operator("Finance")
    currencies = {row.code: row for row in Currency.objects.filter(code__in=CODES)}
    return lambda: Books(people, currencies, closer=closer)


@given(
    is_rich=st.sampled_from([True, True, True, False]),
    moves=st.lists(st.tuples(PAUSES, BOOKS), min_size=8, max_size=20),
)
@settings(
    max_examples=AT_ONCE if EXAMPLES else 40,
    deadline=None,
    derandomize=not EXAMPLES,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@pytest.mark.parametrize("part", range(-(-EXAMPLES // AT_ONCE) or 1))
def test_any_sequence_through_days_and_months_keeps_the_laws(
    books_of: Callable[[], Books],
    part: int,
    is_rich: bool,
    moves: list[tuple[timedelta, tuple[str, int, str, int]]],
) -> None:
    del part
    undo = transaction.savepoint()
    try:
        books = books_of()
        for number, code in RICH if is_rich else []:
            books.step_after(TICK, ("give", number, code, 2 * 10**6))
        for pause, move in moves:
            books.step_after(pause, move)
        books.prove()
    finally:
        transaction.savepoint_rollback(undo)
