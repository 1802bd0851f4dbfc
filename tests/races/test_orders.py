"""Threads with connections of their own at one order, one payout, one chain, one callback, one key."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from kauri.account import tokens
from kauri.account.models import User
from kauri.balance import invariants
from kauri.balance.chart import TransferKind
from kauri.callbacks import services as callbacks
from kauri.callbacks.models import InboundCallback
from kauri.common import clock
from kauri.common.actor import Actor
from kauri.deposit_order import services as deposits
from kauri.deposit_order.addresses import deposit_address
from kauri.order_core.models import Order
from kauri.payment_provider.models import NonceCounter, Payin, Payout
from kauri.wallet.models import DepositAddress, PaymentLink
from kauri.withdrawal_order import paying
from kauri.withdrawal_order import services as withdrawals
from tests.api.client import ApiClient
from tests.house import Usdt
from tests.moves import (
    DESTINATION,
    address_of,
    approved,
    balance_of,
    code_of,
    give,
    later,
    sandbox_on,
    together,
    transfers,
    withdraw,
)

pytestmark = pytest.mark.django_db(transaction=True)


def pay_all(usdt: Usdt) -> None:
    for minutes in range(1, 8):
        with clock.standing_at(later(minutes=11 * minutes)):
            for pk in Payout.objects.filter(state__in=Payout.OPEN_STATES).values_list("pk", flat=True):
                paying.payout_advance(pk)
        usdt.chain.mine(3)


def test_two_operators_decide_at_once(customer: Callable[..., User], operator: Callable[..., Actor]) -> None:
    sandbox_on()
    user = customer()
    give(user, "UAH", "200")
    order = withdraw(user, "100", currency="UAH", to="sandbox:success")
    people = [operator(), operator()]

    def decide(number: int) -> str:
        if number:
            return code_of(
                lambda: withdrawals.withdrawal_reject(order_id=order.public_id, actor=people[1], reason="no")
            )
        return code_of(lambda: withdrawals.withdrawal_approve(order_id=order.public_id, actor=people[0]))

    results = together(2, decide)
    assert sorted(results) == ["ok", "wrong_state"]
    order.refresh_from_db()
    won = "PAYMENT_IN_PROGRESS" if results[0] == "ok" else "CANCELLED"
    assert order.status == won
    assert Payout.objects.count() == (won == "PAYMENT_IN_PROGRESS")
    assert balance_of(user, "UAH") == ((95, 105) if won == "PAYMENT_IN_PROGRESS" else (200, 0))
    assert invariants.broken_laws() == []


def test_many_approvals_are_one_payout(customer: Callable[..., User], operator: Callable[..., Actor]) -> None:
    sandbox_on()
    user = customer()
    give(user, "UAH", "200")
    order = withdraw(user, "100", currency="UAH", to="sandbox:success")
    people = [operator() for _ in range(4)]
    results = together(
        4,
        lambda number: code_of(
            lambda: withdrawals.withdrawal_approve(order_id=order.public_id, actor=people[number])
        ),
    )
    assert sorted(results) == ["ok", "wrong_state", "wrong_state", "wrong_state"]
    assert Payout.objects.count() == 1
    paying.payout_advance(Payout.objects.get().pk)
    assert transfers(TransferKind.WITHDRAWAL_CAPTURE) == 1


def test_workers_at_one_payout_and_payouts_at_one_nonce(
    usdt: Usdt, customer: Callable[..., User], operator: Callable[..., Actor]
) -> None:
    users = [customer() for _ in range(2)]
    rows = []
    for user in users:
        give(user, "USDT", "100")
        rows.append(approved(user, operator(), "40")[1].pk)
    outcomes = together(4, lambda number: paying.payout_advance(rows[number % 2]))
    assert outcomes == [None] * 4
    pay_all(usdt)
    assert set(Order.objects.values_list("status", flat=True)) == {"CLOSED"}
    assert sorted(Payout.objects.values_list("nonce", flat=True)) == [0, 1]
    assert NonceCounter.objects.get().next_nonce == 2
    assert usdt.balance(DESTINATION) == Decimal(80)
    assert int(usdt.chain.rpc.call("eth_getTransactionCount", usdt.hot_address, "latest"), 16) == 2
    assert [balance_of(user) for user in users] == [(59, 0)] * 2
    assert transfers(TransferKind.WITHDRAWAL_CAPTURE) == 2
    assert invariants.broken_laws() == []


def test_scanners_at_one_chain(usdt: Usdt, customer: Callable[..., User]) -> None:
    user = customer()
    address = address_of(user)
    deposits.deposits_scan(usdt.provider.pk)
    usdt.send(address, "25.5", mine=3)
    results = together(3, lambda _: deposits.deposits_scan(usdt.provider.pk))
    assert [result for result in results if isinstance(result, Exception)] == []
    assert sum(results) <= 1
    deposits.deposits_scan(usdt.provider.pk)
    assert balance_of(user) == (Decimal("25.5"), Decimal(0))
    assert Payin.objects.count() == Order.objects.count() == transfers(TransferKind.DEPOSIT) == 1
    assert invariants.broken_laws() == []


def test_one_payin_told_by_many_callbacks_at_once(customer: Callable[..., User]) -> None:
    provider = sandbox_on()
    user = customer()
    deposit_address(
        user=user,
        currency_code="UAH",
        network="",
        amount="150",
        callback_url="",
        return_url="",
        external_id="",
    )
    link = PaymentLink.objects.get()

    def call(name: str) -> int:
        body = {
            "event": "payin",
            "reference": str(link.public_id),
            "provider_reference": name,
            "status": "success",
            "currency": "UAH",
            "amount": "150.00",
            "timestamp": int(time.time()),
        }
        from kauri.payment_provider.gateways.sandbox import SIGNATURE_HEADER, sign_callback

        raw = json.dumps(body).encode()
        signature = sign_callback(provider.credentials["secret"], raw, body["timestamp"])
        row = InboundCallback.objects.create(
            provider_code="sandbox", method="POST", path="/", headers={SIGNATURE_HEADER: signature}, body=raw
        )
        return row.pk

    same = [call("sbx-1") for _ in range(4)]
    assert together(4, lambda number: callbacks.callback_process(same[number])) == [None] * 4
    states = sorted(InboundCallback.objects.values_list("state", flat=True))
    assert states == ["duplicate", "duplicate", "duplicate", "processed"]
    assert transfers(TransferKind.DEPOSIT) == 1
    # The same call taken by several workers, and another payment of the same link.
    other = call("sbx-2")
    together(3, lambda _: callbacks.callback_process(other))
    assert balance_of(user, "UAH") == (Decimal("148.50"), Decimal(0))
    assert sorted(Payin.objects.values_list("state", flat=True)) == ["credited", "unmatched"]
    assert invariants.broken_laws() == []


def test_two_payments_of_one_link_at_once_are_one_credit(customer: Callable[..., User]) -> None:
    provider = sandbox_on()
    user = customer()
    deposit_address(
        user=user,
        currency_code="UAH",
        network="",
        amount="150",
        callback_url="",
        return_url="",
        external_id="",
    )
    link = PaymentLink.objects.get()
    from kauri.payment_provider.gateway import Event, EventKind, PayoutStatus

    def paid(number: int) -> Any:
        event = Event(
            kind=EventKind.PAYIN,
            reference=str(link.public_id),
            provider_reference=f"sbx-{number}",
            status=PayoutStatus.CONFIRMED,
            currency="UAH",
            amount=Decimal("150.00"),
        )
        return deposits.deposit_event(event, provider).kind.value

    assert together(4, paid) == ["done"] * 4
    assert sorted(Payin.objects.values_list("state", flat=True)) == ["credited"] + ["unmatched"] * 3
    assert balance_of(user, "UAH") == (Decimal("148.50"), Decimal(0))


def test_success_told_while_workers_poll(
    customer: Callable[..., User], operator: Callable[..., Actor]
) -> None:
    from kauri.payment_provider.gateway import Event, EventKind, PayoutStatus

    provider = sandbox_on()
    user = customer()
    give(user, "UAH", "200")
    order, payout = approved(user, operator(), "100", currency="UAH", to="sandbox:lost")
    paying.payout_advance(payout.pk)
    word = Event(
        kind=EventKind.PAYOUT,
        reference=str(payout.public_id),
        provider_reference="x",
        status=PayoutStatus.CONFIRMED,
        currency="UAH",
        amount=Decimal("100.00"),
    )

    def act(number: int) -> Any:
        if number % 2:
            return paying.payout_event(word, provider).kind.value
        with clock.standing_at(later(minutes=5)):
            return paying.payout_advance(payout.pk)

    results = together(4, act)
    assert [result for result in results if isinstance(result, Exception)] == []
    order.refresh_from_db()
    assert order.status == "CLOSED"
    assert order.transitions.filter(to_status="CLOSED").count() == 1
    assert transfers(TransferKind.WITHDRAWAL_CAPTURE) == 1
    assert balance_of(user, "UAH") == (95, 0)
    assert invariants.broken_laws() == []


def test_withdrawals_race_for_one_balance_and_one_daily_limit(customer: Callable[..., User]) -> None:
    sandbox_on()
    user = customer()
    give(user, "UAH", "250")
    results = together(
        4,
        lambda _: code_of(lambda: withdraw(user, "100", currency="UAH", to="sandbox:success")),
    )
    assert sorted(results) == ["insufficient_funds", "insufficient_funds", "ok", "ok"]
    assert balance_of(user, "UAH") == (40, 210)
    assert Order.objects.count() == 2
    assert invariants.broken_laws() == []


def test_one_key_many_times_is_one_order(customer: Callable[..., User]) -> None:
    sandbox_on()
    user = customer()
    give(user, "UAH", "1000")
    token = tokens.issue(user)
    body = {"currency": "UAH", "amount": "100", "wallet_to": "sandbox:success"}

    def ask(_number: int) -> tuple[int, bytes]:
        answer = ApiClient(token=token).post("/api/v1/withdrawal", body, **{"Idempotency-Key": "k-1"})
        return answer.status_code, answer.content

    results = together(4, ask)
    assert Order.objects.count() == 1
    good = {content for status, content in results if status == 200}
    assert len(good) == 1
    assert {status for status, _ in results} <= {200, 409}
    assert ask(0) == (200, *good)
    assert balance_of(user, "UAH") == (895, 105)


def test_one_customer_gets_one_address(usdt: Usdt, customer: Callable[..., User]) -> None:
    users = [customer(), customer()]
    results = together(6, lambda number: (number % 2, address_of(users[number % 2])))
    assert len(set(results)) == 2
    assert len({address for _, address in results}) == 2
    assert DepositAddress.objects.filter(user__isnull=False).count() == 2
