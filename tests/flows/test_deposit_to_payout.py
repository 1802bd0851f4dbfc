"""Money comes in from a chain, is credited, decided on, and goes out again: the books stay true."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

import pytest

from kauri.account.models import User
from kauri.balance import invariants
from kauri.balance.selectors import coverage, customer_balances
from kauri.common.actor import Actor
from kauri.common.errors import KauriError
from kauri.core.models import Currency
from kauri.deposit_order.addresses import deposit_address
from kauri.deposit_order.services import deposits_scan
from kauri.order_core.models import Order, Transition
from kauri.payment_provider.models import Payin, Payout
from kauri.withdrawal_order.paying import payout_advance
from kauri.withdrawal_order.services import (
    WithdrawalRequest,
    withdrawal_approve,
    withdrawal_create,
    withdrawal_reject,
)
from tests.house import Usdt

DESTINATION = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8"


def balance_of(user: User) -> tuple[Decimal, Decimal]:
    [row] = [row for row in customer_balances(user.pk) if row.currency.code == "USDT"]
    return row.available, row.held


def address_of(user: User) -> str:
    answer = deposit_address(
        user=user,
        currency_code="USDT",
        network="ERC20",
        amount=None,
        callback_url="",
        return_url="",
        external_id="",
    )
    return str(answer["addr"])


def deposit(usdt: Usdt, user: User, amount: str) -> None:
    deposits_scan(usdt.provider.pk)
    usdt.send(address_of(user), amount, mine=3)
    assert deposits_scan(usdt.provider.pk) == 1


def withdraw(user: User, amount: str) -> Order:
    request = WithdrawalRequest(user_id=user.pk, currency="USDT", amount=amount, destination=DESTINATION)
    return withdrawal_create(request=request, actor=user.as_actor())


def pay(order: Order, usdt: Usdt) -> Payout:
    payout = Payout.objects.get(order_id=order.public_id)
    for _ in range(3):
        Payout.objects.filter(pk=payout.pk).update(next_attempt_at="2026-01-01T00:00Z")
        payout_advance(payout.pk)
        usdt.chain.mine(3)
    payout.refresh_from_db()
    return payout


def test_deposit_is_credited_once_after_its_confirmations(usdt: Usdt, customer: Callable[..., User]) -> None:
    user = customer()
    address = address_of(user)
    deposits_scan(usdt.provider.pk)
    name = usdt.send(address, "25.5")
    assert deposits_scan(usdt.provider.pk) == 0
    assert balance_of(user) == (Decimal(0), Decimal(0))
    usdt.chain.mine(2)
    assert deposits_scan(usdt.provider.pk) == 1
    assert deposits_scan(usdt.provider.pk) == 0
    assert balance_of(user) == (Decimal("25.5"), Decimal(0))
    payin = Payin.objects.get()
    assert (payin.transaction, payin.state, payin.amount) == (name, "credited", Decimal("25.5"))
    order = Order.objects.get()
    assert order.status == "CLOSED"
    assert [row.to_status for row in Transition.objects.all()] == [
        "NEW",
        "WAITING_FOR_CONFIRMATION",
        "CLOSED",
    ]
    assert invariants.broken_laws() == []


def test_withdrawal_is_held_approved_paid_and_captured(
    usdt: Usdt, customer: Callable[..., User], operator: Callable[..., Actor]
) -> None:
    user = customer()
    deposit(usdt, user, "100")
    order = withdraw(user, "40")
    assert order.status == "WAITING_FOR_OPERATOR_CONFIRMATION"
    assert balance_of(user) == (Decimal(59), Decimal(41))
    withdrawal_approve(order_id=order.public_id, actor=operator())
    payout = pay(order, usdt)
    order.refresh_from_db()
    assert (payout.state, order.status) == ("confirmed", "CLOSED")
    assert usdt.balance(DESTINATION) == Decimal(40)
    assert balance_of(user) == (Decimal(59), Decimal(0))
    books = {row.currency.code: row for row in coverage()}
    assert books["USDT"].obligations == Decimal(59)
    assert books["USDT"].funds == Decimal(10060)
    assert payout.cost is not None
    assert books["ETH"].funds == Decimal(10) - payout.cost
    eth_now = Decimal(int(usdt.chain.rpc.call("eth_getBalance", usdt.hot_address, "latest"), 16)).scaleb(-18)
    assert eth_now == books["ETH"].funds
    assert invariants.broken_laws() == []


def test_rejected_withdrawal_gives_the_money_back(
    usdt: Usdt, customer: Callable[..., User], operator: Callable[..., Actor]
) -> None:
    user = customer()
    deposit(usdt, user, "100")
    order = withdraw(user, "40")
    withdrawal_reject(order_id=order.public_id, actor=operator(), reason="unknown destination")
    order.refresh_from_db()
    assert order.status == "CANCELLED"
    assert balance_of(user) == (Decimal(100), Decimal(0))
    assert Payout.objects.count() == 0
    assert invariants.broken_laws() == []


def test_a_payout_that_the_chain_refuses_is_released(
    usdt: Usdt, customer: Callable[..., User], operator: Callable[..., Actor]
) -> None:
    user = customer()
    deposit(usdt, user, "100")
    order = withdraw(user, "40")
    usdt.chain.command(usdt.token, "setBlackListed(address,bool)", usdt.hot_address, 1)
    withdrawal_approve(order_id=order.public_id, actor=operator())
    payout = pay(order, usdt)
    order.refresh_from_db()
    assert (payout.state, order.status) == ("failed", "ERROR")
    assert balance_of(user) == (Decimal(100), Decimal(0))
    assert usdt.balance(DESTINATION) == Decimal(0)
    assert invariants.broken_laws() == []


@pytest.mark.parametrize(
    ("amount", "code"),
    [("4.999999", "below_minimum"), ("99.000001", "insufficient_funds"), ("1.0000001", "invalid_amount")],
)
def test_a_refused_withdrawal_leaves_nothing(
    usdt: Usdt, customer: Callable[..., User], amount: str, code: str
) -> None:
    user = customer()
    deposit(usdt, user, "100")
    with pytest.raises(KauriError) as caught:
        withdraw(user, amount)
    assert caught.value.code == code
    assert Order.objects.filter(type="WITHDRAWAL").count() == 0
    assert balance_of(user) == (Decimal(100), Decimal(0))


def test_unverified_customer_is_asked_for_a_level(usdt: Usdt, customer: Callable[..., User]) -> None:
    user = customer(verification_level=0)
    deposit(usdt, user, "100")
    with pytest.raises(KauriError) as caught:
        withdraw(user, "40")
    assert caught.value.code == "verification_required"


def test_operator_without_the_right_decides_nothing(
    usdt: Usdt, customer: Callable[..., User], operator: Callable[..., Actor]
) -> None:
    user = customer()
    deposit(usdt, user, "100")
    order = withdraw(user, "40")
    for role in ("Support", "Administrator", "Auditor"):
        with pytest.raises(KauriError) as caught:
            withdrawal_approve(order_id=order.public_id, actor=operator(role))
        assert caught.value.code == "forbidden"
    order.refresh_from_db()
    assert order.status == "WAITING_FOR_OPERATOR_CONFIRMATION"
    assert Currency.objects.count() == 7
