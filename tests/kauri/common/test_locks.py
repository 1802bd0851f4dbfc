"""What is tried again, with which connection, how often, and what is not."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Iterator
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest
from django.db import DatabaseError, IntegrityError, InterfaceError, OperationalError, connection, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from kauri.account.models import User
from kauri.balance import ledger
from kauri.balance.chart import AccountKind, TransferKind
from kauri.balance.ledger import Leg, Posted
from kauri.balance.models import Transfer
from kauri.common import locks
from kauri.common.actor import SYSTEM
from kauri.common.errors import KauriError
from kauri.common.locks import lock, retried
from kauri.core.models import Currency
from tests.moves import together

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The waits between tries, which nobody waits for here."""
    waited: list[float] = []
    monkeypatch.setattr(locks, "time", SimpleNamespace(sleep=waited.append))
    return waited


@pytest.fixture
def other() -> Iterator[psycopg.Connection[Any]]:
    """Another connection, with the rights of whoever logged in."""
    params = {**connection.get_connection_params(), "options": "-c lock_timeout=5s"}
    with psycopg.connect(**params, autocommit=True) as made:
        yield made


def ask(sql: str, params: list[Any] | None = None) -> Any:
    with connection.cursor() as cursor:
        cursor.execute(sql, params)
        row = cursor.fetchone()
    return row and row[0]


def backend() -> int:
    return int(ask("select pg_backend_pid()"))


def end(other: psycopg.Connection[Any], pid: int) -> None:
    """End a backend and wait until it is gone."""
    assert other.execute("select pg_terminate_backend(%s, 5000)", [pid]).fetchone() == (True,)


def state_of(exc: BaseException) -> Any:
    return getattr(exc.__cause__, "sqlstate", None)


def failing(code: str) -> None:
    """Fail in the database with this SQLSTATE."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(f"do $$ begin raise exception 'wanted' using errcode = '{code}'; end $$")


class Run:
    """Calls ``act`` in a transaction of its own and remembers each call's backend and error."""

    def __init__(self, act: Callable[[int], Any], isolation: str = "read committed") -> None:
        self.act, self.isolation = act, isolation
        self.errors: list[BaseException | None] = []
        self.backends: list[int] = []

    def __call__(self) -> Any:
        number = len(self.errors)
        self.errors.append(None)
        try:
            with transaction.atomic():
                with connection.cursor() as cursor:
                    cursor.execute(f"set transaction isolation level {self.isolation}")
                self.backends.append(backend())
                return self.act(number)
        except BaseException as exc:
            self.errors[number] = exc
            raise

    @property
    def states(self) -> list[Any]:
        return [exc and state_of(exc) for exc in self.errors]


def test_of_two_in_a_deadlock_one_is_tried_again(customer: Callable[..., User], pauses: list[float]) -> None:
    people = [customer().pk for _ in range(2)]
    both_hold_one = threading.Barrier(2)

    def turn(number: int) -> Run:
        def cross(call: int) -> str:
            first, second = people if number else people[::-1]
            lock(User.objects.filter(pk=first)).get()
            if call == 0:
                both_hold_one.wait()
            lock(User.objects.filter(pk=second)).get()
            User.objects.filter(pk=second).update(telegram_username=f"turn {number}")
            return "done"

        run = Run(cross)
        assert retried(run) == "done"
        return run

    runs = together(2, turn)
    assert sorted((run.states for run in runs), key=len) == [[None], ["40P01", None]]
    assert len(pauses) == 1
    assert set(User.objects.filter(pk__in=people).values_list("telegram_username", flat=True)) == {
        "turn 0",
        "turn 1",
    }


def test_a_serialization_failure_is_tried_again(
    customer: Callable[..., User], other: psycopg.Connection[Any], pauses: list[float]
) -> None:
    user = customer()

    def write(call: int) -> str:
        row = User.objects.get(pk=user.pk)
        if call == 0:
            other.execute("update account_user set telegram_username = 'first' where id = %s", [user.pk])
        User.objects.filter(pk=user.pk).update(telegram_username=f"{row.telegram_username} second")
        return "done"

    run = Run(write, "repeatable read")
    assert retried(run) == "done"
    assert (run.states, len(pauses)) == (["40001", None], 1)
    user.refresh_from_db()
    assert user.telegram_username == "first second"


def test_a_lock_time_out_is_tried_again(
    customer: Callable[..., User], other: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    user = customer()
    other.execute("begin")
    other.execute("select 1 from account_user where id = %s for update", [user.pk])
    # Whoever holds the row lets go while the one who wants it waits.
    monkeypatch.setattr(locks, "time", SimpleNamespace(sleep=lambda _: other.execute("rollback")))

    def want(_: int) -> int:
        with connection.cursor() as cursor:
            cursor.execute("set local lock_timeout = '20ms'")
        return lock(User.objects.filter(pk=user.pk)).get().pk

    run = Run(want)
    assert retried(run) == user.pk
    assert run.states == ["55P03", None]


@pytest.mark.parametrize("code", ["40P01", "40001", "55P03"])
def test_what_was_rolled_back_whole_is_tried_again(code: str, pauses: list[float]) -> None:
    run = Run(lambda call: call or failing(code))
    assert retried(run) == 1
    assert (run.states, len(pauses)) == ([code, None], 1)


@pytest.mark.parametrize("code", ["23514", "23505", "23503", "42501", "22003", "57014", "XX000", "LG409"])
def test_nothing_else_of_the_database_is_tried_again(code: str, pauses: list[float]) -> None:
    run = Run(lambda _: failing(code))
    with pytest.raises(DatabaseError) as caught:
        retried(run)
    assert (run.states, pauses) == ([code], [])
    assert caught.value is run.errors[0]
    assert ask("select 1") == 1


def test_a_double_is_not_tried_again(customer: Callable[..., User], pauses: list[float]) -> None:
    user = customer()
    run = Run(lambda _: User.objects.create_user(email=user.email, password=None))
    with pytest.raises(IntegrityError):
        retried(run)
    assert (run.states, pauses) == (["23505"], [])


@pytest.mark.parametrize("error", [KauriError("insufficient_funds"), ValueError("ours"), KeyboardInterrupt()])
def test_no_error_of_our_own_is_tried_again(error: BaseException, pauses: list[float]) -> None:
    def fail(_: int) -> None:
        raise error

    run = Run(fail)
    with pytest.raises(type(error)) as caught:
        retried(run)
    assert caught.value is error
    assert (len(run.errors), pauses) == (1, [])


@pytest.mark.parametrize("noticed", [False, True])
def test_a_connection_lost_between_calls_is_replaced(
    other: psycopg.Connection[Any], pauses: list[float], noticed: bool
) -> None:
    lost = backend()
    end(other, lost)
    if noticed:
        with pytest.raises(OperationalError):
            ask("select 1")
    backends: list[int] = []

    def run() -> str:
        with transaction.atomic():
            backends.append(backend())
        return "done"

    assert retried(run) == "done"
    assert len(backends) == 1
    assert backends[0] != lost
    assert len(pauses) <= 1


def test_a_connection_lost_in_the_middle_is_replaced(
    other: psycopg.Connection[Any], pauses: list[float], customer: Callable[..., User]
) -> None:
    user = customer()

    def write(call: int) -> str:
        User.objects.filter(pk=user.pk).update(telegram_username=f"call {call}")
        if call == 0:
            end(other, run.backends[0])
        row = User.objects.get(pk=user.pk)
        return row.telegram_username

    run = Run(write)
    assert retried(run) == "call 1"
    assert (run.states, len(pauses)) == (["57P01", None], 1)
    assert run.backends[0] != run.backends[1] == backend()


def test_a_connection_lost_in_commit_did_its_work_once(
    customer: Callable[..., User], other: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    user, key, uah = customer(), uuid.uuid4(), Currency.objects.get(code="UAH")
    commit = BaseDatabaseWrapper._commit
    lost: list[int] = []

    def unanswered(self: BaseDatabaseWrapper) -> None:
        commit(self)
        if not lost:
            lost.append(backend())
            end(other, lost[0])
            with self.wrap_database_errors:
                self.connection.execute("select 1")

    def give() -> Posted:
        with transaction.atomic():
            return ledger.post(
                key,
                TransferKind.OPENING,
                [
                    Leg(AccountKind.CAPITAL, uah, Decimal(-5)),
                    Leg(AccountKind.CUSTOMER_AVAILABLE, uah, Decimal(5), customer_id=user.pk),
                ],
                actor=SYSTEM,
            )

    monkeypatch.setattr(BaseDatabaseWrapper, "_commit", unanswered)
    posted = retried(give)
    assert posted == Posted(transfer_id=Transfer.objects.get().pk, replayed=True)
    assert backend() not in lost


def test_an_interface_error_is_a_lost_connection_too(pauses: list[float]) -> None:
    def fail(call: int) -> int:
        if call == 0:
            raise InterfaceError("connection already closed")
        return call

    assert retried(Run(fail)) == 1
    assert len(pauses) == 1


def test_inside_somebodys_transaction_nothing_is_tried_again(
    other: psycopg.Connection[Any], pauses: list[float]
) -> None:
    def lose(_: int) -> None:
        end(other, run.backends[-1])
        ask("select 1")

    run = Run(lose)
    with pytest.raises(OperationalError), transaction.atomic():
        inner = backend()
        retried(run)
    assert (run.states, run.backends, pauses) == (["57P01"], [inner], [])
    for code in ("40P01", "40001", "55P03"):
        run = Run(lambda _, code=code: failing(code))
        with pytest.raises(DatabaseError), transaction.atomic():
            retried(run)
        assert (run.states, pauses) == ([code], [])


def test_the_outermost_is_tried_again_as_a_whole(pauses: list[float]) -> None:
    calls: list[str] = []

    def inner() -> None:
        calls.append("inner")
        if calls.count("inner") == 1:
            failing("40P01")

    def outer(_: int) -> str:
        calls.append("outer")
        retried(inner)
        return "done"

    assert retried(Run(outer)) == "done"
    assert calls == ["outer", "inner", "outer", "inner"]
    assert len(pauses) == 1


@pytest.mark.parametrize("tries", [1, 2, 3, 6])
def test_it_gives_up_with_the_last_error_as_it_came(tries: int, pauses: list[float]) -> None:
    run = Run(lambda _: failing("40P01"))
    with pytest.raises(OperationalError) as caught:
        retried(run, tries)
    assert run.states == ["40P01"] * tries
    assert caught.value is run.errors[-1]
    assert len(pauses) == tries - 1
    assert ask("select 1") == 1


def test_it_gives_up_on_connections_that_are_lost_again_and_again(
    other: psycopg.Connection[Any], pauses: list[float]
) -> None:
    def lose(_: int) -> None:
        end(other, run.backends[-1])
        ask("select 1")

    run = Run(lose)
    with pytest.raises(OperationalError) as caught:
        retried(run)
    assert caught.value is run.errors[-1]
    assert run.states == ["57P01"] * 3
    assert len(set(run.backends)) == 3
    assert len(pauses) == 2


def test_the_waits_are_short_and_differ(pauses: list[float]) -> None:
    for _ in range(20):
        with pytest.raises(OperationalError):
            retried(Run(lambda _: failing("55P03")))
    assert len(pauses) == 40
    assert 0.02 <= min(pauses) < max(pauses) <= 0.1
    assert len(set(pauses)) > 30
