"""A withdrawal that waits for operators is handed on, put aside and asked about; its money stays where it is."""

from __future__ import annotations

import json
from collections.abc import Callable
from decimal import Decimal

import pytest
from django.contrib.auth.models import Group
from django.db import IntegrityError, transaction

from kauri.account.models import User
from kauri.common import clock, crypto
from kauri.common.actor import Actor
from kauri.common.errors import KauriError
from kauri.core.models import AuditEntry
from kauri.notification.channels import letters
from kauri.order_core.models import Approval, Order, OrderNote
from kauri.withdrawal_order import selectors, services, waiting
from tests.moves import balance_of, code_of, events, give, sandbox_on, together, withdraw


@pytest.fixture
def order(customer: Callable[..., User]) -> Order:
    """100 UAH (fee 5) to a new destination: an operator must look."""
    sandbox_on()
    user = customer()
    give(user, "UAH", "200")
    return withdraw(user, "100", currency="UAH", to="sandbox:success")


@pytest.fixture
def approver(operator: Callable[..., Actor]) -> Actor:
    return operator()


@pytest.fixture
def colleague(operator: Callable[..., Actor]) -> User:
    return User.objects.get(pk=int(operator().id))


def standing(order: Order) -> tuple[str, str, tuple[Decimal, Decimal]]:
    approval = Approval.objects.get(order=order)
    return Order.objects.get(pk=order.pk).status, approval.state, balance_of(order.owner, "UAH")


def verbs() -> list[str]:
    return list(AuditEntry.objects.order_by("id").values_list("verb", flat=True))


WAITS = ("WAITING_FOR_OPERATOR_CONFIRMATION", "pending", (Decimal(95), Decimal(105)))


def test_on_hold_nobody_decides_and_the_queue_is_empty(order: Order, approver: Actor) -> None:
    waiting.withdrawal_take(order_id=order.public_id, actor=approver)
    waiting.withdrawal_hold(order_id=order.public_id, reason=" until Monday ", actor=approver)
    approval = Approval.objects.get()
    assert (approval.held_reason, str(approval.held_by_id), approval.taken_by) == (
        "until Monday",
        approver.id,
        None,
    )
    assert standing(order) == WAITS
    assert selectors.queue_state().count == 0
    assert selectors.next_waiting(int(approver.id)) is None
    acts: list[Callable[[], object]] = [
        lambda: services.withdrawal_approve(order_id=order.public_id, actor=approver),
        lambda: services.withdrawal_reject(order_id=order.public_id, actor=approver, reason="no"),
        lambda: waiting.withdrawal_take(order_id=order.public_id, actor=approver),
        lambda: waiting.withdrawal_hold(order_id=order.public_id, reason="again", actor=approver),
        lambda: waiting.withdrawal_ask(order_id=order.public_id, question="why", actor=approver),
    ]
    assert [code_of(act) for act in acts] == ["wrong_state"] * len(acts)
    assert standing(order) == WAITS
    waiting.withdrawal_unhold(order_id=order.public_id, actor=approver)
    assert selectors.next_waiting(int(approver.id)) == order.public_id
    assert (
        code_of(lambda: waiting.withdrawal_unhold(order_id=order.public_id, actor=approver)) == "wrong_state"
    )
    services.withdrawal_approve(order_id=order.public_id, actor=approver)
    assert standing(order)[:2] == ("PAYMENT_IN_PROGRESS", "approved")
    entry = AuditEntry.objects.get(verb="withdrawal_hold")
    assert (entry.reason, entry.actor_id, entry.object_id) == (
        "until Monday",
        approver.id,
        str(order.public_id),
    )
    assert verbs()[-4:] == ["withdrawal_take", "withdrawal_hold", "withdrawal_unhold", "withdrawal_approve"]


def test_a_hold_keeps_the_orders_place_in_the_queue(
    order: Order, approver: Actor, customer: Callable[..., User]
) -> None:
    second = customer()
    give(second, "UAH", "200")
    withdraw(second, "100", currency="UAH", to="sandbox:success")
    waiting.withdrawal_hold(order_id=order.public_id, reason="later", actor=approver)
    assert selectors.next_waiting(int(approver.id)) != order.public_id
    waiting.withdrawal_unhold(order_id=order.public_id, actor=approver)
    assert selectors.next_waiting(int(approver.id)) == order.public_id


@pytest.mark.parametrize("reason", ["", "  "])
def test_a_hold_says_why(order: Order, approver: Actor, reason: str) -> None:
    act = lambda: waiting.withdrawal_hold(order_id=order.public_id, reason=reason, actor=approver)  # noqa: E731
    assert code_of(act) == "validation_error"
    assert Approval.objects.get().held_at is None
    assert "withdrawal_hold" not in verbs()


def test_what_another_has_is_neither_held_nor_handed(
    order: Order, approver: Actor, colleague: User, operator: Callable[..., Actor]
) -> None:
    third = User.objects.get(pk=int(operator().id))
    waiting.withdrawal_take(order_id=order.public_id, actor=colleague.as_actor())
    assert [
        code_of(lambda: waiting.withdrawal_hold(order_id=order.public_id, reason="x", actor=approver)),
        code_of(
            lambda: waiting.withdrawal_hand(order_id=order.public_id, to=third.public_id, actor=approver)
        ),
        code_of(lambda: waiting.withdrawal_ask(order_id=order.public_id, question="x", actor=approver)),
    ] == ["wrong_state"] * 3
    assert Approval.objects.get().taken_by == colleague
    assert OrderNote.objects.count() == 0
    assert events("letter") == []


def test_handed_on_it_is_the_other_ones_and_they_are_told(
    order: Order, approver: Actor, colleague: User
) -> None:
    waiting.withdrawal_hand(
        order_id=order.public_id, to=colleague.public_id, words="you know them", actor=approver
    )
    assert Approval.objects.get().taken_by == colleague
    assert selectors.next_waiting(int(approver.id)) is None
    assert selectors.next_waiting(colleague.pk) == order.public_id
    act = lambda: services.withdrawal_approve(order_id=order.public_id, actor=approver)  # noqa: E731
    assert code_of(act) == "wrong_state"
    [event] = events("approval.handed")
    assert {name: event.payload[name] for name in ("by", "to", "amount", "words")} == {
        "by": approver.label,
        "to": colleague.email,
        "amount": "100",
        "words": "you know them",
    }
    entry = AuditEntry.objects.get(verb="withdrawal_hand")
    assert (entry.after, entry.reason) == ({"to": colleague.email}, "you know them")
    services.withdrawal_approve(order_id=order.public_id, actor=colleague.as_actor())
    assert standing(order)[1] == "approved"


def test_it_is_handed_only_to_who_can_decide(order: Order, approver: Actor, colleague: User) -> None:
    support = User.objects.create_user(email="support@example.com", is_staff=True)
    support.groups.add(Group.objects.get(name="Support"))
    gone = User.objects.create_user(email="gone@example.com", is_staff=True, is_active=False)
    gone.groups.add(*colleague.groups.all())
    me = User.objects.get(pk=int(approver.id))
    for other in (support, gone, me, order.owner):
        act = lambda to=other.public_id: waiting.withdrawal_hand(  # noqa: E731
            order_id=order.public_id, to=to, actor=approver
        )
        assert code_of(act) == "validation_error", other
    assert Approval.objects.get().taken_by is None
    assert events("approval.handed") == []
    assert [user.email for user in selectors.deciders(me.pk)] == [colleague.email]


def test_the_customer_is_asked_by_a_letter_and_the_order_waits(order: Order, approver: Actor) -> None:
    waiting.withdrawal_ask(order_id=order.public_id, question="Is it your own wallet?", actor=approver)
    [letter] = events("letter")
    assert (letter.payload["letter"], letter.payload["to"]) == ("withdrawal_question", order.owner.email)
    params = json.loads(crypto.decrypt(letter.payload["sealed"]))
    sealed = crypto.encrypt(json.dumps({"letter": "withdrawal_question", "language": "en", "params": params}))
    subject, text = letters.render(sealed)
    assert subject == "A question about your withdrawal"
    assert "Is it your own wallet?" in text
    assert f"100 UAH (order {order.public_id})" in text
    assert OrderNote.objects.get().text == "Asked the customer: Is it your own wallet?"
    assert Approval.objects.get().held_reason == "Asked the customer: Is it your own wallet?"
    assert standing(order) == WAITS


def test_whom_no_letter_reaches_is_not_asked(order: Order, approver: Actor) -> None:
    User.objects.filter(pk=order.owner_id).update(email="71@telegram.invalid")
    act = lambda: waiting.withdrawal_ask(order_id=order.public_id, question="why", actor=approver)  # noqa: E731
    assert code_of(act) == "wrong_state"
    assert (OrderNote.objects.count(), Approval.objects.get().held_at) == (0, None)


def test_the_customer_takes_back_what_is_on_hold(order: Order, approver: Actor) -> None:
    waiting.withdrawal_hold(order_id=order.public_id, reason="later", actor=approver)
    services.withdrawal_cancel(order_id=order.public_id, user_id=order.owner_id, actor=order.owner.as_actor())
    approval = Approval.objects.get()
    assert (approval.state, approval.held_at, approval.held_by, approval.held_reason) == (
        "withdrawn",
        None,
        None,
        "",
    )
    assert balance_of(order.owner, "UAH") == (Decimal(200), Decimal(0))


@pytest.mark.parametrize(
    "broken",
    [
        {"held_reason": ""},
        {"held_by": None},
        {"held_at": None},
        {"state": "rejected"},
    ],
)
def test_the_database_knows_no_half_a_hold(order: Order, approver: Actor, broken: dict[str, object]) -> None:
    waiting.withdrawal_hold(order_id=order.public_id, reason="later", actor=approver)
    with pytest.raises(IntegrityError, match="approval_on_hold"), transaction.atomic():
        Approval.objects.filter(order=order).update(**broken)


def test_nobody_takes_what_is_on_hold_not_even_by_sql(order: Order, approver: Actor) -> None:
    waiting.withdrawal_hold(order_id=order.public_id, reason="later", actor=approver)
    with pytest.raises(IntegrityError, match="approval_on_hold"), transaction.atomic():
        Approval.objects.filter(order=order).update(taken_by=int(approver.id), taken_at=clock.now())


@pytest.mark.django_db(transaction=True)
def test_a_hold_and_an_approval_at_one_moment_have_one_winner(
    order: Order, approver: Actor, colleague: User
) -> None:
    acts: list[Callable[[], object]] = [
        lambda: waiting.withdrawal_hold(order_id=order.public_id, reason="later", actor=approver),
        lambda: services.withdrawal_approve(order_id=order.public_id, actor=colleague.as_actor()),
    ]
    ended = together(2, lambda number: acts[number]())
    lost = [result for result in ended if isinstance(result, KauriError)]
    assert [error.code for error in lost] == ["wrong_state"]
    approval = Approval.objects.get()
    assert (approval.held_at is None) == (approval.state == "approved")
    assert approval.votes.count() == (approval.state == "approved")
