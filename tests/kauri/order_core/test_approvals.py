"""People decide: two where two are asked for, nobody on their own, nobody twice, nobody over another."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

import pytest

from kauri.account.models import User
from kauri.balance import invariants
from kauri.common.actor import SYSTEM, Actor
from kauri.core.models import AuditEntry
from kauri.order_core.models import Approval, ApprovalVote, Order, Policy
from kauri.payment_provider.models import Payout
from kauri.withdrawal_order import paying, services, waiting
from tests.moves import balance_of, code_of, events, give, queued, sandbox_on, withdraw


@pytest.fixture
def order(customer: Callable[..., User]) -> Order:
    """100 UAH (fee 5) to a new destination: an operator must look."""
    sandbox_on()
    user = customer()
    give(user, "UAH", "200")
    return withdraw(user, "100", currency="UAH", to="sandbox:success")


def approve(order: Order, actor: Actor) -> str:
    return code_of(lambda: services.withdrawal_approve(order_id=order.public_id, actor=actor))


def reject(order: Order, actor: Actor, reason: str = "no") -> str:
    return code_of(lambda: services.withdrawal_reject(order_id=order.public_id, actor=actor, reason=reason))


def take(order: Order, actor: Actor) -> str:
    return code_of(lambda: waiting.withdrawal_take(order_id=order.public_id, actor=actor))


def status(order: Order) -> str:
    return Order.objects.get(pk=order.pk).status


def test_one_approval_sends_it_on_its_way(order: Order, operator: Callable[..., Actor]) -> None:
    who = operator()
    assert approve(order, who) == "ok"
    assert status(order) == "PAYMENT_IN_PROGRESS"
    assert Payout.objects.get().amount == Decimal(100)
    assert queued("payout_advance") == [(Payout.objects.get().pk,)]
    assert [(vote.actor_id, vote.decision) for vote in ApprovalVote.objects.all()] == [(who.id, "approve")]
    [entry] = AuditEntry.objects.filter(verb="withdrawal_approve")
    assert (entry.actor_id, entry.before, entry.ip) == (
        who.id,
        {"status": "WAITING_FOR_OPERATOR_CONFIRMATION"},
        "127.0.0.1",
    )
    assert [approve(order, operator()), reject(order, operator())] == ["wrong_state"] * 2
    assert Payout.objects.count() == 1


def test_two_approvals_by_two_people(customer: Callable[..., User], operator: Callable[..., Actor]) -> None:
    Policy.objects.filter(operation="WITHDRAWAL", currency=None).update(approvals_needed=2)
    sandbox_on()
    user = customer()
    give(user, "UAH", "200")
    order = withdraw(user, "100", currency="UAH", to="sandbox:success")
    first, second = operator(), operator()
    assert approve(order, first) == "ok"
    assert (status(order), Payout.objects.count()) == ("WAITING_FOR_OPERATOR_CONFIRMATION", 0)
    assert approve(order, first) == "forbidden"
    assert reject(order, first) == "forbidden"
    assert Payout.objects.count() == 0
    assert approve(order, second) == "ok"
    assert (status(order), Payout.objects.count()) == ("PAYMENT_IN_PROGRESS", 1)


def test_one_no_is_enough(customer: Callable[..., User], operator: Callable[..., Actor]) -> None:
    Policy.objects.filter(operation="WITHDRAWAL", currency=None).update(approvals_needed=2)
    sandbox_on()
    user = customer()
    give(user, "UAH", "200")
    order = withdraw(user, "100", currency="UAH", to="sandbox:success")
    assert approve(order, operator()) == "ok"
    assert reject(order, operator(), "  suspicious  ") == "ok"
    assert status(order) == "CANCELLED"
    assert [row.to_status for row in order.transitions.all()][-2:] == ["CANCELLED_BY_OPERATOR", "CANCELLED"]
    assert order.transitions.last().reason == "suspicious"  # type: ignore[union-attr]
    assert balance_of(user, "UAH") == (200, 0)
    assert Payout.objects.count() == 0
    assert invariants.broken_laws() == []


@pytest.mark.parametrize("reason", ["", "   "])
def test_a_no_has_a_reason(order: Order, operator: Callable[..., Actor], reason: str) -> None:
    assert reject(order, operator(), reason) == "validation_error"
    assert status(order) == "WAITING_FOR_OPERATOR_CONFIRMATION"


def test_who_may_not_decide(order: Order, operator: Callable[..., Actor]) -> None:
    owner = order.owner
    strangers = [owner.as_actor(), SYSTEM, operator("Auditor"), operator("Administrator")]
    sacked = operator()
    User.objects.filter(pk=int(sacked.id)).update(is_active=False)
    for who in (*strangers, sacked):
        assert (approve(order, who), reject(order, who), take(order, who)) == ("forbidden",) * 3
    assert (status(order), ApprovalVote.objects.count()) == ("WAITING_FOR_OPERATOR_CONFIRMATION", 0)
    assert AuditEntry.objects.filter(verb__startswith="withdrawal_").count() == 0


def test_nobody_decides_on_their_own_order(order: Order, operator: Callable[..., Actor]) -> None:
    """A customer who became an operator."""
    who = operator()
    user = User.objects.get(pk=int(who.id))
    user.verification_level = 1
    user.save()
    give(user, "UAH", "200")
    own = withdraw(user, "100", currency="UAH", to="sandbox:success")
    assert (approve(own, who), reject(own, who)) == ("forbidden", "forbidden")
    assert status(own) == "WAITING_FOR_OPERATOR_CONFIRMATION"


def test_taken_by_another(order: Order, operator: Callable[..., Actor]) -> None:
    first, second = operator(), operator()
    assert (take(order, first), take(order, first), take(order, second)) == ("ok", "ok", "wrong_state")
    assert (approve(order, second), reject(order, second)) == ("wrong_state", "wrong_state")
    assert ApprovalVote.objects.count() == 0
    waiting.withdrawal_untake(order_id=order.public_id, actor=second)
    assert Approval.objects.get().taken_by is None
    assert approve(order, second) == "ok"
    assert take(order, first) == "wrong_state"
    verbs = AuditEntry.objects.filter(object_id=str(order.public_id)).order_by("id")
    assert [entry.verb for entry in verbs] == [
        "withdrawal_take",
        "withdrawal_take",
        "withdrawal_untake",
        "withdrawal_approve",
    ]


def test_operators_are_told_why(order: Order) -> None:
    [event] = events("approval.waiting")
    assert (event.payload["amount"], event.payload["currency"]) == ("100", "UAH")
    assert event.payload["customer"] == order.owner.email
    assert event.payload["rules"] == ["The customer has never been paid at this destination"]


def test_a_known_destination_below_the_limit_asks_nobody(
    order: Order, operator: Callable[..., Actor]
) -> None:
    approve(order, operator())
    paying.payout_advance(Payout.objects.get().pk)
    assert status(order) == "CLOSED"
    second = withdraw(order.owner, "50", currency="UAH", to="sandbox:success")
    assert second.status == "PAYMENT_IN_PROGRESS"
    assert Approval.objects.count() == 1
