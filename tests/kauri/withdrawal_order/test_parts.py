"""A withdrawal in parts: split exactly, captured as paid, given to the next channel, and two orders when paid in part."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import DatabaseError, IntegrityError, transaction
from hypothesis import given, settings
from hypothesis import strategies as st

from kauri.account.models import User
from kauri.balance import invariants
from kauri.balance.chart import TransferKind
from kauri.balance.models import Transfer
from kauri.common import clock
from kauri.core.models import Provider
from kauri.order_core.models import Order
from kauri.payment_provider.gateway import PayoutStatus
from kauri.payment_provider.models import Channel, Payout
from kauri.withdrawal_order import paying
from kauri.withdrawal_order.body import withdrawal_object
from kauri.withdrawal_order.services import withdrawal_cancel
from tests.kauri.withdrawal_order.conftest import PENDING, parts_of, tell
from tests.moves import as_owner, balance_of, code_of, events, give, transfers, withdraw

Channels = Callable[..., Channel]
PaidOut = Callable[..., Order]
CONFIRMED, FAILED = PayoutStatus.CONFIRMED, PayoutStatus.FAILED


def sent(order: Order) -> list[Payout]:
    """The order's payouts after a worker's first step on each."""
    for part in parts_of(order):
        paying.payout_advance(part.payout_id)
    return [part.payout for part in parts_of(order)]


@given(
    amount=st.integers(min_value=1, max_value=10**9),
    least=st.integers(min_value=1, max_value=10**6),
    room=st.integers(min_value=0, max_value=10**6),
    scale=st.sampled_from([0, 2, 6, 18]),
)
@settings(max_examples=300, deadline=None)
def test_pieces_add_up_within_the_bounds(amount: int, least: int, room: int, scale: int) -> None:
    unit = Decimal(1).scaleb(-scale)
    whole, low, high = amount * unit, least * unit, (least + room) * unit
    channel = Channel(min_amount=low, max_amount=high, max_parts=50)
    pieces = channel.pieces(whole, scale)
    fewest = -(-amount // (least + room))
    if pieces is None:
        # Too many, or so many that they can't all reach the least amount.
        assert fewest > 50 or whole < low * fewest
        return
    assert sum(pieces) == whole
    assert len(pieces) == fewest
    assert all(low <= piece <= high and piece == piece.quantize(unit) for piece in pieces)


def test_a_large_one_is_split_and_each_part_captured_as_it_is_paid(
    first: Provider, channel: Channels, paid_out: PaidOut
) -> None:
    channel(first, max_amount="100", min_amount="60")
    order = paid_out("250")
    assert [(part.amount, part.fee) for part in parts_of(order)] == [
        (Decimal(100), Decimal(2)),
        (Decimal(90), Decimal("1.8")),
        (Decimal(60), Decimal("1.2")),
    ]
    one, two, three = sent(order)
    assert balance_of(order.owner, "UAH") == (Decimal(745), Decimal(255))
    assert tell(two, CONFIRMED) == "done"
    order.refresh_from_db()
    assert (order.status, transfers(TransferKind.WITHDRAWAL_CAPTURE)) == ("PAYMENT_IN_PROGRESS", 1)
    assert balance_of(order.owner, "UAH") == (Decimal(745), Decimal("163.2"))
    assert tell(two, CONFIRMED) == "repeated"
    assert [tell(one, CONFIRMED), tell(three, CONFIRMED)] == ["done", "done"]
    order.refresh_from_db()
    assert (order.status, order.amount_in, order.fee) == ("CLOSED", Decimal(255), Decimal(5))
    assert transfers(TransferKind.WITHDRAWAL_CAPTURE) == 3
    assert transfers(TransferKind.WITHDRAWAL_RELEASE) == 0
    assert balance_of(order.owner, "UAH") == (Decimal(745), Decimal(0))
    shown = withdrawal_object(order)["details"]["withdrawal_transactions"]
    assert [row["amount"] for row in shown] == [100, 90, 60]
    assert len(events("withdrawal.closed")) == 1
    assert invariants.broken_laws() == []


@pytest.mark.parametrize("last", [CONFIRMED, FAILED])
def test_paid_in_part_ends_as_two_orders(
    first: Provider, channel: Channels, paid_out: PaidOut, last: PayoutStatus
) -> None:
    channel(first, max_amount="100", min_amount="60", fails_over=False)
    order = paid_out("250", callback_url="https://shop.example/told", comment="May")
    one, two, three = sent(order)
    # The order of the words does not matter: the last is a yes or a no.
    words = [(one, CONFIRMED), (two, FAILED), (three, CONFIRMED)]
    if last is FAILED:
        words = [words[0], words[2], words[1]]
    for payout, word in words:
        tell(payout, word)
    order.refresh_from_db()
    rest = Order.objects.get(split_from=order)
    assert (order.status, order.amount_in, order.amount_out, order.fee) == (
        "CLOSED",
        Decimal("163.2"),
        Decimal(160),
        Decimal("3.2"),
    )
    assert (rest.status, rest.amount_in, rest.amount_out, rest.fee) == (
        "ERROR",
        Decimal("91.8"),
        Decimal(90),
        Decimal("1.8"),
    )
    assert (rest.owner_id, rest.callback_url, rest.comment) == (
        order.owner_id,
        order.callback_url,
        order.comment,
    )
    assert rest.finished_at is not None
    assert [part.payout_id for part in parts_of(order)] == [one.pk, three.pk]
    assert [part.payout_id for part in parts_of(rest)] == [two.pk]
    assert balance_of(order.owner, "UAH") == (Decimal("836.8"), Decimal(0))
    assert (transfers(TransferKind.WITHDRAWAL_CAPTURE), transfers(TransferKind.WITHDRAWAL_RELEASE)) == (2, 1)
    [closed], [error] = events("withdrawal.closed"), events("withdrawal.error")
    assert closed.payload["external_id"] == str(order.public_id)
    assert Decimal(closed.payload["details"]["amount_to_withdrawal"]) == 160
    assert error.payload["external_id"] == str(rest.public_id)
    assert error.payload["details"]["unpaid_rest_of"] == str(order.public_id)
    assert error.callback_url == order.callback_url
    assert [row.to_status for row in rest.transitions.all()] == ["NEW", "PAYMENT_IN_PROGRESS", "ERROR"]
    # A late word changes nothing any more.
    assert code_of(lambda: tell(two, CONFIRMED)) == "conflict"
    assert balance_of(order.owner, "UAH") == (Decimal("836.8"), Decimal(0))
    assert invariants.broken_laws() == []


def test_all_parts_failed_is_one_order_in_error(
    first: Provider, channel: Channels, paid_out: PaidOut
) -> None:
    channel(first, max_amount="100", fails_over=False)
    order = paid_out("150")
    for payout in sent(order):
        tell(payout, FAILED)
    order.refresh_from_db()
    assert (order.status, order.amount_out) == ("ERROR", Decimal(150))
    assert not Order.objects.filter(split_from=order).exists()
    assert balance_of(order.owner, "UAH") == (Decimal(1000), Decimal(0))
    assert (transfers(TransferKind.WITHDRAWAL_CAPTURE), transfers(TransferKind.WITHDRAWAL_RELEASE)) == (0, 1)
    assert invariants.broken_laws() == []


def test_a_failed_part_goes_to_the_next_channel_and_never_back(
    first: Provider, second: Provider, channel: Channels, paid_out: PaidOut
) -> None:
    channel(first, max_amount="100")
    order = paid_out("150")
    one, two = sent(order)
    tell(one, FAILED)
    order.refresh_from_db()
    parts = parts_of(order)
    assert order.status == "PAYMENT_IN_PROGRESS"
    assert [(part.payout.provider.code, part.tried) for part in parts] == [
        ("sandbox2", [first.pk]),
        ("sandbox", []),
    ]
    # The failed try is final: nothing that is said of it moves the part that another has now.
    assert code_of(lambda: tell(one, CONFIRMED)) == "conflict"
    assert transfers(TransferKind.WITHDRAWAL_CAPTURE) == 0
    paying.payout_advance(parts[0].payout_id)
    tell(parts[0].payout, FAILED)
    order.refresh_from_db()
    assert order.status == "PAYMENT_IN_PROGRESS"  # nobody is left for it; the other is still open
    assert Payout.objects.filter(order_id=order.public_id).count() == 3
    tell(two, CONFIRMED)
    order.refresh_from_db()
    assert (order.status, order.amount_out) == ("CLOSED", Decimal(50))
    assert Order.objects.get(split_from=order).amount_out == 100
    assert invariants.broken_laws() == []


def test_a_channel_that_does_not_fail_over(
    first: Provider, second: Provider, channel: Channels, paid_out: PaidOut
) -> None:
    channel(first, fails_over=False)
    order = paid_out("100")
    tell(sent(order)[0], FAILED)
    order.refresh_from_db()
    assert (order.status, Payout.objects.count()) == ("ERROR", 1)


def test_what_people_cancelled_is_not_tried_elsewhere(
    first: Provider, second: Provider, paid_out: PaidOut
) -> None:
    order = paid_out("100")
    [payout] = sent(order)
    Payout.objects.filter(pk=payout.pk).update(cancel_asked_at=clock.now())
    tell(payout, FAILED)
    order.refresh_from_db()
    assert (order.status, Payout.objects.count()) == ("ERROR", 1)


def test_what_waits_too_long_is_handed_over(
    first: Provider, second: Provider, channel: Channels, paid_out: PaidOut
) -> None:
    row = channel(first, daily_cap="120", hand_over_minutes=30)
    paid_out("100", to="sandbox:success")
    paying.payouts_sweep()
    paying.payout_advance(Payout.objects.get().pk)
    row.priority = 1
    row.save()
    order = paid_out("80", to="sandbox:success")
    # One that could pay now is chosen before the one that would have to wait for tomorrow.
    assert [part.payout.provider.code for part in parts_of(order)] == ["sandbox2"]
    Provider.objects.filter(pk=second.pk).update(health="bad")
    late = paid_out("90", to="sandbox:success")
    [part] = parts_of(late)
    assert part.payout.provider.code == "sandbox"
    paying.payout_advance(part.payout_id)
    part.payout.refresh_from_db()
    assert (part.payout.state, part.payout.last_error) == ("new", "the channel's daily cap")
    Provider.objects.filter(pk=second.pk).update(health="ok")
    with clock.standing_at(clock.now() + timedelta(minutes=29)):
        Payout.objects.filter(pk=part.payout_id).update(next_attempt_at=clock.now())
        paying.payout_advance(part.payout_id)
        assert parts_of(late)[0].payout_id == part.payout_id
    with clock.standing_at(clock.now() + timedelta(minutes=31)):
        Payout.objects.filter(pk=part.payout_id).update(next_attempt_at=clock.now())
        paying.payout_advance(part.payout_id)
        [moved] = parts_of(late)
        assert moved.payout.provider.code == "sandbox2"
        paying.payout_advance(moved.payout_id)
    late.refresh_from_db()
    assert late.status == "CLOSED"
    part.payout.refresh_from_db()
    assert (part.payout.state, part.payout.payload) == ("failed", "")
    assert invariants.broken_laws() == []


def test_taken_back_while_nothing_was_sent(first: Provider, channel: Channels, paid_out: PaidOut) -> None:
    channel(first, max_amount="100")
    order = paid_out("150")
    owner = order.owner
    withdrawal_cancel(order_id=order.public_id, user_id=owner.pk, actor=owner.as_actor())
    order.refresh_from_db()
    assert order.status == "CANCELLED"
    assert [row.to_status for row in order.transitions.all()][-2:] == ["CANCELLING", "CANCELLED"]
    assert balance_of(owner, "UAH") == (Decimal(1000), Decimal(0))
    for part in parts_of(order):
        paying.payout_advance(part.payout_id)
        part.payout.refresh_from_db()
        assert (part.payout.state, part.payout.payload) == ("failed", "")
    assert transfers(TransferKind.WITHDRAWAL_CAPTURE) == 0
    assert invariants.broken_laws() == []


def test_not_taken_back_once_any_part_may_be_anywhere(
    first: Provider, channel: Channels, paid_out: PaidOut
) -> None:
    channel(first, max_amount="100")
    order = paid_out("150")
    paying.payout_advance(parts_of(order)[1].payout_id)
    owner = order.owner
    act = lambda: withdrawal_cancel(  # noqa: E731 - said twice
        order_id=order.public_id, user_id=owner.pk, actor=owner.as_actor()
    )
    assert code_of(act) == "wrong_state"
    order.refresh_from_db()
    assert order.status == "PAYMENT_IN_PROGRESS"
    assert balance_of(owner, "UAH") == (Decimal(845), Decimal(155))


def test_a_worker_that_prepares_what_is_taken_back_sends_nothing(
    first: Provider, paid_out: PaidOut, monkeypatch: pytest.MonkeyPatch
) -> None:
    from kauri.payment_provider.gateways.sandbox import Sandbox

    order = paid_out("100", to="sandbox:success")
    owner, original, sends = order.owner, Sandbox.prepare_payout, []

    def overtaken(self: Sandbox, request: Any) -> Any:
        withdrawal_cancel(order_id=order.public_id, user_id=owner.pk, actor=owner.as_actor())
        return original(self, request)

    monkeypatch.setattr(Sandbox, "prepare_payout", overtaken)
    monkeypatch.setattr(Sandbox, "send_payout", lambda *given: sends.append(given))
    [part] = parts_of(order)
    paying.payout_advance(part.payout_id)
    part.payout.refresh_from_db()
    order.refresh_from_db()
    assert (part.payout.state, part.payout.payload, order.status) == ("failed", "", "CANCELLED")
    assert sends == []
    assert balance_of(owner, "UAH") == (Decimal(1000), Decimal(0))
    assert invariants.broken_laws() == []


def test_the_failed_tries_cost_is_booked_once(first: Provider, second: Provider, paid_out: PaidOut) -> None:
    order = paid_out("100", to="sandbox:success")
    [part] = parts_of(order)
    paying.payout_advance(part.payout_id)
    del second
    kinds = list(Transfer.objects.filter(order_id=order.public_id).values_list("kind", flat=True))
    assert kinds.count(int(TransferKind.WITHDRAWAL_CAPTURE)) == 1


# The database's own laws --------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        "amount_in = amount_in - 1, amount_out = amount_out - 1",
        "amount_out = amount_out - 1, amount_in = amount_in - 1, status = 'CLOSED'",
        "fee = fee + 1",
    ],
)
def test_amounts_do_not_fall_without_the_rest_beside(first: Provider, paid_out: PaidOut, change: str) -> None:
    order = paid_out("100")
    with pytest.raises(DatabaseError), transaction.atomic(), as_owner() as cursor:
        cursor.execute(f"update order_core_order set {change} where id = %s", [order.pk])
    order.refresh_from_db()
    assert (order.amount_in, order.amount_out, order.fee) == (Decimal(105), Decimal(100), Decimal(5))


def test_the_rest_is_unpaid_for_ever(first: Provider, channel: Channels, paid_out: PaidOut) -> None:
    channel(first, max_amount="100", fails_over=False)
    order = paid_out("150")
    one, two = sent(order)
    tell(one, CONFIRMED)
    tell(two, FAILED)
    rest = Order.objects.get(split_from=order)
    for change in ("status = 'CLOSED'", "split_from_id = null", "amount_out = 1"):
        with pytest.raises(DatabaseError), transaction.atomic(), as_owner() as cursor:
            cursor.execute(f"update order_core_order set {change} where id = %s", [rest.pk])
    with pytest.raises(DatabaseError), transaction.atomic():
        Order.objects.filter(pk=order.pk).update(split_from=rest)


def test_no_two_parts_share_a_payout_or_a_place(
    first: Provider, channel: Channels, paid_out: PaidOut
) -> None:
    channel(first, max_amount="100")
    order = paid_out("150")
    one, two = parts_of(order)
    for change in ({"payout": one.payout}, {"ordinal": 1}, {"amount": Decimal(0)}, {"fee": Decimal(-1)}):
        with pytest.raises(IntegrityError), transaction.atomic():
            type(two).objects.filter(pk=two.pk).update(**change)


def test_a_withdrawal_that_no_channel_takes_is_refused_whole(
    first: Provider, channel: Channels, customer: Callable[..., User]
) -> None:
    row = channel(first, min_amount="80", max_amount="100", max_parts=2)
    user = customer()
    give(user, "UAH", "5000")
    ask = lambda amount: code_of(  # noqa: E731 - said often
        lambda: withdraw(user, amount, currency="UAH", to=PENDING)
    )
    assert [ask("79"), ask("150"), ask("201"), ask("200")] == [
        "below_minimum",
        "above_maximum",
        "above_maximum",
        "ok",
    ]
    row.is_enabled = False
    row.save()
    assert ask("100") == "operation_disabled"
    assert Order.objects.count() == 1
