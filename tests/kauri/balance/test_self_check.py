"""The self-check: full and incremental, with its evidence, in one snapshot, without blocking anyone."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from decimal import Decimal

import pytest

from kauri.account.models import User
from kauri.balance import ledger
from kauri.balance.chart import TransferKind
from kauri.balance.models import Entry, SelfCheck
from kauri.common.actor import SYSTEM
from kauri.core.models import Currency, OutboxEvent
from kauri.order_core.models import Order
from kauri.order_core.services import books_check
from tests.moves import as_owner, give, sandbox_on, withdraw


def break_books(sql: str, trigger: str = "") -> None:
    """What only the owner of the schema could do, and only by taking a trigger away."""
    table, _, name = trigger.partition(".")
    with as_owner() as cursor:
        cursor.execute("set constraints all immediate")
        if trigger:
            cursor.execute(f"alter table {table} disable trigger {name}")
        cursor.execute(sql)
        if trigger:
            cursor.execute(f"alter table {table} enable trigger {name}")


def held(user: User, amount: str) -> uuid.UUID:
    order = uuid.uuid4()
    ledger.hold(
        order,
        TransferKind.WITHDRAWAL_HOLD,
        customer_id=user.pk,
        currency=Currency.objects.get(code="UAH"),
        amount=Decimal(amount),
        actor=SYSTEM,
    )
    return order


def test_an_incremental_run_begins_where_the_last_clean_one_ended(customer: Callable[..., User]) -> None:
    user = customer()
    give(user, "UAH", "10")
    first = books_check(full=False)
    assert (first.is_full, first.is_clean, first.counts) == (
        True,
        True,
        {"transfers": 1, "entries": 2, "accounts": 2},
    )
    give(user, "UAH", "11")
    second = books_check(full=False)
    assert (second.is_full, second.from_at, second.counts["transfers"]) == (False, first.until_at, 1)
    third = books_check(full=False)
    assert (third.from_at, third.counts) == (
        second.until_at,
        {"transfers": 0, "entries": 0, "accounts": 0},
    )
    assert OutboxEvent.objects.filter(kind="ledger.broken").count() == 0


def test_after_a_broken_run_everything_is_in_doubt(customer: Callable[..., User]) -> None:
    user = customer()
    give(user, "UAH", "10")
    books_check(full=False)
    give(user, "UAH", "5")
    break_books("update ledger_account set balance = balance + 1 where customer_id is not null")
    broken = books_check(full=False)
    assert (broken.is_full, broken.is_clean) == (False, False)
    assert [finding["law"] for finding in broken.findings] == [
        "an account's balance is the sum of its entries"
    ]
    account = str(Entry.objects.filter(account__customer=user).values_list("account_id", flat=True)[0])
    assert broken.findings[0]["evidence"][0][0] == account
    assert OutboxEvent.objects.filter(kind="ledger.broken").count() == 1
    break_books("update ledger_account set balance = balance - 1 where customer_id is not null")
    after = books_check(full=False)
    assert (after.is_full, after.is_clean) == (True, True)


@pytest.mark.parametrize(
    ("sql", "trigger", "laws"),
    [
        (
            "update ledger_entry set amount = amount + 1, balance_after = balance_after + 1"
            " where balance_after is not null",
            "ledger_entry.ledger_entry_append",
            {
                "a transfer sums to zero per currency",
                "an account's balance is the sum of its entries",
                "balances after each entry chain",
            },
        ),
        (
            "update ledger_entry set balance_after = balance_after + 1 where balance_after is not null",
            "ledger_entry.ledger_entry_append",
            {"balances after each entry chain"},
        ),
        (
            "update ledger_entry set amount = amount * 1.0001",
            "ledger_entry.ledger_entry_append",
            {
                "amounts fit their currency",
                "balances after each entry chain",
                "an account's balance is the sum of its entries",
            },
        ),
        (
            "update ledger_entry set currency_id = currency_id + 1",
            "ledger_entry.ledger_entry_append",
            {"an entry stands on an account of its currency, in a transfer"},
        ),
        ("update ledger_hold set captured = 1", "", {"held money equals the open holds"}),
        (
            "delete from ledger_entry",
            "ledger_entry.ledger_entry_append",
            {"a transfer has entries", "an account's balance is the sum of its entries"},
        ),
    ],
)
def test_a_full_run_finds_what_gets_past_every_guard(
    customer: Callable[..., User], sql: str, trigger: str, laws: set[str]
) -> None:
    user = customer()
    give(user, "UAH", "10")
    held(user, "4")
    break_books(sql, trigger)
    found = {finding["law"] for finding in books_check(full=True).findings}
    # The hold here has no order: that law speaks too, and is not this test's.
    assert found - {"money is held for orders under way only"} == laws


def test_an_incremental_run_finds_it_too(customer: Callable[..., User]) -> None:
    user = customer()
    give(user, "UAH", "1")
    assert books_check(full=False).is_clean
    give(user, "UAH", "2")
    give(user, "UAH", "3")
    break_books(
        "update ledger_entry set balance_after = balance_after + 1"
        " where id = (select min(id) from ledger_entry where amount = 2)",
        "ledger_entry.ledger_entry_append",
    )
    check = books_check(full=False)
    assert [finding["law"] for finding in check.findings] == ["balances after each entry chain"]


def test_orders_and_books_agree(customer: Callable[..., User]) -> None:
    sandbox_on()
    user = customer()
    give(user, "UAH", "100")
    order = withdraw(user, "60", currency="UAH", to="sandbox:success")
    assert books_check(full=True).is_clean
    break_books(
        "update order_core_order set status = 'CLOSED', finished_at = now()",
        "order_core_order.order_status_history",
    )
    found = {finding["law"]: finding["evidence"] for finding in books_check(full=False).findings}
    assert found["an order stands where its history brought it"][0][0] == str(order.public_id)
    assert found["money is held for orders under way only"][0][0] == str(order.public_id)
    break_books(
        "update order_core_order set public_id = gen_random_uuid()", "order_core_order.order_identity"
    )
    found = {finding["law"]: finding["evidence"] for finding in books_check(full=True).findings}
    assert found["every completed order has its transfers"] == [[str(Order.objects.get().public_id)]]
    assert SelfCheck.objects.filter(is_clean=False).count() == 2
