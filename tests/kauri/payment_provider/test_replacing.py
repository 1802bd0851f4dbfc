"""A payout that stays unmined is replaced by itself, cancelled when a person says so, and paid at most once."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal

import pytest

from kauri.account.models import User
from kauri.balance import invariants
from kauri.balance.chart import TransferKind
from kauri.balance.selectors import coverage
from kauri.common import clock
from kauri.common.actor import Actor
from kauri.core.models import AuditEntry
from kauri.order_core.models import Order
from kauri.payment_provider import sending
from kauri.payment_provider import services as payouts
from kauri.payment_provider.models import NonceCounter, Payout
from kauri.withdrawal_order import paying
from tests.house import Usdt
from tests.kauri.payment_provider.kills import after
from tests.moves import DESTINATION, Crash, approved, balance_of, code_of, give, transfers

Stuck = tuple[User, Order, Payout]


@pytest.fixture
def stuck(usdt: Usdt, customer: Callable[..., User], operator: Callable[..., Actor]) -> Stuck:
    """A payout of 40 USDT (fee 1) that was sent and that no block takes; replaced after ten minutes."""
    usdt.provider.settings = {**usdt.provider.settings, "replace_after_seconds": 600}
    usdt.provider.save()
    user = customer()
    give(user, "USDT", "100")
    order, payout = approved(user, operator(), "40")
    paying.payout_advance(payout.pk)
    payout.refresh_from_db()
    assert payout.state == "sent"
    return user, order, payout


def look(payout: Payout, minutes: int) -> Payout:
    """A worker's next step, so many minutes from now."""
    with clock.standing_at(clock.now() + timedelta(minutes=minutes)):
        paying.payout_advance(payout.pk)
    payout.refresh_from_db()
    return payout


def nonce(usdt: Usdt) -> int:
    return int(usdt.chain.rpc.call("eth_getTransactionCount", usdt.hot_address, "latest"), 16)


def books_are_true(usdt: Usdt) -> None:
    books = {row.currency.code: row.funds for row in coverage()}
    assert books["USDT"] == usdt.balance(usdt.hot_address)
    assert books["ETH"] == Decimal(usdt.chain.wei(usdt.hot_address)).scaleb(-18)
    assert invariants.broken_laws() == []


def test_it_is_replaced_after_its_patience_and_paid_once(usdt: Usdt, stuck: Stuck) -> None:
    user, order, payout = stuck
    first = payout.provider_reference
    assert look(payout, 9).provider_reference == first, "not before its time"
    assert look(payout, 12).provider_reference != first
    assert [one["reference"] for one in payout.earlier] == [first]
    assert usdt.chain.rpc.call("eth_getTransactionByHash", first) is None, "replaced in the pool"
    usdt.chain.mine(4)
    look(payout, 40)
    order.refresh_from_db()
    assert (payout.state, order.status) == ("confirmed", "CLOSED")
    assert (nonce(usdt), usdt.balance(DESTINATION)) == (1, Decimal(40))
    assert NonceCounter.objects.get().next_nonce == 1
    assert balance_of(user) == (Decimal(59), Decimal(0))
    books_are_true(usdt)


def test_the_replaced_bytes_may_be_the_ones_that_are_mined(usdt: Usdt, stuck: Stuck) -> None:
    _, order, payout = stuck
    first, raw = payout.provider_reference, payout.payload
    look(payout, 12)
    usdt.chain.rpc.call("anvil_dropTransaction", payout.provider_reference)
    usdt.chain.rpc.call("eth_sendRawTransaction", raw)
    usdt.chain.mine(4)
    look(payout, 40)
    order.refresh_from_db()
    assert (payout.state, order.status, payout.provider_reference) == ("confirmed", "CLOSED", first)
    assert (nonce(usdt), usdt.balance(DESTINATION)) == (1, Decimal(40))
    books_are_true(usdt)


def test_killed_between_storing_the_replacement_and_sending_it(
    usdt: Usdt, stuck: Stuck, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, order, payout = stuck
    with monkeypatch.context() as patch, pytest.raises(Crash):
        patch.setattr(sending, "_copy", after(sending._copy))
        look(payout, 12)
    payout.refresh_from_db()
    assert len(payout.earlier) == 1
    assert usdt.chain.rpc.call("eth_getTransactionByHash", payout.provider_reference) is None
    look(payout, 30)
    usdt.chain.mine(4)
    look(payout, 60)
    order.refresh_from_db()
    assert (payout.state, order.status) == ("confirmed", "CLOSED")
    assert (nonce(usdt), usdt.balance(DESTINATION)) == (1, Decimal(40))
    books_are_true(usdt)


def test_a_person_cancels_and_all_of_the_hold_comes_back(
    usdt: Usdt, stuck: Stuck, operator: Callable[..., Actor]
) -> None:
    user, order, payout = stuck
    treasurer = operator()
    payouts.payout_cancel(payout_id=payout.pk, actor=treasurer, reason="the fee is far too low")
    look(payout, 1)
    assert payout.cancels is True
    assert [one["cancels"] for one in payout.earlier] == [False]
    usdt.chain.mine(4)
    look(payout, 30)
    order.refresh_from_db()
    assert (payout.state, order.status) == ("failed", "ERROR")
    assert payout.last_error == ""
    assert payout.answer["reason"] == "it was cancelled: its nonce paid nobody"
    assert (nonce(usdt), usdt.balance(DESTINATION)) == (1, Decimal(0))
    assert balance_of(user) == (Decimal(100), Decimal(0))
    assert transfers(TransferKind.WITHDRAWAL_RELEASE) == 1
    books_are_true(usdt)
    entry = AuditEntry.objects.get(verb="payout_cancel")
    assert (entry.actor_id, entry.reason) == (treasurer.id, "the fee is far too low")


def test_a_cancellation_that_comes_too_late_is_a_payment(
    usdt: Usdt, stuck: Stuck, operator: Callable[..., Actor]
) -> None:
    user, order, payout = stuck
    payouts.payout_cancel(payout_id=payout.pk, actor=operator(), reason="too slow")
    usdt.chain.mine()
    look(payout, 1)
    usdt.chain.mine(4)
    look(payout, 30)
    order.refresh_from_db()
    assert (payout.state, order.status, payout.earlier) == ("confirmed", "CLOSED", [])
    assert usdt.balance(DESTINATION) == Decimal(40)
    assert balance_of(user) == (Decimal(59), Decimal(0))
    books_are_true(usdt)


def test_who_may_cancel_and_when(usdt: Usdt, stuck: Stuck, operator: Callable[..., Actor]) -> None:
    _, _, payout = stuck

    def cancel(actor: Actor, reason: str = "why") -> str:
        return code_of(lambda: payouts.payout_cancel(payout_id=payout.pk, actor=actor, reason=reason))

    assert cancel(operator("Support")) == "forbidden"
    assert cancel(operator("Administrator")) == "forbidden"
    assert cancel(operator(), " ") == "validation_error"
    assert cancel(operator()) == "ok"
    assert cancel(operator()) == "wrong_state"
    usdt.chain.mine(4)
    look(payout, 30)
    assert cancel(operator()) == "wrong_state"
