"""A provider that must not be called twice is not, whoever dies or hurries."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from kauri.account.models import User
from kauri.balance import invariants
from kauri.balance.chart import TransferKind
from kauri.common import clock
from kauri.common.actor import Actor
from kauri.order_core.models import Order
from kauri.payment_provider import sending
from kauri.payment_provider import services as payouts
from kauri.payment_provider.gateway import PayoutStatus
from kauri.payment_provider.gateways.sandbox import Sandbox
from kauri.payment_provider.models import Payout
from kauri.withdrawal_order import paying
from tests.kauri.payment_provider.kills import after, before, go_on
from tests.moves import (
    Crash,
    approved,
    balance_of,
    events,
    give,
    queued,
    sandbox_on,
    transfers,
)

Drain = Callable[..., int]


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
        paying.payout_advance(payout.pk)
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
    original = sending._prepare

    def stall(row: Payout, *more: Any) -> None:
        original(row, *more)
        monkeypatch.setattr(sending, "_prepare", original)
        with clock.standing_at(clock.now() + timedelta(minutes=2)):
            paying.payout_advance(row.pk)

    monkeypatch.setattr(sending, "_prepare", stall)
    paying.payout_advance(payout.pk)
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
    original = sending._prepare

    def overtaken(row: Payout, *more: Any) -> None:
        original(row, *more)
        failed = payouts.told(PayoutStatus.FAILED, {"callback": "failed"})
        paying.payout_settle(row, failed, actor=user.as_actor())

    monkeypatch.setattr(sending, "_prepare", overtaken)
    paying.payout_advance(payout.pk)
    order.refresh_from_db()
    payout.refresh_from_db()
    assert sends == []
    assert (payout.state, order.status, balance_of(user, "UAH")) == ("failed", "ERROR", (200, 0))


def test_success_told_while_a_worker_polls_is_captured_once(
    asked: Callable[[str], tuple[User, Order, Payout]], monkeypatch: pytest.MonkeyPatch, drain: Drain
) -> None:
    user, order, payout = asked("lost")
    paying.payout_advance(payout.pk)
    original = Sandbox.fetch_payout

    def overtaken(self: Sandbox, request: Any, prepared: Any) -> Any:
        state = original(self, request, prepared)
        success = payouts.told(PayoutStatus.CONFIRMED, {"callback": "success"})
        paying.payout_settle(payout, success, actor=user.as_actor())
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
            paying.payout_advance(payout.pk)
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
    with clock.standing_at(clock.now() + sending.LEASE + timedelta(seconds=1)):
        assert payouts.payout_claim(payout.pk) is not None
