"""Each law of the ledger is attacked with raw SQL. The database must refuse, whatever the code does."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from django.conf import settings
from django.db import DatabaseError, connection, transaction

from kauri.account.models import User
from kauri.balance import invariants, ledger
from kauri.balance.chart import CHART, AccountKind, TransferKind
from kauri.balance.ledger import LedgerFault, Leg, Posted
from kauri.balance.models import Entry, HotDelta, LedgerAccount, Transfer
from kauri.balance.selectors import customer_balances, trial_balance
from kauri.common.actor import SYSTEM
from kauri.common.errors import KauriError
from kauri.common.ids import ledger_key
from kauri.core.models import Currency
from tests.moves import as_owner


def legs(user: User, amount: str, code: str = "UAH") -> list[Leg]:
    currency = Currency.objects.get(code=code)
    return [
        Leg(AccountKind.CAPITAL, currency, -Decimal(amount)),
        Leg(AccountKind.CUSTOMER_AVAILABLE, currency, Decimal(amount), customer_id=user.pk),
    ]


def give(user: User, amount: str, code: str = "UAH", name: str = "gift") -> Posted:
    return ledger.post(
        ledger_key("test", user.pk, name), TransferKind.OPENING, legs(user, amount, code), actor=SYSTEM
    )


def give_to_held(user: User, amount: str) -> Posted:
    """Held money without a hold: what no service does."""
    uah = Currency.objects.get(code="UAH")
    return ledger.post(
        uuid.uuid4(),
        TransferKind.OPENING,
        [
            Leg(AccountKind.CAPITAL, uah, -Decimal(amount)),
            Leg(AccountKind.CUSTOMER_HELD, uah, Decimal(amount), customer_id=user.pk),
        ],
        actor=SYSTEM,
    )


def available(user: User, code: str = "UAH") -> Decimal:
    return next(row.available for row in customer_balances(user.pk) if row.currency.code == code)


def refused(sql: str, params: list[Any] | None = None) -> tuple[str, str]:
    """The SQLSTATEs with which ``sql`` is refused to the application, and to the schema's owner."""
    states = []
    for door in (connection.cursor, as_owner):
        with pytest.raises(DatabaseError) as caught, transaction.atomic(), door() as cursor:
            cursor.execute(sql, params)
        states.append(str(caught.value.__cause__.sqlstate))  # type: ignore[union-attr]
    return states[0], states[1]


#: PostgreSQL's "insufficient privilege".
NO_RIGHT = "42501"


def test_a_transfer_is_written_once_per_key(customer: Callable[..., User]) -> None:
    user = customer()
    first = give(user, "10.50")
    again = give(user, "10.50")
    assert (again.transfer_id, first.replayed, again.replayed) == (first.transfer_id, False, True)
    assert available(user) == Decimal("10.50")
    with pytest.raises(KauriError, match="already done differently"), transaction.atomic():
        give(user, "10.51")
    assert available(user) == Decimal("10.50")
    assert Entry.objects.count() == 2


def test_no_customer_goes_below_zero(customer: Callable[..., User]) -> None:
    user = customer()
    give(user, "10")
    with pytest.raises(KauriError) as caught, transaction.atomic():
        give(user, "-10.01", name="theft")
    assert caught.value.code == "insufficient_funds"
    assert available(user) == Decimal(10)
    for value in ("-1", "'NaN'"):
        sql = f"update ledger_account set balance = {value} where customer_id = {user.pk}"
        assert refused(sql) == (NO_RIGHT, "23514")


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (lambda c: [(AccountKind.CAPITAL, "-10"), (AccountKind.SUSPENSE, "9")], "sum to zero"),
        (lambda c: [(AccountKind.CAPITAL, "-0.001"), (AccountKind.SUSPENSE, "0.001")], "finer than"),
        (lambda c: [(AccountKind.CAPITAL, "NaN"), (AccountKind.SUSPENSE, "NaN")], "not a number"),
        (lambda c: [(AccountKind.CAPITAL, "1"), (AccountKind.CAPITAL, "-1")], "2 to 50"),
        (lambda c: [(AccountKind.CAPITAL, "5")], "2 to 50"),
    ],
)
def test_malformed_transfers_are_refused(house: None, change: Any, fault: str) -> None:
    uah = Currency.objects.get(code="UAH")
    wanted = [Leg(kind, uah, Decimal(amount)) for kind, amount in change(uah)]
    with pytest.raises(LedgerFault, match=fault), transaction.atomic():
        ledger.post(uuid.uuid4(), TransferKind.OPENING, wanted, actor=SYSTEM)
    assert Transfer.objects.count() == 0


def test_currencies_balance_each_on_its_own(house: None) -> None:
    uah, eur = Currency.objects.get(code="UAH"), Currency.objects.get(code="EUR")
    with pytest.raises(LedgerFault, match="sum to zero"), transaction.atomic():
        ledger.post(
            uuid.uuid4(),
            TransferKind.OPENING,
            [Leg(AccountKind.CAPITAL, uah, Decimal(-1)), Leg(AccountKind.CAPITAL, eur, Decimal(1))],
            actor=SYSTEM,
        )


def test_legs_name_owners_that_fit(house: None) -> None:
    uah = Currency.objects.get(code="UAH")
    with pytest.raises(LedgerFault):
        Leg(AccountKind.CUSTOMER_AVAILABLE, uah, Decimal(1))
    with pytest.raises(LedgerFault):
        Leg(AccountKind.FEE_INCOME, uah, Decimal(1), customer_id=1)
    with pytest.raises(LedgerFault):
        Leg(AccountKind.FEE_INCOME, uah, 1.5)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "sql",
    [
        "update ledger_entry set amount = amount + 1",
        "update ledger_transfer set reference = 'x'",
        "delete from ledger_entry",
        "delete from ledger_transfer",
        "delete from ledger_account",
        "delete from ledger_hold where true or id = 0",
        "update ledger_account set kind = 2, customer_id = customer_id where customer_id is not null",
        "update ledger_account set may_be_negative = true where customer_id is not null",
        "update ledger_account set customer_id = customer_id + 1 where customer_id is not null",
    ],
)
def test_the_past_is_not_changed(customer: Callable[..., User], sql: str) -> None:
    user = customer()
    give(user, "10")
    ledger.hold(
        uuid.uuid4(),
        TransferKind.WITHDRAWAL_HOLD,
        customer_id=user.pk,
        currency=Currency.objects.get(code="UAH"),
        amount=Decimal(1),
        actor=SYSTEM,
    )
    assert refused(sql) == (NO_RIGHT, "LG403")


def entry_of(transfer: str, account: LedgerAccount, *amounts: str, at: str = "clock_timestamp()") -> str:
    """SQL that writes these amounts on one account as entries of ``transfer`` (a SQL expression)."""
    rows = ", ".join(
        f"({transfer}, {account.pk}, {account.currency_id}, {amount}, {at})" for amount in amounts
    )
    return (
        "insert into ledger_entry (transfer_id, account_id, currency_id, amount, created_at) values " + rows
    )


def test_entries_can_not_be_slipped_in(customer: Callable[..., User]) -> None:
    user = customer()
    posted = give(user, "10")
    account = LedgerAccount.objects.get(customer=user)
    new = (
        "with t as (insert into ledger_transfer (key, request_hash, kind, actor, reference, created_at)"
        " values (gen_random_uuid(), '\\x00', 40, 'x', '', clock_timestamp()) returning id) "
    )
    one_sided = new + entry_of("(select id from t)", account, "5")
    assert refused(one_sided) == (NO_RIGHT, "LG400")
    assert refused(new + entry_of("(select id from t)", account, "'NaN'")) == (NO_RIGHT, "LG400")
    assert refused(new + entry_of("(select id from t)", account, "0")) == (NO_RIGHT, "LG400")
    # Balanced by itself, on accounts that the transfer did not touch, but it was whole without them.
    currency = account.currency
    for kind in (AccountKind.SUSPENSE, AccountKind.ROUNDING):
        ledger.post(
            uuid.uuid4(),
            TransferKind.OPENING,
            [Leg(AccountKind.CAPITAL, currency, Decimal(-1)), Leg(kind, currency, Decimal(1))],
            actor=SYSTEM,
        )
    spare = LedgerAccount.objects.filter(kind__in=(AccountKind.SUSPENSE, AccountKind.ROUNDING))
    late = "; ".join(entry_of(str(posted.transfer_id), row, "5") for row in spare)
    assert refused(late) == (NO_RIGHT, "LG400")
    both = (
        "insert into ledger_entry (transfer_id, account_id, currency_id, amount, created_at)"
        f" select {posted.transfer_id}, id, currency_id, case kind when 31 then 5 else -5 end, now()"
        " from ledger_account where kind in (31, 33)"
    )
    assert refused(both) == (NO_RIGHT, "LG403")
    assert Entry.objects.count() == 6
    assert invariants.broken_laws() == []


def test_an_account_is_opened_by_the_chart_alone(customer: Callable[..., User]) -> None:
    user = customer()
    uah = Currency.objects.get(code="UAH").pk
    columns = (
        "kind, currency_id, customer_id, provider_id, may_be_negative, is_inline, is_closed, balance, version"
    )
    wrong = [
        f"1, {uah}, {user.pk}, null, true, true, false, 0, 0",  # a customer who may owe
        f"1, {uah}, {user.pk}, null, false, true, false, 7, 0",  # money from nowhere
        f"1, {uah}, null, null, false, true, false, 0, 0",  # nobody's
        f"20, {uah}, {user.pk}, null, true, false, false, 0, 0",  # the house's, but a customer's
        f"99, {uah}, null, null, true, false, false, 0, 0",  # no kind of the chart
    ]
    for values in wrong:
        assert refused(f"insert into ledger_account ({columns}) values ({values})") == (NO_RIGHT, "LG400")
    assert LedgerAccount.objects.count() == 0


def test_the_chart_in_the_database_is_the_chart_in_the_code(house: None) -> None:
    with connection.cursor() as cursor:
        cursor.execute("select kind, owner, may_be_negative, is_inline from ledger_kind")
        stored = {row[0]: row[1:] for row in cursor.fetchall()}
    assert stored == {
        int(kind): (spec.owner.value, spec.may_be_negative, spec.inline) for kind, spec in CHART.items()
    }


def test_held_money_moves_with_its_hold_only(customer: Callable[..., User]) -> None:
    user = customer()
    with pytest.raises(LedgerFault, match="with its hold"), transaction.atomic():
        give_to_held(user, "5")
    for function in ("ledger_write", "ledger_account_open", "ledger_must_reverse"):
        with connection.cursor() as cursor:
            cursor.execute(
                "select has_function_privilege(%s, oid, 'execute') from pg_proc where proname = %s",
                [settings.KAURI.database_role, function],
            )
            assert cursor.fetchall() == [(False,)]


def test_a_closed_account_takes_no_entry(customer: Callable[..., User]) -> None:
    user = customer()
    give(user, "10")
    with as_owner() as cursor:
        cursor.execute("update ledger_account set is_closed = true where customer_id = %s", [user.pk])
    with pytest.raises(LedgerFault, match="no open account"), transaction.atomic():
        give(user, "1", name="late")


def test_hold_capture_release(customer: Callable[..., User]) -> None:
    user, order = customer(), uuid.uuid4()
    uah = Currency.objects.get(code="UAH")
    give(user, "100")
    for _ in range(2):
        ledger.hold(
            order,
            TransferKind.WITHDRAWAL_HOLD,
            customer_id=user.pk,
            currency=uah,
            amount=Decimal(60),
            actor=SYSTEM,
        )
    [balance] = [row for row in customer_balances(user.pk) if row.currency == uah]
    assert (balance.available, balance.held, balance.total) == (Decimal(40), Decimal(60), Decimal(100))
    take = [
        Leg(AccountKind.CUSTOMER_HELD, uah, Decimal(-50), customer_id=user.pk),
        Leg(AccountKind.FEE_INCOME, uah, Decimal(50)),
    ]
    small = [
        Leg(AccountKind.CUSTOMER_HELD, uah, Decimal(-5), customer_id=user.pk),
        Leg(AccountKind.FEE_INCOME, uah, Decimal(5)),
    ]
    ledger.capture(order, TransferKind.WITHDRAWAL_CAPTURE, take, amount=Decimal(50), actor=SYSTEM)
    with pytest.raises(KauriError, match="not enough"), transaction.atomic():
        ledger.release(
            order,
            TransferKind.WITHDRAWAL_RELEASE,
            customer_id=user.pk,
            currency=uah,
            amount=Decimal(11),
            actor=SYSTEM,
        )
    other = uuid.uuid4()
    ledger.hold(
        other,
        TransferKind.WITHDRAWAL_HOLD,
        customer_id=user.pk,
        currency=uah,
        amount=Decimal(20),
        actor=SYSTEM,
    )
    # There is money enough on the held account, but it is another order's.
    with pytest.raises(LedgerFault, match="smaller"), transaction.atomic():
        ledger.release(
            order,
            TransferKind.WITHDRAWAL_RELEASE,
            customer_id=user.pk,
            currency=uah,
            amount=Decimal(11),
            actor=SYSTEM,
        )
    ledger.release(
        other,
        TransferKind.WITHDRAWAL_RELEASE,
        customer_id=user.pk,
        currency=uah,
        amount=Decimal(20),
        actor=SYSTEM,
    )
    with pytest.raises(LedgerFault, match="do not settle"), transaction.atomic():
        ledger.capture(
            order, TransferKind.WITHDRAWAL_CAPTURE, small, amount=Decimal(9), actor=SYSTEM, step="second"
        )
    ledger.release(
        order,
        TransferKind.WITHDRAWAL_RELEASE,
        customer_id=user.pk,
        currency=uah,
        amount=Decimal(10),
        actor=SYSTEM,
    )
    [balance] = [row for row in customer_balances(user.pk) if row.currency == uah]
    assert (balance.available, balance.held) == (Decimal(50), Decimal(0))
    assert invariants.broken_laws() == []


def test_a_hold_needs_the_money(customer: Callable[..., User]) -> None:
    user = customer()
    give(user, "5")
    with pytest.raises(KauriError) as caught, transaction.atomic():
        ledger.hold(
            uuid.uuid4(),
            TransferKind.WITHDRAWAL_HOLD,
            customer_id=user.pk,
            currency=Currency.objects.get(code="UAH"),
            amount=Decimal("5.01"),
            actor=SYSTEM,
        )
    assert caught.value.code == "insufficient_funds"
    assert available(user) == Decimal(5)


def test_a_mistake_is_reversed_once_and_named(customer: Callable[..., User]) -> None:
    user = customer()
    wrong = give(user, "10")
    undone = ledger.reverse(wrong.transfer_id, actor=SYSTEM, reason="typed twice")
    again = ledger.reverse(wrong.transfer_id, actor=SYSTEM, reason="typed twice")
    assert (again.transfer_id, again.replayed) == (undone.transfer_id, True)
    assert available(user) == Decimal(0)
    assert Transfer.objects.get(pk=undone.transfer_id).reverses_id == wrong.transfer_id
    with pytest.raises(KauriError, match="already reversed"), transaction.atomic():
        ledger.post(
            uuid.uuid4(), TransferKind.REVERSAL, legs(user, "1"), actor=SYSTEM, reverses_id=wrong.transfer_id
        )
    with pytest.raises(LedgerFault, match="not reversed"), transaction.atomic():
        ledger.reverse(undone.transfer_id, actor=SYSTEM, reason="back again")
    right = give(user, "3", name="right")
    with pytest.raises(LedgerFault, match="exact opposite"), transaction.atomic():
        ledger.post(
            uuid.uuid4(), TransferKind.REVERSAL, legs(user, "-2"), actor=SYSTEM, reverses_id=right.transfer_id
        )
    assert available(user) == Decimal(3)
    with pytest.raises(KauriError) as caught:
        ledger.reverse(10**12, actor=SYSTEM, reason="nothing")
    assert caught.value.code == "not_found"


def test_hot_accounts_are_exact_before_and_after_the_roller(customer: Callable[..., User]) -> None:
    user = customer()
    for number in range(5):
        give(user, "2.25", name=str(number))

    def capital() -> Decimal:
        return next(
            t.amount for t in trial_balance() if t.currency.code == "UAH" and t.kind is AccountKind.CAPITAL
        )

    assert (capital(), HotDelta.objects.count()) == (Decimal("-11.25"), 5)
    assert ledger.roll() == 5
    assert (capital(), HotDelta.objects.count(), ledger.roll()) == (Decimal("-11.25"), 0, 0)
    assert invariants.broken_laws() == []


@pytest.mark.parametrize(
    ("sql", "law"),
    [
        (
            "update ledger_account set balance = balance + 1 where customer_id is not null",
            "sum of its entries",
        ),
        ("update ledger_hold set captured = 1", "open holds"),
        (
            "alter table ledger_entry disable trigger ledger_entry_append; update ledger_entry set amount = amount * 2",
            "chain",
        ),
    ],
)
def test_the_self_check_finds_what_gets_past_the_laws(
    customer: Callable[..., User], sql: str, law: str
) -> None:
    user = customer()
    give(user, "10")
    ledger.hold(
        uuid.uuid4(),
        TransferKind.WITHDRAWAL_HOLD,
        customer_id=user.pk,
        currency=Currency.objects.get(code="UAH"),
        amount=Decimal(4),
        actor=SYSTEM,
    )
    assert invariants.broken_laws() == []
    with as_owner() as cursor:
        cursor.execute("set constraints all immediate")
        cursor.execute(sql)
    assert any(law in finding["law"] for finding in invariants.broken_laws())
