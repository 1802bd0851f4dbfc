"""A block's deposits are opened together, and each is what it would be alone."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from kauri.account.models import User
from kauri.balance import invariants
from kauri.core.models import OutboxEvent
from kauri.deposit_order import opening
from kauri.deposit_order.models import DepositDetail
from kauri.deposit_order.services import deposits_scan
from kauri.order_core.models import Order, Policy, Transition
from kauri.payment_provider.models import Payin
from kauri.wallet.models import DepositAddress
from kauri.wallet.services import pool_fill
from tests.house import Usdt
from tests.moves import address_of, balance_of, events

Customer = Callable[..., User]


def scan(usdt: Usdt) -> int:
    return deposits_scan(usdt.provider.pk)


def block(usdt: Usdt, *sent: tuple[str, str]) -> list[str]:
    """One block of transfers: (address, amount) each, in this order."""
    names = [usdt.send(address, amount, mine=0) for address, amount in sent]
    usdt.chain.mine()
    return names


def faults() -> list[tuple[str, str]]:
    return list(Payin.objects.order_by("pk").values_list("state", "fault"))


def test_many_take_as_many_statements_as_a_few(usdt: Usdt, customer: Customer) -> None:
    addresses = [address_of(customer()) for _ in range(20)]
    scan(usdt)
    counts = []
    for some in (addresses[:3], addresses):
        block(usdt, *((address, "5") for address in some))
        with CaptureQueriesContext(
            connection,
        ) as captured:
            scan(usdt)
        counts.append(len(captured))
    assert counts[0] == counts[1]
    assert Order.objects.count() == DepositDetail.objects.count() == 23
    assert Transition.objects.count() == 46
    assert len(events("deposit.new")) == len(events("deposit.waiting_for_confirmation")) == 23


def test_each_has_all_that_one_alone_has(usdt: Usdt, customer: Customer) -> None:
    one, two = customer(), customer()
    places = address_of(one, "https://shop.example/hook"), address_of(two)
    scan(usdt)
    names = block(usdt, (places[0], "5.5"), (places[1], "7"), (places[0], "9"))
    scan(usdt)
    found = [
        (
            payin.transaction,
            payin.amount,
            payin.state,
            payin.deposit.order.owner_id,
            payin.deposit.order.status,
            payin.deposit.confirmations_needed,
            payin.order_id == payin.deposit.order.public_id,
        )
        for payin in Payin.objects.order_by("pk").select_related("deposit__order")
    ]
    wanted = [(names[0], "5.5", one), (names[1], "7", two), (names[2], "9", one)]
    assert found == [
        (name, Decimal(amount), "seen", user.pk, "WAITING_FOR_CONFIRMATION", 3, True)
        for name, amount, user in wanted
    ]
    for order in Order.objects.order_by("pk"):
        moves = order.transitions.order_by("id").values_list("from_status", "to_status", "actor_label")
        assert list(moves) == [
            ("", "NEW", "usdt-node"),
            ("NEW", "WAITING_FOR_CONFIRMATION", "usdt-node"),
        ]
        told = OutboxEvent.objects.filter(subject_id=order.public_id).order_by("id")
        assert [event.kind for event in told] == ["deposit.new", "deposit.waiting_for_confirmation"]
        assert [event.payload["status"] for event in told] == ["NEW", "WAITING_FOR_CONFIRMATION"]
        assert {event.payload["confirmations_count"] for event in told} == {1}
        hook = "https://shop.example/hook" if order.owner_id == one.pk else ""
        assert {event.callback_url for event in told} == {hook}
        assert order.explanation["decided_by"] == "passed"
    usdt.chain.mine(2)
    assert (scan(usdt), scan(usdt)) == (3, 0)
    assert (balance_of(one)[0], balance_of(two)[0]) == (Decimal("14.5"), Decimal(7))
    assert invariants.broken_laws() == []


def test_a_limit_counts_what_came_before_in_the_same_block(usdt: Usdt, customer: Customer) -> None:
    """Ten a day and not more; the other customer has a day of their own."""
    Policy.objects.filter(operation="DEPOSIT", currency__code="USDT").update(daily_amount=Decimal(10))
    one, two = customer(), customer()
    a, b = address_of(one), address_of(two)
    scan(usdt)
    block(usdt, (a, "6"), (b, "10"), (a, "5"), (a, "4"))
    scan(usdt)
    assert faults() == [("seen", ""), ("seen", ""), ("unmatched", "refused"), ("seen", "")]
    refused = Payin.objects.get(state="unmatched")
    assert refused.amount == Decimal(5)
    assert refused.fault_detail == "limit_exceeded: 4 USDT is left"
    assert refused.order_id is None


def test_orders_a_day_are_counted_within_the_block(usdt: Usdt, customer: Customer) -> None:
    Policy.objects.filter(operation="DEPOSIT", currency__code="USDT").update(daily_count=2)
    address = address_of(customer())
    scan(usdt)
    block(usdt, *((address, "5") for _ in range(4)))
    scan(usdt)
    assert [state for state, _ in faults()] == ["seen", "seen", "unmatched", "unmatched"]


def test_what_has_no_home_stands_among_the_others(usdt: Usdt, customer: Customer) -> None:
    address = address_of(customer())
    pool_fill(usdt.provider.pk)
    spare = DepositAddress.objects.filter(user__isnull=True).first()
    assert spare is not None
    scan(usdt)
    names = block(usdt, (spare.address, "5"), (address, "0.5"), (address, "5"))
    scan(usdt)
    assert faults() == [("unmatched", "address_not_given"), ("unmatched", "below_minimum"), ("seen", "")]
    assert list(Payin.objects.order_by("pk").values_list("transaction", flat=True)) == names
    told = events("payin.unmatched")
    assert [(one.payload["fault"], one.payload["amount"]) for one in told] == [
        ("address_not_given", "5"),
        ("below_minimum", "0.5"),
    ]
    assert told[1].payload["reason"] == "below_minimum: the minimum is 1 USDT"
    assert Order.objects.count() == 1


def test_the_wish_to_convert_is_each_customers_own(usdt: Usdt, customer: Customer) -> None:
    wishes = customer(auto_conversion="BTC"), customer(auto_conversion="USDT"), customer()
    addresses = [address_of(user) for user in wishes]
    scan(usdt)
    block(usdt, *((address, "5") for address in addresses))
    scan(usdt)
    kept = DepositDetail.objects.order_by("order_id").values_list("convert_to__code", flat=True)
    assert list(kept) == ["BTC", None, None]


@pytest.mark.parametrize("most", [1, 2, 500])
def test_however_many_are_written_at_once(
    usdt: Usdt, customer: Customer, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    monkeypatch.setattr(opening, "MOST", most)
    users = [customer() for _ in range(3)]
    addresses = [address_of(user) for user in users]
    scan(usdt)
    block(usdt, *((address, "5") for address in (*addresses, addresses[0])))
    usdt.chain.mine(2)
    assert (scan(usdt), scan(usdt)) == (4, 0)
    assert [balance_of(user)[0] for user in users] == [Decimal(10), Decimal(5), Decimal(5)]
    assert Order.objects.filter(status="CLOSED").count() == 4
    assert invariants.broken_laws() == []
