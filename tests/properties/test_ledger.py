"""Any sequence of moves keeps every law, and every customer has what arithmetic says they have."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection, transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kauri.account.models import User
from kauri.balance import invariants, ledger
from kauri.balance.chart import AccountKind, TransferKind
from kauri.balance.ledger import Leg
from kauri.balance.selectors import customer_balances, trial_balance
from kauri.common.actor import SYSTEM
from kauri.common.errors import KauriError
from kauri.core.models import Currency

CODES = ("UAH", "ETH")
MOVES = st.one_of(
    st.tuples(st.just("give"), st.integers(0, 1), st.sampled_from(CODES), st.integers(1, 10**6)),
    st.tuples(st.just("pay"), st.integers(0, 1), st.sampled_from(CODES), st.integers(1, 10**6)),
    st.tuples(st.just("hold"), st.integers(0, 1), st.sampled_from(CODES), st.integers(1, 10**6)),
    st.tuples(st.just("capture"), st.integers(0, 7), st.just(""), st.integers(1, 10**6)),
    st.tuples(st.just("release"), st.integers(0, 7), st.just(""), st.integers(1, 10**6)),
    st.tuples(st.just("reverse"), st.integers(0, 7), st.just(""), st.just(0)),
    st.tuples(st.just("again"), st.integers(0, 7), st.just(""), st.just(0)),
    st.tuples(st.just("roll"), st.just(0), st.just(""), st.just(0)),
)


@dataclass
class Model:
    """Plain arithmetic beside the ledger."""

    users: list[User]
    currencies: dict[str, Currency]
    available: dict[tuple[int, str], Decimal] = field(default_factory=dict)
    held: dict[tuple[int, str], Decimal] = field(default_factory=dict)
    #: order id, user, currency, what is left of the hold
    holds: list[list[Any]] = field(default_factory=list)
    #: key, user, currency, amount, transfer id, reversed
    posts: list[list[Any]] = field(default_factory=list)
    step: int = 0

    def move(self, kind: str, which: int, code: str, units: int) -> None:
        """Do one move in both; what the ledger refuses must be what arithmetic refuses."""
        self.step += 1
        if kind == "roll":
            ledger.roll()
        elif kind in {"give", "pay"}:
            self.post(which, code, self.amount(code, units) * (1 if kind == "give" else -1), uuid.uuid4())
        elif kind == "hold":
            self.hold(which, code, self.amount(code, units))
        elif kind == "again" and self.posts:
            row = self.posts[which % len(self.posts)]
            again = ledger.post(row[0], TransferKind.OPENING, self.legs(*row[1:4]), actor=SYSTEM)
            assert (again.transfer_id, again.replayed) == (row[4], True)
        elif kind == "reverse" and self.posts:
            self.reverse(self.posts[which % len(self.posts)])
        elif kind in {"capture", "release"} and self.holds:
            self.settle(self.holds[which % len(self.holds)], kind, units)

    def amount(self, code: str, units: int) -> Decimal:
        return Decimal(units).scaleb(-self.currencies[code].scale)

    def legs(self, who: int, code: str, amount: Decimal) -> list[Leg]:
        currency = self.currencies[code]
        return [
            Leg(AccountKind.CAPITAL, currency, -amount),
            Leg(AccountKind.CUSTOMER_AVAILABLE, currency, amount, customer_id=self.users[who].pk),
        ]

    def change(self, who: int, code: str, amount: Decimal, held: Decimal = Decimal(0)) -> None:
        key = (who, code)
        self.available[key] = self.available.get(key, Decimal(0)) + amount
        self.held[key] = self.held.get(key, Decimal(0)) + held

    def enough(self, who: int, code: str, amount: Decimal) -> bool:
        return self.available.get((who, code), Decimal(0)) >= amount

    def refused(self, act: Callable[[], Any], *, expected: bool) -> Any:
        """The act's result; None when it was refused, which must be exactly when ``expected``."""
        try:
            with transaction.atomic():
                done = act()
        except KauriError as exc:
            done, code = None, exc.code
        else:
            code = "ok"
        assert code == ("insufficient_funds" if expected else "ok")
        return done

    def post(self, who: int, code: str, amount: Decimal, key: uuid.UUID) -> None:
        done = self.refused(
            lambda: ledger.post(key, TransferKind.OPENING, self.legs(who, code, amount), actor=SYSTEM),
            expected=not self.enough(who, code, -amount),
        )
        if done:
            self.change(who, code, amount)
            self.posts.append([key, who, code, amount, done.transfer_id, False])

    def reverse(self, row: list[Any]) -> None:
        _, who, code, amount, transfer_id, is_reversed = row
        done = self.refused(
            lambda: ledger.reverse(transfer_id, actor=SYSTEM, reason="property"),
            expected=not is_reversed and not self.enough(who, code, amount),
        )
        if done:
            assert done.replayed == is_reversed
            if not is_reversed:
                self.change(who, code, -amount)
                row[5] = True

    def hold(self, who: int, code: str, amount: Decimal) -> None:
        order = uuid.uuid4()
        done = self.refused(
            lambda: ledger.hold(
                order,
                TransferKind.WITHDRAWAL_HOLD,
                customer_id=self.users[who].pk,
                currency=self.currencies[code],
                amount=amount,
                actor=SYSTEM,
            ),
            expected=not self.enough(who, code, amount),
        )
        if done:
            self.change(who, code, -amount, amount)
            self.holds.append([order, who, code, amount])

    def settle(self, row: list[Any], kind: str, units: int) -> None:
        order, who, code, left = row
        amount = min(self.amount(code, units), left)
        if amount <= 0:
            return
        currency = self.currencies[code]
        customer = self.users[who].pk
        if kind == "capture":
            legs = [
                Leg(AccountKind.CUSTOMER_HELD, currency, -amount, customer_id=customer),
                Leg(AccountKind.FEE_INCOME, currency, amount),
            ]
            for _ in range(2):  # a repeated step has no second effect
                ledger.capture(
                    order,
                    TransferKind.WITHDRAWAL_CAPTURE,
                    legs,
                    amount=amount,
                    actor=SYSTEM,
                    step=f"capture{self.step}",
                )
            self.change(who, code, Decimal(0), -amount)
        else:
            ledger.release(
                order,
                TransferKind.WITHDRAWAL_RELEASE,
                customer_id=customer,
                currency=currency,
                amount=amount,
                actor=SYSTEM,
                step=f"release{self.step}",
            )
            self.change(who, code, amount, -amount)
        row[3] = left - amount


@pytest.fixture
def people(customer: Callable[..., User]) -> list[User]:
    return [customer(), customer()]


@given(moves=st.lists(MOVES, min_size=1, max_size=14))
@settings(
    max_examples=200,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_any_sequence_keeps_the_laws(people: list[User], moves: list[tuple[str, int, str, int]]) -> None:
    undo = transaction.savepoint()
    try:
        currencies = {row.code: row for row in Currency.objects.filter(code__in=CODES)}
        model = Model(people, currencies)
        for move in moves:
            model.move(*move)
        with connection.cursor() as cursor:
            cursor.execute("set constraints all immediate")
            cursor.execute("set constraints all deferred")
        assert invariants.broken_laws() == []
        for number, user in enumerate(people):
            for row in customer_balances(user.pk):
                key = (number, row.currency.code)
                assert (row.available, row.held) == (model.available.get(key, 0), model.held.get(key, 0))
        for total in trial_balance():
            if total.kind is AccountKind.CUSTOMER_HELD and total.currency.code in CODES:
                open_holds = sum(
                    (left for _, _, code, left in model.holds if code == total.currency.code), Decimal(0)
                )
                assert total.amount == open_holds
    finally:
        transaction.savepoint_rollback(undo)
