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
from kauri.payment_provider.gateway import PayoutStatus
from kauri.payment_provider.gateways.evm_erc20 import EvmErc20
from kauri.payment_provider.gateways.sandbox import Sandbox
from kauri.payment_provider.models import NonceCounter, Payout
from kauri.withdrawal_order import postings
from kauri.withdrawal_order import services as withdrawals
from tests.house import Usdt
from tests.moves import (
    DESTINATION,
    Crash,
    approved,
    balance_of,
    events,
    forget_queue,
    give,
    queued,
    sandbox_on,
    transfers,
)
from tests.nodes import Middleman

Drain = Callable[..., int]


def before(_original: Any) -> Callable[..., Any]:
    """A stand-in that is killed before the original does anything."""

    def killed(*_args: Any, **_kwargs: Any) -> Any:
        raise Crash

    return killed


def after(original: Any) -> Callable[..., Any]:
    """A stand-in that does the original's work and is killed then."""

    def killed(*args: Any, **kwargs: Any) -> Any:
        original(*args, **kwargs)
        raise Crash

    return killed


def go_on(drain: Drain, usdt: Usdt | None = None, rounds: int = 6) -> None:
    """What the scheduler and the workers do over the next hour, with blocks coming."""
    start = clock.now()
    for number in range(1, rounds + 1):
        if not Payout.objects.filter(state__in=Payout.OPEN_STATES).exists():
            return
        with clock.standing_at(start + number * timedelta(minutes=11)):
            withdrawals.payouts_sweep()
            drain()
        if usdt is not None:
            usdt.chain.mine(3)


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
        withdrawals.payout_advance(payout.pk)
    forget_queue()
    payout.refresh_from_db()
    assert (payout.state, payout.attempts) == (state, 1)
    assert payout.lease_until is not None
    usdt.chain.mine()
    assert hot_nonce(usdt) == on_chain
    assert balance_of(user) == (Decimal(59), Decimal(41))
    # Before the lease is over nobody touches it.
    assert withdrawals.payouts_sweep() == 0
    withdrawals.payout_advance(payout.pk)
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
    withdrawals.payout_advance(payout.pk)
    usdt.chain.mine(3)
    forget_queue()
    with monkeypatch.context() as patch, clock.standing_at(clock.now() + timedelta(minutes=1)):
        patch.setattr(postings, "capture", kill(postings.capture))
        with pytest.raises(Crash):
            withdrawals.payout_advance(payout.pk)
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
        withdrawals.payout_advance(payout.pk)
    go_on(drain, usdt)
    for _ in range(3):
        withdrawals.payout_advance(payout.pk)
    settled(usdt, user, order, payout)


def test_lost_answer_is_looked_up_and_told_once(
    usdt: Usdt, waiting: tuple[User, Order, Payout], middleman: Middleman, drain: Drain
) -> None:
    user, order, payout = waiting
    usdt.provider.settings = {**usdt.provider.settings, "rpc_url": middleman.url}
    usdt.provider.save()
    middleman.lost.add("eth_sendRawTransaction")
    withdrawals.payout_advance(payout.pk)
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
    withdrawals.payout_advance(payout.pk)
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
            withdrawals.payout_advance(payout.pk)
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
    withdrawals.payout_advance(payout.pk)
    Provider.objects.filter(pk=usdt.provider.pk).update(is_enabled=False)
    usdt.chain.mine(3)
    go_on(drain, usdt)
    settled(usdt, user, order, payout)


def test_a_network_switched_off_keeps_its_confirmations(
    usdt: Usdt, waiting: tuple[User, Order, Payout], drain: Drain
) -> None:
    user, order, payout = waiting
    withdrawals.payout_advance(payout.pk)
    usdt.network.is_enabled = False
    usdt.network.save()
    usdt.chain.mine()
    with clock.standing_at(clock.now() + timedelta(minutes=1)):
        withdrawals.payout_advance(payout.pk)
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
            withdrawals.payout_advance(second.pk)
        return prepared

    with monkeypatch.context() as patch:
        patch.setattr(EvmErc20, "prepare_payout", meet)
        withdrawals.payout_advance(first.pk)
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


# -- the sandbox: a provider that must not be called twice ------------------------------------------


@pytest.fixture
def asked(
    customer: Callable[..., User], operator: Callable[..., Actor]
) -> Callable[[str], tuple[User, Order, Payout]]:
    """Approved withdrawal of 100 UAH (fee 5) to an outcome of the sandbox, of one who had 200."""
    sandbox_on()

    def make(outcome: str) -> tuple[User, Order, Payout]:
        user = customer()
        give(user, "UAH", "200")
        order, payout = approved(user, operator(), "100", currency="UAH", to=f"sandbox:{outcome}")
        return user, order, payout

    return make


@pytest.fixture
def sends(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The references of every send that the sandbox was asked for."""
    seen: list[str] = []
    original = Sandbox.send_payout

    def send(self: Sandbox, request: Any, prepared: Any) -> Any:
        seen.append(request.reference)
        return original(self, request, prepared)

    monkeypatch.setattr(Sandbox, "send_payout", send)
    return seen


@pytest.mark.parametrize(
    ("outcome", "state", "status", "balance", "sent"),
    [
        ("success", "confirmed", "CLOSED", (95, 0), 1),
        ("delay:600", "confirmed", "CLOSED", (95, 0), 1),
        ("lost", "confirmed", "CLOSED", (95, 0), 1),
        ("decline", "failed", "ERROR", (200, 0), 1),
        ("fail", "failed", "ERROR", (200, 0), 1),
        ("lost-unsent", "unknown", "PAYMENT_IN_PROGRESS", (95, 105), 1),
        ("strange", "unknown", "PAYMENT_IN_PROGRESS", (95, 105), 1),
        ("unavailable", "prepared", "PAYMENT_IN_PROGRESS", (95, 105), None),
        ("nofunds", "prepared", "PAYMENT_IN_PROGRESS", (95, 105), None),
    ],
)
def test_every_outcome_of_the_sandbox(
    asked: Callable[[str], tuple[User, Order, Payout]],
    sends: list[str],
    drain: Drain,
    outcome: str,
    state: str,
    status: str,
    balance: tuple[int, int],
    sent: int | None,
) -> None:
    user, order, payout = asked(outcome)
    go_on(drain)
    order.refresh_from_db()
    payout.refresh_from_db()
    assert (payout.state, order.status) == (state, status)
    assert balance_of(user, "UAH") == balance
    assert len(sends) == (sent or payout.attempts)
    told = 1 if outcome in {"lost", "lost-unsent", "strange"} else 0
    assert len(events("payout.unknown")) == told
    assert transfers(TransferKind.WITHDRAWAL_CAPTURE) == (status == "CLOSED")
    assert transfers(TransferKind.WITHDRAWAL_RELEASE) == (status == "ERROR")
    assert invariants.broken_laws() == []


@pytest.mark.parametrize("kill", [before, after])
def test_killed_around_a_send_that_is_not_repeatable(
    asked: Callable[[str], tuple[User, Order, Payout]],
    sends: list[str],
    drain: Drain,
    monkeypatch: pytest.MonkeyPatch,
    kill: Callable[[Any], Any],
) -> None:
    user, order, payout = asked("lost-unsent" if kill is before else "success")
    with monkeypatch.context() as patch, pytest.raises(Crash):
        patch.setattr(Sandbox, "send_payout", kill(Sandbox.send_payout))
        withdrawals.payout_advance(payout.pk)
    payout.refresh_from_db()
    assert payout.state == "unknown"
    sends_before = len(sends)
    go_on(drain)
    order.refresh_from_db()
    assert len(sends) == sends_before
    if kill is after:
        assert (order.status, balance_of(user, "UAH")) == ("CLOSED", (95, 0))
        assert events("payout.unknown") == []
    else:
        assert (order.status, balance_of(user, "UAH")) == ("PAYMENT_IN_PROGRESS", (95, 105))
        assert len(events("payout.unknown")) == 1
    assert invariants.broken_laws() == []


def test_a_stalled_worker_does_not_send_after_another_has(
    asked: Callable[[str], tuple[User, Order, Payout]], sends: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It slept past its lease between storing and sending; meanwhile the payout was sent."""
    user, order, payout = asked("success")
    original = payouts._prepare

    def stall(row: Payout, gateway: Any) -> None:
        original(row, gateway)
        monkeypatch.setattr(payouts, "_prepare", original)
        with clock.standing_at(clock.now() + timedelta(minutes=2)):
            withdrawals.payout_advance(row.pk)

    monkeypatch.setattr(payouts, "_prepare", stall)
    withdrawals.payout_advance(payout.pk)
    order.refresh_from_db()
    payout.refresh_from_db()
    assert sends == [str(payout.public_id)]
    assert (payout.state, order.status) == ("confirmed", "CLOSED")
    assert balance_of(user, "UAH") == (95, 0)
    assert transfers(TransferKind.WITHDRAWAL_CAPTURE) == 1


def test_a_failure_told_before_the_send_stops_the_send(
    asked: Callable[[str], tuple[User, Order, Payout]], sends: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    user, order, payout = asked("success")
    original = payouts._prepare

    def overtaken(row: Payout, gateway: Any) -> None:
        original(row, gateway)
        failed = payouts.told(PayoutStatus.FAILED, {"callback": "failed"})
        withdrawals.payout_settle(row, failed, actor=user.as_actor())

    monkeypatch.setattr(payouts, "_prepare", overtaken)
    withdrawals.payout_advance(payout.pk)
    order.refresh_from_db()
    payout.refresh_from_db()
    assert sends == []
    assert (payout.state, order.status, balance_of(user, "UAH")) == ("failed", "ERROR", (200, 0))


def test_success_told_while_a_worker_polls_is_captured_once(
    asked: Callable[[str], tuple[User, Order, Payout]], monkeypatch: pytest.MonkeyPatch, drain: Drain
) -> None:
    user, order, payout = asked("lost")
    withdrawals.payout_advance(payout.pk)
    original = Sandbox.fetch_payout

    def overtaken(self: Sandbox, request: Any, prepared: Any) -> Any:
        state = original(self, request, prepared)
        success = payouts.told(PayoutStatus.CONFIRMED, {"callback": "success"})
        withdrawals.payout_settle(payout, success, actor=user.as_actor())
        return state

    monkeypatch.setattr(Sandbox, "fetch_payout", overtaken)
    go_on(drain)
    order.refresh_from_db()
    assert order.status == "CLOSED"
    assert order.transitions.filter(to_status="CLOSED").count() == 1
    assert transfers(TransferKind.WITHDRAWAL_CAPTURE) == 1
    assert balance_of(user, "UAH") == (95, 0)
    assert invariants.broken_laws() == []


def test_delays_grow_and_are_bounded(
    asked: Callable[[str], tuple[User, Order, Payout]],
) -> None:
    _, _, payout = asked("unavailable")
    moment = clock.now()
    waits = []
    for _ in range(12):
        with clock.standing_at(moment):
            withdrawals.payout_advance(payout.pk)
        payout.refresh_from_db()
        waits.append(int((payout.next_attempt_at - moment).total_seconds()))
        moment = payout.next_attempt_at
    assert waits == [4, 8, 16, 32, 64, 128, 256, 512, 600, 600, 600, 600]
    assert queued("payout_advance") != []


def test_two_workers_claim_one_payout_once(
    asked: Callable[[str], tuple[User, Order, Payout]],
) -> None:
    _, _, payout = asked("success")
    assert payouts.payout_claim(payout.pk) is not None
    assert payouts.payout_claim(payout.pk) is None
    with clock.standing_at(clock.now() + payouts.LEASE + timedelta(seconds=1)):
        assert payouts.payout_claim(payout.pk) is not None
