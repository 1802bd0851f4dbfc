"""A payout killed anywhere is paid once; a lost answer is looked up and never sent anew."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from kauri.account.models import User
from kauri.balance import invariants
from kauri.balance.chart import TransferKind
from kauri.balance.selectors import coverage
from kauri.common import clock
from kauri.common.actor import Actor
from kauri.core.models import Provider
from kauri.order_core.models import Order
from kauri.payment_provider import services as payouts
from kauri.payment_provider.gateways.evm_erc20 import EvmErc20
from kauri.payment_provider.models import NonceCounter, Payout
from kauri.withdrawal_order import paying, postings
from tests.house import Usdt
from tests.kauri.payment_provider.kills import after, before, go_on
from tests.moves import (
    DESTINATION,
    Crash,
    approved,
    balance_of,
    events,
    forget_queue,
    give,
    transfers,
)
from tests.nodes import Middleman

Drain = Callable[..., int]


def hot_nonce(usdt: Usdt) -> int:
    return int(usdt.chain.rpc.call("eth_getTransactionCount", usdt.hot_address, "latest"), 16)


def settled(usdt: Usdt, user: User, order: Order, payout: Payout) -> None:
    """Paid exactly once on chain, captured exactly once, and the books equal the chain."""
    order.refresh_from_db()
    payout.refresh_from_db()
    assert (payout.state, order.status) == ("confirmed", "CLOSED")
    assert usdt.balance(DESTINATION) == Decimal(40)
    assert hot_nonce(usdt) == 1
    assert balance_of(user) == (Decimal(59), Decimal(0))
    assert transfers(TransferKind.WITHDRAWAL_CAPTURE) == 1
    assert transfers(TransferKind.WITHDRAWAL_RELEASE) == 0
    books = {row.currency.code: row.funds for row in coverage()}
    assert books["USDT"] == usdt.balance(usdt.hot_address) == Decimal(9960)
    wei = int(usdt.chain.rpc.call("eth_getBalance", usdt.hot_address, "latest"), 16)
    assert books["ETH"] == Decimal(wei).scaleb(-18)
    assert invariants.broken_laws() == []


@pytest.fixture
def waiting(
    usdt: Usdt, customer: Callable[..., User], operator: Callable[..., Actor]
) -> tuple[User, Order, Payout]:
    """An approved withdrawal of 40 USDT (fee 1) of a customer who had 100."""
    user = customer()
    give(user, "USDT", "100")
    order, payout = approved(user, operator(), "40")
    return user, order, payout


@pytest.mark.parametrize(
    ("owner", "name", "kill", "state", "on_chain"),
    [
        (payouts, "payout_step", before, "new", 0),
        (EvmErc20, "prepare_payout", before, "new", 0),
        (EvmErc20, "prepare_payout", after, "new", 0),
        (EvmErc20, "send_payout", before, "prepared", 0),
        (EvmErc20, "send_payout", after, "prepared", 1),
        (payouts, "payout_record", before, "prepared", 1),
        (payouts, "payout_record", after, "prepared", 1),
    ],
)
def test_killed_at_a_boundary_and_resumed(
    usdt: Usdt,
    waiting: tuple[User, Order, Payout],
    drain: Drain,
    monkeypatch: pytest.MonkeyPatch,
    owner: Any,
    name: str,
    kill: Callable[[Any], Any],
    state: str,
    on_chain: int,
) -> None:
    user, order, payout = waiting
    with monkeypatch.context() as patch, pytest.raises(Crash):
        patch.setattr(owner, name, kill(getattr(owner, name)))
        paying.payout_advance(payout.pk)
    forget_queue()
    payout.refresh_from_db()
    assert (payout.state, payout.attempts) == (state, 1)
    assert payout.lease_until is not None
    usdt.chain.mine()
    assert hot_nonce(usdt) == on_chain
    assert balance_of(user) == (Decimal(59), Decimal(41))
    # Before the lease is over nobody touches it.
    assert paying.payouts_sweep() == 0
    paying.payout_advance(payout.pk)
    payout.refresh_from_db()
    assert payout.attempts == 1
    go_on(drain, usdt)
    settled(usdt, user, order, payout)


@pytest.mark.parametrize("kill", [before, after])
def test_killed_while_the_hold_is_captured(
    usdt: Usdt,
    waiting: tuple[User, Order, Payout],
    drain: Drain,
    monkeypatch: pytest.MonkeyPatch,
    kill: Callable[[Any], Any],
) -> None:
    user, order, payout = waiting
    paying.payout_advance(payout.pk)
    usdt.chain.mine(3)
    forget_queue()
    with monkeypatch.context() as patch, clock.standing_at(clock.now() + timedelta(minutes=1)):
        patch.setattr(postings, "capture", kill(postings.capture))
        with pytest.raises(Crash):
            paying.payout_advance(payout.pk)
    payout.refresh_from_db()
    order.refresh_from_db()
    assert (payout.state, order.status) == ("sent", "PAYMENT_IN_PROGRESS")
    assert transfers(TransferKind.WITHDRAWAL_CAPTURE) == 0
    go_on(drain, usdt)
    settled(usdt, user, order, payout)


def test_a_lost_task_is_swept(usdt: Usdt, waiting: tuple[User, Order, Payout], drain: Drain) -> None:
    user, order, payout = waiting
    forget_queue()
    go_on(drain, usdt)
    settled(usdt, user, order, payout)


def test_a_doubled_task_is_harmless(usdt: Usdt, waiting: tuple[User, Order, Payout], drain: Drain) -> None:
    user, order, payout = waiting
    for _ in range(3):
        paying.payout_advance(payout.pk)
    go_on(drain, usdt)
    for _ in range(3):
        paying.payout_advance(payout.pk)
    settled(usdt, user, order, payout)


def test_lost_answer_is_looked_up_and_told_once(
    usdt: Usdt, waiting: tuple[User, Order, Payout], middleman: Middleman, drain: Drain
) -> None:
    user, order, payout = waiting
    usdt.provider.settings = {**usdt.provider.settings, "rpc_url": middleman.url}
    usdt.provider.save()
    middleman.lost.add("eth_sendRawTransaction")
    paying.payout_advance(payout.pk)
    payout.refresh_from_db()
    assert payout.state == "unknown"
    [alert] = events("payout.unknown")
    assert alert.payload["payout_id"] == str(payout.public_id)
    assert (alert.payload["amount"], alert.payload["currency"]) == ("40", "USDT")
    assert balance_of(user) == (Decimal(59), Decimal(41))
    go_on(drain, usdt)
    assert middleman.seen.count("eth_sendRawTransaction") == 1
    assert len(events("payout.unknown")) == 1
    settled(usdt, user, order, payout)


def test_closed_webhook_shows_the_final_payout(
    usdt: Usdt, waiting: tuple[User, Order, Payout], drain: Drain
) -> None:
    _, _, payout = waiting
    go_on(drain, usdt)
    payout.refresh_from_db()
    [event] = events("withdrawal.closed")
    [shown] = event.payload["details"]["withdrawal_transactions"]
    assert shown["status"] == "confirmed"
    assert shown["tr_hash"] == payout.provider_reference
    assert shown["confirmations_count"] == payout.confirmations >= 3


def test_insufficient_float_waits_and_is_paid_later(
    usdt: Usdt, waiting: tuple[User, Order, Payout], drain: Drain
) -> None:
    user, order, payout = waiting
    usdt.chain.rpc.call("anvil_setBalance", usdt.hot_address, "0x0")
    paying.payout_advance(payout.pk)
    payout.refresh_from_db()
    assert (payout.state, payout.lease_until) == ("new", None)
    assert "InsufficientFloat" in payout.last_error
    assert payout.next_attempt_at > clock.now()
    assert balance_of(user) == (Decimal(59), Decimal(41))
    usdt.chain.rpc.call("anvil_setBalance", usdt.hot_address, hex(10 * 10**18))
    go_on(drain, usdt)
    settled(usdt, user, order, payout)


@pytest.mark.parametrize("crash", [False, True])
def test_a_provider_switched_off_sends_nothing_new(
    usdt: Usdt,
    waiting: tuple[User, Order, Payout],
    drain: Drain,
    monkeypatch: pytest.MonkeyPatch,
    crash: bool,
) -> None:
    user, order, payout = waiting
    if crash:
        with monkeypatch.context() as patch, pytest.raises(Crash):
            patch.setattr(EvmErc20, "send_payout", before(None))
            paying.payout_advance(payout.pk)
    Provider.objects.filter(pk=usdt.provider.pk).update(is_enabled=False)
    go_on(drain, usdt)
    payout.refresh_from_db()
    assert payout.state == ("prepared" if crash else "new")
    assert "switched off" in payout.last_error
    assert hot_nonce(usdt) == 0
    assert balance_of(user) == (Decimal(59), Decimal(41))
    Provider.objects.filter(pk=usdt.provider.pk).update(is_enabled=True)
    with clock.standing_at(clock.now() + timedelta(hours=2)):
        go_on(drain, usdt)
    settled(usdt, user, order, payout)


def test_a_sent_payout_is_followed_though_its_provider_is_off(
    usdt: Usdt, waiting: tuple[User, Order, Payout], drain: Drain
) -> None:
    user, order, payout = waiting
    paying.payout_advance(payout.pk)
    Provider.objects.filter(pk=usdt.provider.pk).update(is_enabled=False)
    usdt.chain.mine(3)
    go_on(drain, usdt)
    settled(usdt, user, order, payout)


def test_a_network_switched_off_keeps_its_confirmations(
    usdt: Usdt, waiting: tuple[User, Order, Payout], drain: Drain
) -> None:
    user, order, payout = waiting
    paying.payout_advance(payout.pk)
    usdt.network.is_enabled = False
    usdt.network.save()
    usdt.chain.mine()
    with clock.standing_at(clock.now() + timedelta(minutes=1)):
        paying.payout_advance(payout.pk)
    order.refresh_from_db()
    assert order.status == "PAYMENT_IN_PROGRESS"
    go_on(drain, usdt)
    settled(usdt, user, order, payout)


def test_two_payouts_meet_at_one_nonce(
    usdt: Usdt,
    waiting: tuple[User, Order, Payout],
    customer: Callable[..., User],
    operator: Callable[..., Actor],
    drain: Drain,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The second is prepared while the first one signs with the same nonce."""
    other = customer()
    give(other, "USDT", "100")
    _, second = approved(other, operator(), "30")
    _, _, first = waiting
    original = EvmErc20.prepare_payout
    met: list[int] = []

    def meet(self: EvmErc20, request: Any) -> Any:
        prepared = original(self, request)
        met.append(request.nonce)
        if len(met) == 1:
            paying.payout_advance(second.pk)
        return prepared

    with monkeypatch.context() as patch:
        patch.setattr(EvmErc20, "prepare_payout", meet)
        paying.payout_advance(first.pk)
    assert met == [0, 0]
    first.refresh_from_db()
    assert (first.state, first.nonce) == ("new", None)
    go_on(drain, usdt)
    nonces = dict(Payout.objects.values_list("pk", "nonce"))
    assert nonces == {second.pk: 0, first.pk: 1}
    assert usdt.balance(DESTINATION) == Decimal(70)
    assert hot_nonce(usdt) == 2
    assert NonceCounter.objects.get().next_nonce == 2
    assert set(Order.objects.values_list("status", flat=True)) == {"CLOSED"}
    assert invariants.broken_laws() == []
