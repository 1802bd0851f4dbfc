"""Each law of the ledger is attacked with raw SQL. The database must refuse, whatever the code does."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from django.db import DatabaseError, connection, transaction

from kauri.account.models import User
from kauri.balance import invariants, ledger
from kauri.balance.chart import AccountKind, TransferKind
from kauri.balance.ledger import LedgerFault, Leg, Posted
from kauri.balance.models import Entry, HotDelta, LedgerAccount, Transfer
from kauri.balance.selectors import customer_balances, trial_balance
from kauri.common.actor import SYSTEM
from kauri.common.errors import KauriError
from kauri.common.ids import ledger_key
from kauri.core.models import Currency


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


def refused(sql: str, params: list[Any] | None = None) -> str:
    """The SQLSTATE with which the database refuses ``sql`` (deferred checks included)."""
    with pytest.raises(DatabaseError) as caught, transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(sql, params)
        cursor.execute("set constraints all immediate")
    return str(caught.value.__cause__.sqlstate)  # type: ignore[union-attr]


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
    assert refused("update ledger_account set balance = -1 where customer_id = %s", [user.pk]) == "23514"
    assert refused("update ledger_account set balance = 'NaN' where customer_id = %s", [user.pk]) == "23514"


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
    assert refused(sql) in {"LG403", "23514"}


def test_entries_can_not_be_slipped_in(customer: Callable[..., User]) -> None:
    user = customer()
    posted = give(user, "10")
    account = LedgerAccount.objects.get(customer=user)
    assert (
        refused(
            "insert into ledger_transfer (key, request_hash, kind, actor, reference, created_at)"
            " values (gen_random_uuid(), '\\x00', 40, 'x', '', now())"
        )
        == "LG400"
    )
    one_sided = (
        "with t as (insert into ledger_transfer (key, request_hash, kind, actor, reference, created_at)"
        " values (gen_random_uuid(), '\\x00', 40, 'x', '', clock_timestamp()) returning id)"
        " insert into ledger_entry (transfer_id, account_id, currency_id, amount, created_at)"
        " select id, %s, %s, 5, clock_timestamp() from t"
    )
    assert refused(one_sided, [account.pk, account.currency_id]) == "LG400"
    assert refused(
        "insert into ledger_entry (transfer_id, account_id, currency_id, amount, created_at)"
        " values (%s, %s, %s, 'NaN', now())",
        [posted.transfer_id, account.pk, account.currency_id],
    ) in {"23514", "23505", "LG403"}


def test_a_closed_account_takes_no_entry(customer: Callable[..., User]) -> None:
    user = customer()
    give(user, "10")
    LedgerAccount.objects.filter(customer=user).update(is_closed=True)
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
    with pytest.raises(LedgerFault, match="smaller"), transaction.atomic():
        give_to_held(user, "20")
        ledger.release(
            order,
            TransferKind.WITHDRAWAL_RELEASE,
            customer_id=user.pk,
            currency=uah,
            amount=Decimal(11),
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
    with pytest.raises((KauriError, DatabaseError)), transaction.atomic():
        ledger.post(
            uuid.uuid4(),
            TransferKind.REVERSAL,
            legs(user, "1"),
            actor=SYSTEM,
            reverses_id=wrong.transfer_id,
        )
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
    with connection.cursor() as cursor:
        cursor.execute("set constraints all immediate")
        cursor.execute(sql)
    assert any(law in finding["law"] for finding in invariants.broken_laws())
