"""Many movements at once: exactly as many as there is money for, no deadlock that anybody sees, nothing lost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from decimal import Decimal

import pytest

from kauri.account.models import User
from kauri.common.actor import Actor
from kauri.common.locks import retried
from kauri.internal_movement_order.models import MovementDetail
from kauri.internal_movement_order.services import MovementRequest, movement_approve, movement_create
from kauri.order_core.models import Order, Policy
from kauri.order_core.services import books_check
from tests.moves import balance_of, code_of, give, together

pytestmark = pytest.mark.django_db(transaction=True)


def move(sender: User, receiver: User, amount: str, external_id: str = "") -> Order:
    request = MovementRequest(
        user_id=sender.pk,
        currency="UAH",
        amount=amount,
        addressed_by=MovementDetail.AddressedBy.EMAIL,
        addressed_to=receiver.email,
        external_id=external_id,
    )
    return retried(lambda: movement_create(request=request, actor=sender.as_actor()))


def test_exactly_as_many_as_there_is_money_for(customer: Callable[..., User]) -> None:
    sender, receiver = customer(), customer()
    give(sender, "UAH", "105")
    said = Counter(together(16, lambda _: code_of(lambda: move(sender, receiver, "10"))))
    assert said == {"ok": 10, "insufficient_funds": 6}
    assert (balance_of(sender, "UAH")[0], balance_of(receiver, "UAH")[0]) == (5, 100)
    assert books_check(full=True).is_clean


def test_a_ring_of_opposite_movements(customer: Callable[..., User]) -> None:
    people = [customer() for _ in range(4)]
    for person in people:
        give(person, "UAH", "1000")

    def round_trip(number: int) -> str:
        for step in range(6):
            sender = people[(number + step) % 4]
            receiver = people[(number + (step + 1 if number % 2 else step - 1)) % 4]
            code = code_of(lambda sender=sender, receiver=receiver: move(sender, receiver, "10"))
            if code != "ok":
                return code
        return "ok"

    assert together(8, round_trip) == ["ok"] * 8
    assert sum(balance_of(person, "UAH")[0] for person in people) == 4000
    assert Order.objects.filter(status="CLOSED").count() == 48
    assert books_check(full=True).is_clean


def test_one_external_id_many_times_is_one_movement(customer: Callable[..., User]) -> None:
    sender, receiver = customer(), customer()
    give(sender, "UAH", "100")
    said = Counter(together(8, lambda _: code_of(lambda: move(sender, receiver, "10", "same"))))
    assert said == {"ok": 1, "conflict": 7}
    assert balance_of(receiver, "UAH")[0] == 10


def test_many_approvals_are_one(customer: Callable[..., User], operator: Callable[..., Actor]) -> None:
    sender, receiver = customer(), customer()
    give(sender, "UAH", "100")
    Policy.objects.filter(operation="INTERNAL_MOVEMENT", currency__code="UAH").update(
        approval_above=Decimal(5)
    )
    order = move(sender, receiver, "60")
    people = [operator() for _ in range(6)]
    said = Counter(
        together(
            6,
            lambda number: code_of(lambda: movement_approve(order_id=order.public_id, actor=people[number])),
        )
    )
    assert said == {"ok": 1, "wrong_state": 5}
    assert (balance_of(sender, "UAH"), balance_of(receiver, "UAH")[0]) == ((Decimal(40), Decimal(0)), 60)
    assert books_check(full=True).is_clean
