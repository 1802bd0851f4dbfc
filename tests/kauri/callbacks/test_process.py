"""A stored call has its effect in the end, or a person hears of it; payouts are settled once."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client

from kauri.account.models import User
from kauri.balance import invariants
from kauri.balance.chart import TransferKind
from kauri.callbacks import dispatch, services
from kauri.callbacks.models import InboundCallback
from kauri.common import clock
from kauri.common.actor import Actor
from kauri.core.models import AuditEntry, Provider
from kauri.order_core.models import Order
from kauri.payment_provider.models import Payin, Payout
from kauri.wallet.models import PaymentLink
from kauri.withdrawal_order import paying
from tests.kauri.callbacks.caller import message, only, process_until_left, tell
from tests.moves import (
    Crash,
    Killed,
    approved,
    balance_of,
    code_of,
    events,
    give,
    transfers,
)

Drain = Callable[..., int]


@pytest.mark.parametrize("error", [Crash("no luck"), ValueError("no luck"), ZeroDivisionError("no luck")])
def test_a_crash_is_tried_again_then_left_and_told(
    http: Client,
    link: Callable[..., PaymentLink],
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
) -> None:
    tell(http, message(link().public_id))
    row = only()
    with monkeypatch.context() as patch:
        patch.setattr(dispatch, "apply", lambda *_: (_ for _ in ()).throw(error))
        assert process_until_left(row) == [10, 20, 40, 80, 160, 320, 640]
    assert (row.state, row.attempts) == ("failed", services.MAX_ATTEMPTS)
    assert "no luck" in row.outcome
    [alert] = events("callback.failed")
    assert alert.payload["provider"] == "sandbox"
    assert Payin.objects.count() == 0


def test_a_call_that_kills_its_worker_is_left_after_the_limit(
    http: Client, link: Callable[..., PaymentLink], monkeypatch: pytest.MonkeyPatch
) -> None:
    tell(http, message(link().public_id))
    monkeypatch.setattr(dispatch, "apply", lambda *_: (_ for _ in ()).throw(Killed))
    moment = clock.now()
    for _ in range(services.MAX_ATTEMPTS):
        with clock.standing_at(moment), pytest.raises(Killed):
            services.callback_process(only().pk)
        moment += services.LEASE + timedelta(seconds=1)
    for _ in range(2):
        with clock.standing_at(moment):
            services.callback_process(only().pk)
    assert (only().state, only().attempts) == ("failed", services.MAX_ATTEMPTS)
    assert len(events("callback.failed")) == 1


def test_replay_by_hand_asks_for_the_right_and_leaves_a_trace(
    http: Client,
    link: Callable[..., PaymentLink],
    operator: Callable[..., Actor],
    drain: Drain,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = link()
    tell(http, message(made.public_id))
    row = only()
    with monkeypatch.context() as patch:
        patch.setattr(dispatch, "apply", lambda *_: (_ for _ in ()).throw(Crash))
        process_until_left(row)
    for who in (operator("Auditor"), made.user.as_actor()):
        assert code_of(lambda who=who: services.callback_replay(callback_id=row.pk, actor=who)) == "forbidden"
    assert only().state == "failed"
    treasury = operator("Treasury")
    with clock.standing_at(clock.now() + timedelta(days=2)):
        services.callback_replay(callback_id=row.pk, actor=treasury)
        drain()
        assert only().state == "processed"
        services.callback_replay(callback_id=row.pk, actor=treasury)
        drain()
    assert only().state == "duplicate"
    assert transfers(TransferKind.DEPOSIT) == 1
    entries = AuditEntry.objects.filter(verb="callback_replay").order_by("id")
    assert [(e.actor_id, e.before["state"]) for e in entries] == [
        (treasury.id, "failed"),
        (treasury.id, "processed"),
    ]
    missing = code_of(lambda: services.callback_replay(callback_id=10**9, actor=treasury))
    assert missing == "not_found"


def test_a_call_that_waited_is_judged_by_when_it_came(http: Client, link: Callable[..., PaymentLink]) -> None:
    """The signature's age limit is for the door; a worker may come to the call much later."""
    tell(http, message(link().public_id))
    with clock.standing_at(clock.now() + timedelta(hours=1)):
        services.callback_process(only().pk)
    assert only().state == "processed"
    assert transfers(TransferKind.DEPOSIT) == 1


# -- payouts ----------------------------------------------------------------------------------------


@pytest.fixture
def payout(
    sandbox: Provider, customer: Callable[..., User], operator: Callable[..., Actor]
) -> Callable[[str], tuple[User, Payout]]:
    """A payout of 100 UAH (fee 5) that was sent, of a customer who had 200."""

    def make(outcome: str = "delay:600") -> tuple[User, Payout]:
        user = customer()
        give(user, "UAH", "200")
        _, row = approved(user, operator(), "100", currency="UAH", to=f"sandbox:{outcome}")
        paying.payout_advance(row.pk)
        row.refresh_from_db()
        return user, row

    return make


def about(row: Payout, **fields: Any) -> bytes:
    return message(
        row.public_id, **{"event": "payout", "amount": "100.00", "provider_reference": "x", **fields}
    )


@pytest.mark.parametrize(
    ("status", "state", "order_status", "balance"),
    [("success", "confirmed", "CLOSED", (95, 0)), ("declined", "failed", "ERROR", (200, 0))],
)
def test_a_word_about_a_payout_settles_it_once(
    http: Client,
    payout: Callable[..., tuple[User, Payout]],
    drain: Drain,
    status: str,
    state: str,
    order_status: str,
    balance: tuple[int, int],
) -> None:
    user, row = payout()
    for _ in range(2):
        tell(http, about(row, status=status))
        drain()
    row.refresh_from_db()
    assert (row.state, Order.objects.get().status) == (state, order_status)
    assert balance_of(user, "UAH") == balance
    assert [r.state for r in InboundCallback.objects.order_by("id")] == ["processed", "duplicate"]
    assert transfers(TransferKind.WITHDRAWAL_CAPTURE) + transfers(TransferKind.WITHDRAWAL_RELEASE) == 1
    assert invariants.broken_laws() == []


@pytest.mark.parametrize("fields", [{"amount": "99.99"}, {"amount": "0"}, {"currency": "USD"}])
@pytest.mark.parametrize("status", ["success", "declined"])
def test_a_word_that_differs_from_the_payout_moves_no_money(
    http: Client,
    payout: Callable[..., tuple[User, Payout]],
    fields: dict[str, str],
    status: str,
) -> None:
    user, row = payout()
    tell(http, about(row, status=status, **fields))
    callback = only()
    process_until_left(callback)
    row.refresh_from_db()
    assert (callback.state, row.state) == ("failed", "sent" if row.sent_at else row.state)
    assert row.state in Payout.OPEN_STATES
    assert balance_of(user, "UAH") == (95, 105)
    assert len(events("callback.failed")) == 1


@pytest.mark.parametrize(("first", "then"), [("success", "declined"), ("declined", "success")])
def test_the_opposite_of_a_final_word_calls_a_person(
    http: Client, payout: Callable[..., tuple[User, Payout]], drain: Drain, first: str, then: str
) -> None:
    user, row = payout()
    tell(http, about(row, status=first))
    drain()
    books = balance_of(user, "UAH")
    tell(http, about(row, status=then))
    callback = InboundCallback.objects.order_by("-id")[0]
    process_until_left(callback)
    assert callback.state == "failed"
    assert "final" in callback.outcome
    assert balance_of(user, "UAH") == books
    assert len(events("callback.failed")) == 1


def test_out_of_order_words_about_a_payout(
    http: Client, payout: Callable[..., tuple[User, Payout]], drain: Drain
) -> None:
    user, row = payout()
    for status in ("pending", "success", "pending"):
        tell(http, about(row, status=status))
        drain()
    states = [r.state for r in InboundCallback.objects.order_by("id")]
    assert states == ["ignored", "processed", "duplicate"]
    assert balance_of(user, "UAH") == (95, 0)


def test_success_of_a_payout_that_was_never_sent_moves_nothing(
    http: Client,
    sandbox: Provider,
    customer: Callable[..., User],
    operator: Callable[..., Actor],
) -> None:
    user = customer()
    give(user, "UAH", "200")
    _, row = approved(user, operator(), "100", currency="UAH", to="sandbox:success")
    tell(http, about(row))
    callback = only()
    process_until_left(callback)
    row.refresh_from_db()
    assert (callback.state, row.state) == ("failed", "new")
    assert "conflict" in callback.outcome.lower() or "not sent" in callback.outcome
    assert balance_of(user, "UAH") == (95, 105)


def test_words_about_nothing_of_ours(http: Client, sandbox: Provider, drain: Drain) -> None:
    for reference in (uuid.uuid4(), "7"):
        tell(http, message(reference, event="payout"))
        drain()
    assert [r.state for r in InboundCallback.objects.all()] == ["ignored", "ignored"]
