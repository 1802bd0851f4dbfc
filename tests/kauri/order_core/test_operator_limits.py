"""An operator approves up to their limits, not what they edited, and a random share is seen by another."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.core.exceptions import ValidationError
from django.db import DatabaseError, connection, transaction

from kauri.account.models import User
from kauri.account.services import customer_verify
from kauri.common import clock
from kauri.common.actor import SYSTEM, Actor
from kauri.core import proposals
from kauri.core.audit import audit
from kauri.core.models import AuditEntry, Currency
from kauri.exchange_rate.services import usd_rate_set
from kauri.internal_movement_order import services as movements
from kauri.internal_movement_order.models import MovementDetail
from kauri.order_core import risk
from kauri.order_core.models import Approval, ApprovalVote, OperatorLimit, Order, Policy
from kauri.payment_provider.models import Payout
from kauri.withdrawal_order import services
from tests.moves import balance_of, code_of, give, sandbox_on, six_digits, withdraw

Make = Callable[..., User]
Op = Callable[..., Actor]


def rate(price: str = "0.025", code: str = "UAH") -> None:
    usd_rate_set(
        currency_id=Currency.objects.get(code=code).pk,
        price=price,
        source="central bank",
        good_for=timedelta(hours=48),
        actor=SYSTEM,
    )


@pytest.fixture
def ask(customer: Make) -> Callable[..., Order]:
    """A withdrawal of UAH of a new customer who has 10,000; 40 UAH are a dollar."""
    sandbox_on()
    rate()

    def make(amount: str = "4000") -> Order:
        user = customer()
        give(user, "UAH", "10000")
        return withdraw(user, amount, currency="UAH", to="sandbox:success")

    return make


def limit(who: Actor | str, **fields: Any) -> None:
    values = {name: Decimal(value) for name, value in fields.items()}
    if isinstance(who, str):
        OperatorLimit.objects.create(role=Group.objects.get(name=who), **values)
    else:
        OperatorLimit.objects.create(operator_id=int(who.id), **values)


def approve(order: Order, who: Actor) -> str:
    return code_of(lambda: services.withdrawal_approve(order_id=order.public_id, actor=who))


def reject(order: Order, who: Actor) -> str:
    return code_of(lambda: services.withdrawal_reject(order_id=order.public_id, actor=who, reason="no"))


def status(order: Order) -> str:
    return str(Order.objects.get(pk=order.pk).status)


WAITS = "WAITING_FOR_OPERATOR_CONFIRMATION"


def test_the_most_per_approval(ask: Callable[..., Order], operator: Op) -> None:
    who = operator()
    limit(who, per_approval="100")
    assert approve(ask("4000.01"), who) == "approval_limit_exceeded"
    assert (ApprovalVote.objects.count(), Payout.objects.count()) == (0, 0)
    order = ask("4000")
    assert approve(order, who) == "ok"
    assert ApprovalVote.objects.get().usd == Decimal(100)
    assert status(order) == "PAYMENT_IN_PROGRESS"


def test_an_order_above_the_limit_is_rejected_by_the_same_person_or_approved_by_another(
    ask: Callable[..., Order], operator: Op
) -> None:
    who = operator()
    limit(who, per_approval="0")
    first, second = ask(), ask()
    assert (approve(first, who), approve(second, who)) == ("approval_limit_exceeded",) * 2
    assert [entry.verb for entry in AuditEntry.objects.filter(verb__startswith="withdrawal_")] == []
    assert (reject(first, who), approve(second, operator())) == ("ok", "ok")
    assert (status(first), status(second)) == ("CANCELLED", "PAYMENT_IN_PROGRESS")
    assert ApprovalVote.objects.get(decision="reject").usd is None


def test_the_most_in_a_day_counts_every_approval_of_24_hours(ask: Callable[..., Order], operator: Op) -> None:
    who = operator()
    limit(who, per_day="250")
    orders = [ask() for _ in range(3)]
    assert [approve(order, who) for order in orders] == ["ok", "ok", "approval_limit_exceeded"]
    assert (status(orders[2]), Payout.objects.count()) == (WAITS, 2)
    assert risk.approved_lately(int(who.id)) == Decimal(200)
    with clock.standing_at(clock.now() + timedelta(hours=24, seconds=1)):
        assert approve(orders[2], who) == "ok"


def test_a_vote_keeps_the_rate_of_its_moment(ask: Callable[..., Order], operator: Op) -> None:
    who = operator()
    limit(who, per_day="250")
    order, next_order = ask(), ask()
    assert approve(order, who) == "ok"
    rate("0.05")
    assert approve(next_order, who) == "approval_limit_exceeded"  # 100 + 200
    rate("0.0375")
    assert approve(next_order, who) == "ok"  # 100 + 150
    assert sorted(ApprovalVote.objects.values_list("usd", flat=True)) == [Decimal(100), Decimal(150)]


def test_without_a_rate_a_limit_fails_closed_and_no_limit_asks_for_none(customer: Make, operator: Op) -> None:
    sandbox_on()
    bound, free = operator(), operator()
    limit(bound, per_day="1000000")
    user = customer()
    give(user, "UAH", "200")
    order = withdraw(user, "100", currency="UAH", to="sandbox:success")
    assert approve(order, bound) == "rate_unavailable"
    assert (status(order), ApprovalVote.objects.count()) == (WAITS, 0)
    assert "nobody knows the rate" in risk.obstacle(order, int(bound.id))
    assert approve(order, free) == "ok"
    assert ApprovalVote.objects.get().usd is None
    # A limit that comes later counts it by the rate of now.
    limit(free, per_day="1000000")
    assert code_of(lambda: risk.approved_lately(int(free.id))) == "rate_unavailable"
    rate()
    assert risk.approved_lately(int(free.id)) == Decimal("2.5")


def test_field_by_field_own_row_before_roles_and_the_strictest_of_these(operator: Op) -> None:
    who = operator("Treasury")
    User.objects.get(pk=int(who.id)).groups.add(Group.objects.get(name="Senior"))
    limit("Treasury", per_approval="100", second_look="5")
    limit("Senior", per_approval="1000", per_day="3000", second_look="20")
    limit("Finance", per_approval="1", per_day="1", second_look="100")
    assert risk.limits_of(int(who.id)) == risk.Limits(Decimal(100), Decimal(3000), Decimal(20))
    limit(who, per_approval="500", second_look="0")
    assert risk.limits_of(int(who.id)) == risk.Limits(Decimal(500), Decimal(3000), Decimal(0))
    assert risk.limits_of(int(operator("Auditor").id)) == risk.Limits(None, None, None)


def test_nobody_approves_for_whom_they_edited_today(ask: Callable[..., Order], operator: Op) -> None:
    editor, other = operator("Senior"), operator("Senior")
    order = ask()
    customer_verify(user_id=order.owner_id, level=2, reason="seen", actor=editor)
    assert approve(order, editor) == "edited_today"
    assert (status(order), ApprovalVote.objects.count()) == (WAITS, 0)
    assert risk.obstacle(order, int(editor.id)).startswith("You changed this customer's account")
    assert risk.obstacle(order, int(other.id)) == ""
    assert approve(ask(), editor) == "ok"
    with clock.standing_at(clock.now() + timedelta(hours=24, seconds=1)):
        assert risk.edited_lately(order, int(editor.id)) is False
    assert reject(order, editor) == "ok"


def edited_by(
    who: Actor, object_type: str, object_id: object, verb: str = "user_change", **more: Any
) -> None:
    audit(who, verb, object_type=object_type, object_id=object_id, **more)


def test_what_counts_as_an_edit(ask: Callable[..., Order], operator: Op) -> None:
    order = ask()
    lookers = [operator() for _ in range(3)]
    edited_by(lookers[0], "user", order.owner_id, "user_view")
    edited_by(lookers[1], "user", order.owner_id + 1)
    edited_by(lookers[2], "order", order.owner_id)
    assert [risk.edited_lately(order, int(who.id)) for who in lookers] == [False] * 3
    verifier = operator("Compliance")
    customer_verify(user_id=order.owner_id, level=2, reason="seen", actor=verifier)
    assert risk.edited_lately(order, int(verifier.id)) is True


def test_a_policy_of_the_customer_is_an_edit_for_its_maker_and_its_checker(
    ask: Callable[..., Order], operator: Op
) -> None:
    order = ask()
    maker, checker, stranger = operator("Administrator"), operator("Administrator"), operator("Administrator")
    values = {"operation": "WITHDRAWAL", "user": order.owner_id, "max_amount": "5000"}
    made = proposals.propose(
        target="order_core.policy", target_id="", values=values, reason="asked", actor=maker
    )
    assert risk.edited_lately(order, int(maker.id)) is True
    proposals.approve(proposal_id=made.public_id, actor=checker)
    assert Policy.objects.filter(user=order.owner_id).count() == 1
    found = [risk.edited_lately(order, int(who.id)) for who in (maker, checker, stranger)]
    assert found == [True, True, False]
    assert risk.edited_lately(ask(), int(maker.id)) is False


def test_movements_are_under_the_same_limits_and_both_sides_count(customer: Make, operator: Op) -> None:
    rate()
    Policy.objects.filter(operation="INTERNAL_MOVEMENT").update(approval_above=Decimal(0))
    sender, receiver = customer(), customer()
    give(sender, "UAH", "10000")
    request = movements.MovementRequest(
        user_id=sender.pk,
        currency="UAH",
        amount="4000",
        addressed_by=MovementDetail.AddressedBy.EMAIL,
        addressed_to=receiver.email,
    )
    order = movements.movement_create(request=request, actor=sender.as_actor())
    assert status(order) == WAITS
    bound, editor, free = operator(), operator(), operator()
    limit(bound, per_approval="99.99")
    edited_by(editor, "user", receiver.pk)

    def act(who: Actor) -> str:
        return code_of(lambda: movements.movement_approve(order_id=order.public_id, actor=who))

    assert (act(bound), act(editor)) == ("approval_limit_exceeded", "edited_today")
    assert balance_of(receiver, "UAH") == (0, 0)
    assert act(free) == "ok"
    assert balance_of(receiver, "UAH")[0] == Decimal(4000)


def test_a_picked_approval_needs_one_more_person(ask: Callable[..., Order], operator: Op) -> None:
    hit, missed = ask(), ask()
    first, lucky, second = operator(), operator(), operator()
    # Shares that the two draws just hit and just miss: a share of 12.34 % is hit by draws below 1,234.
    limit(first, second_look=str(Decimal(Approval.objects.get(order=hit).draw + 1) / 100))
    limit(lucky, second_look=str(Decimal(Approval.objects.get(order=missed).draw) / 100))
    assert (approve(hit, first), approve(missed, lucky)) == ("ok", "ok")
    assert (status(hit), status(missed)) == (WAITS, "PAYMENT_IN_PROGRESS")
    approval = Approval.objects.get(order=hit)
    assert (approval.needed, approval.second_look, approval.state) == (2, True, "pending")
    assert approve(hit, first) == "forbidden"
    assert approve(hit, second) == "ok"
    assert status(hit) == "PAYMENT_IN_PROGRESS"
    votes = ApprovalVote.objects.filter(approval=approval).order_by("id")
    assert [vote.picked for vote in votes] == [True, False]
    assert Approval.objects.get(order=missed).second_look is False


@pytest.mark.parametrize(("share", "state"), [("0", "PAYMENT_IN_PROGRESS"), ("100", WAITS)])
def test_none_and_all(ask: Callable[..., Order], operator: Op, share: str, state: str) -> None:
    limit("Treasury", second_look=share)
    order = ask()
    assert approve(order, operator()) == "ok"
    assert status(order) == state


def test_each_order_has_a_draw_of_its_own(ask: Callable[..., Order]) -> None:
    orders = [ask() for _ in range(8)]
    draws = set(Approval.objects.filter(order__in=orders).values_list("draw", flat=True))
    assert len(draws) > 1
    assert all(0 <= number < 10_000 for number in draws)


def refused(sql: str, *params: object) -> str:
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(sql, params)
    except DatabaseError as error:
        return str(error)
    return "ok"


def test_the_database_holds_it(ask: Callable[..., Order], operator: Op) -> None:
    limit("Treasury", second_look="100")
    order = ask()
    assert approve(order, operator()) == "ok"
    table = "update order_core_approval set {} where order_id = %s"
    for change, words in (
        ("draw = (draw + 1) % 10000", "its draw"),
        ("second_look = false", "fewer people"),
        ("needed = 1, second_look = false", "fewer people"),
        ("state = 'approved'", "has the votes"),
    ):
        assert words in refused(table.format(change.replace("%", "%%")), order.pk), change
    insert = (
        "insert into order_core_operatorlimit (role_id, operator_id, per_approval, per_day, second_look)"
        " values (%s, %s, %s, %s, %s)"
    )
    role, person = Group.objects.get(name="Senior").pk, int(operator().id)
    for values, name in (
        ((role, person, 1, None, None), "operator_limit_of_one"),
        ((None, None, 1, None, None), "operator_limit_of_one"),
        ((role, None, -1, None, None), "operator_limit_per_approval"),
        ((role, None, "NaN", None, None), "operator_limit_per_approval"),
        ((None, person, None, -1, None), "operator_limit_per_day"),
        ((None, person, None, None, "100.01"), "operator_limit_second_look"),
    ):
        assert name in refused(insert, *values)


def test_a_limit_is_proposed_and_of_operators_only(customer: Make, operator: Op) -> None:
    maker, checker = operator("Administrator"), operator("Administrator")
    person = int(operator().id)

    def propose(**values: Any) -> Any:
        return proposals.propose(
            target="order_core.operatorlimit",
            target_id="",
            values=values,
            reason="new",
            actor=maker,
            code=six_digits(maker),
        )

    made = propose(operator=person, per_day="1000")
    assert OperatorLimit.objects.count() == 0
    assert code_of(lambda: proposals.approve(proposal_id=made.public_id, actor=maker)) == "forbidden"
    proposals.approve(proposal_id=made.public_id, actor=checker, code=six_digits(checker))
    assert OperatorLimit.objects.get().per_day == Decimal(1000)
    assert code_of(lambda: propose(operator=customer().pk, per_day="1")) == "validation_error"
    assert code_of(lambda: propose(per_day="1")) == "validation_error"
    assert code_of(lambda: propose(operator=int(operator().id), second_look="101")) == "validation_error"
    with pytest.raises(ValidationError):
        OperatorLimit(operator=customer(), per_day=Decimal(1)).full_clean()
