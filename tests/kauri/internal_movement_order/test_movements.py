"""Money between customers: who pays the fee, who looks, who may, and what both sides are told."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from kauri.account.models import User
from kauri.balance import invariants
from kauri.balance.chart import TransferKind
from kauri.balance.models import Entry, Hold
from kauri.common.actor import Actor
from kauri.common.errors import KauriError
from kauri.common.ids import account_number, is_account_number
from kauri.core.models import AuditEntry
from kauri.internal_movement_order.models import MovementDetail
from kauri.internal_movement_order.services import (
    MovementRequest,
    movement_approve,
    movement_create,
    movement_reject,
    movement_repeat,
    movement_take,
)
from kauri.order_core.models import Approval, Order, Policy
from kauri.order_core.services import books_check
from tests.moves import balance_of, code_of, events, give, transfers

BY = MovementDetail.AddressedBy


def move(sender: User, to: str, amount: str = "10", by: BY = BY.EMAIL, **fields: Any) -> Order:
    request = MovementRequest(
        user_id=sender.pk, currency="UAH", amount=amount, addressed_by=by, addressed_to=to, **fields
    )
    return movement_create(request=request, actor=sender.as_actor())


def rule(**fields: Any) -> Policy:
    policy = Policy.objects.get(operation="INTERNAL_MOVEMENT", currency__code="UAH")
    for name, value in fields.items():
        setattr(policy, name, value)
    policy.save()
    return policy


@pytest.fixture
def two(customer: Callable[..., User]) -> tuple[User, User]:
    sender, receiver = customer(), customer()
    give(sender, "UAH", "100")
    return sender, receiver


def test_the_sender_pays_the_fee_on_top(two: tuple[User, User]) -> None:
    sender, receiver = two
    rule(fee_percent=Decimal(1), min_amount=Decimal(1))
    order = move(sender, receiver.email.upper(), "1", message="tea", comment="mine", external_id="gift")
    assert (order.status, order.amount_in, order.amount_out, order.fee) == (
        "CLOSED",
        Decimal("1.01"),
        Decimal(1),
        Decimal("0.01"),
    )
    assert (balance_of(sender, "UAH"), balance_of(receiver, "UAH")) == (
        (Decimal("98.99"), Decimal(0)),
        (Decimal(1), Decimal(0)),
    )
    assert [row.to_status for row in order.transitions.all()] == ["NEW", "CLOSED"]
    assert (transfers(TransferKind.INTERNAL_MOVEMENT), Hold.objects.count()) == (1, 0)
    assert books_check(full=True).is_clean


def test_the_recipient_pays_the_fee_out_of_it(two: tuple[User, User]) -> None:
    sender, receiver = two
    rule(fee_fixed=Decimal("2.50"), fee_payer="recipient")
    order = move(sender, receiver.email)
    assert (order.amount_in, order.amount_out, order.fee) == (Decimal(10), Decimal("7.50"), Decimal("2.50"))
    assert balance_of(sender, "UAH")[0] == Decimal(90)
    assert balance_of(receiver, "UAH")[0] == Decimal("7.50")
    rule(fee_fixed=Decimal(10))
    assert code_of(lambda: move(sender, receiver.email)) == "below_minimum"
    assert Order.objects.count() == 1


def test_a_recipient_is_named_in_three_ways(two: tuple[User, User]) -> None:
    sender, receiver = two
    receiver.telegram_id, receiver.telegram_username = 4242, "Receiver_1"
    receiver.save()
    spaced = " ".join([receiver.number[:4].lower(), receiver.number[4:]])
    for by, name in (
        (BY.NUMBER, spaced),
        (BY.TELEGRAM, "4242"),
        (BY.TELEGRAM, "@receiver_1"),
        (BY.EMAIL, f" {receiver.email} "),
    ):
        assert move(sender, name, by=by).counterparty_id == receiver.pk
    assert balance_of(receiver, "UAH")[0] == Decimal(40)


def test_nobody_is_one_answer(two: tuple[User, User], customer: Callable[..., User], operator: Any) -> None:
    sender, receiver = two
    gone, unconfirmed = customer(is_active=False), customer(email_verified_at=None)
    staff = User.objects.get(pk=int(operator().id))
    wrong_digit = receiver.number[:-1] + str((int(receiver.number[-1]) + 1) % 10)
    names = [
        (BY.EMAIL, "nobody@example.com"),
        (BY.EMAIL, gone.email),
        (BY.EMAIL, unconfirmed.email),
        (BY.EMAIL, staff.email),
        (BY.EMAIL, sender.email),
        (BY.NUMBER, wrong_digit),
        (BY.NUMBER, sender.number),
        (BY.NUMBER, ""),
        (BY.TELEGRAM, "99999999999999999999999999"),
        (BY.TELEGRAM, ""),
        (BY.TELEGRAM, "@"),
    ]
    said = set()
    for by, name in names:
        with pytest.raises(KauriError) as caught:
            move(sender, name, by=by)
        said.add((caught.value.code, str(caught.value)))
    assert len(said) == 1
    assert said.pop()[0] == "recipient_not_found"
    assert (Order.objects.count(), Entry.objects.count()) == (0, 2)


@pytest.mark.parametrize(
    ("changes", "fields", "code"),
    [
        ({}, {"amount": "100.01"}, "insufficient_funds"),
        ({}, {"amount": "1"}, "below_minimum"),
        ({"max_amount": Decimal(9)}, {}, "above_maximum"),
        ({"enabled": False}, {}, "operation_disabled"),
        ({"required_level": 3}, {}, "verification_required"),
        ({"daily_amount": Decimal(9)}, {}, "limit_exceeded"),
        ({}, {"amount": "0.001"}, "invalid_amount"),
        ({}, {"amount": "NaN"}, "invalid_amount"),
    ],
)
def test_what_is_refused_leaves_nothing(
    two: tuple[User, User], changes: dict[str, Any], fields: dict[str, Any], code: str
) -> None:
    sender, receiver = two
    rule(**changes)
    assert code_of(lambda: move(sender, receiver.email, **fields)) == code
    assert Order.objects.count() == 0
    assert (balance_of(sender, "UAH"), balance_of(receiver, "UAH")[0]) == ((Decimal(100), Decimal(0)), 0)
    assert events("internal_movement.received") == []


def test_a_recipient_who_is_switched_off_receives_nothing(two: tuple[User, User]) -> None:
    sender, receiver = two
    Policy.objects.create(operation="INTERNAL_MOVEMENT", user=receiver, enabled=False)
    assert code_of(lambda: move(sender, receiver.email)) == "operation_disabled"
    assert code_of(lambda: move(receiver, sender.email)) == "operation_disabled"


def test_both_sides_are_told_and_each_only_their_own(two: tuple[User, User]) -> None:
    sender, receiver = two
    receiver.callback_url = "https://receiver.example/hook"
    receiver.save()
    rule(fee_percent=Decimal(1))
    order = move(
        sender,
        receiver.email,
        comment="secret of the sender",
        message="for tea",
        external_id="mine-1",
        callback_url="https://sender.example/hook",
    )
    [told] = events("internal_movement.closed")
    assert (told.owner_id, told.callback_url) == (sender.pk, "https://sender.example/hook")
    assert told.payload["amount"] == Decimal("10.10")
    assert told.payload["details"]["destination_account_email"] == receiver.email
    [came] = events("internal_movement.received")
    assert (came.owner_id, came.callback_url) == (receiver.pk, "https://receiver.example/hook")
    assert (came.payload["amount"], came.payload["fee"]) == (10, 0)
    assert came.payload["details"]["sender_account_email"] == sender.email
    assert came.payload["details"]["message"] == "for tea"
    for private in ("secret of the sender", "mine-1", "sender.example", "10.1"):
        assert private not in came.body
    assert came.payload["external_id"] == str(order.public_id)


def test_a_rule_sends_it_to_an_operator_who_approves(
    two: tuple[User, User], operator: Callable[..., Actor]
) -> None:
    sender, receiver = two
    policy = rule(approval_above=Decimal(9), fee_fixed=Decimal(1))
    order = move(sender, receiver.email)
    assert order.status == "WAITING_FOR_OPERATOR_CONFIRMATION"
    assert order.explanation["decided_by"] == "approval_above"
    assert order.explanation["rules"][0]["policy"] == policy.pk
    assert balance_of(sender, "UAH") == (Decimal(89), Decimal(11))
    assert events("internal_movement.received") == []
    assert (
        code_of(lambda: movement_approve(order_id=order.public_id, actor=operator("Support"))) == "forbidden"
    )
    treasurer = operator("Treasury")
    movement_take(order_id=order.public_id, actor=treasurer)
    other = operator("Treasury")
    assert code_of(lambda: movement_approve(order_id=order.public_id, actor=other)) == "wrong_state"
    movement_approve(order_id=order.public_id, actor=treasurer, reason="fine")
    assert code_of(lambda: movement_approve(order_id=order.public_id, actor=other)) == "wrong_state"
    assert Order.objects.get().status == "CLOSED"
    assert (balance_of(sender, "UAH"), balance_of(receiver, "UAH")[0]) == ((Decimal(89), Decimal(0)), 10)
    assert len(events("internal_movement.received")) == 1
    assert AuditEntry.objects.filter(verb="movement_approve").count() == 1
    assert books_check(full=True).is_clean


def test_a_rejected_one_gives_everything_back(two: tuple[User, User], operator: Callable[..., Actor]) -> None:
    sender, receiver = two
    rule(approval_above=Decimal(9), fee_fixed=Decimal(1))
    order = move(sender, receiver.email)
    actor = operator()
    assert code_of(lambda: movement_reject(order_id=order.public_id, actor=actor, reason=" ")) == (
        "validation_error"
    )
    movement_reject(order_id=order.public_id, actor=actor, reason="not this one")
    assert Order.objects.get().status == "CANCELLED"
    assert (balance_of(sender, "UAH"), balance_of(receiver, "UAH")[0]) == ((Decimal(100), Decimal(0)), 0)
    assert Approval.objects.get().state == "rejected"
    assert events("internal_movement.received") == []
    assert books_check(full=True).is_clean


def test_a_recipient_disabled_meanwhile_gets_nothing(
    two: tuple[User, User], operator: Callable[..., Actor]
) -> None:
    sender, receiver = two
    rule(approval_above=Decimal(9))
    order = move(sender, receiver.email)
    User.objects.filter(pk=receiver.pk).update(is_active=False)
    actor = operator()
    assert code_of(lambda: movement_approve(order_id=order.public_id, actor=actor)) == "account_disabled"
    assert Approval.objects.get().state == "pending"
    movement_reject(order_id=order.public_id, actor=actor, reason="account disabled")
    assert balance_of(sender, "UAH") == (Decimal(100), Decimal(0))


def test_repeat_pays_the_same_account_whoever_has_its_name(two: tuple[User, User]) -> None:
    sender, receiver = two
    name = receiver.email
    first = move(sender, name, message="again")
    User.objects.filter(pk=receiver.pk).update(email="moved@example.com")

    def again(order_id: uuid.UUID, amount: str | None = None, who: User = sender) -> Order:
        return movement_repeat(
            order_id=order_id, amount=amount, request_ip="", user_id=who.pk, actor=who.as_actor()
        )

    second, third = again(first.public_id), again(first.public_id, "12.34")
    assert [order.counterparty_id for order in (second, third)] == [receiver.pk] * 2
    assert (second.amount_out, third.amount_out) == (Decimal(10), Decimal("12.34"))
    assert second.movement.message == "again"
    assert code_of(lambda: again(first.public_id, who=receiver)) == "not_found"
    rule(approval_above=Decimal(9))
    waiting = again(first.public_id)
    assert code_of(lambda: again(waiting.public_id)) == "wrong_state"
    assert balance_of(receiver, "UAH")[0] == Decimal("32.34")
    assert invariants.broken_laws() == []


def test_account_numbers_catch_typing_errors() -> None:
    number = account_number()
    assert is_account_number(number)
    for place in range(2, len(number)):
        wrong = number[:place] + str((int(number[place]) + 3) % 10) + number[place + 1 :]
        assert not is_account_number(wrong)
    assert not is_account_number(number.lower())
    assert not is_account_number(f"{number}0")
    assert not is_account_number("KA" + "٣" * 15)
