"""Money of an account that was taken over, or may have been: looked at, or kept, before it leaves."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from kauri.account.models import OneTimeLink, User
from kauri.account.passwords import set_new_password
from kauri.account.services import account_enable, account_freeze, link_issue
from kauri.common import clock
from kauri.internal_movement_order.models import MovementDetail
from kauri.internal_movement_order.services import MovementRequest, movement_create
from kauri.order_core.models import Order, Policy
from kauri.order_core.states import OrderStatus
from kauri.payment_provider.models import Payout
from kauri.withdrawal_order.paying import payouts_sweep
from tests.moves import approved, balance_of, give, later, sandbox_on, withdraw

RULE = "security_changed"


@pytest.fixture
def user(customer: Callable[..., User], operator: Callable[..., Any], drain: Callable[..., int]) -> User:
    """A customer with 895 UAH who was paid at this destination before: nothing else asks for an operator."""
    sandbox_on()
    Policy.objects.update(approval_above=None)
    person = customer()
    give(person, "UAH", "1000")
    order, _ = approved(person, operator("Treasury"), "100", currency="UAH", to="sandbox:success")
    drain()
    assert Order.objects.get(pk=order.pk).status == OrderStatus.CLOSED
    return person


def reset(user: User) -> None:
    token = link_issue(user, OneTimeLink.Purpose.RESET)
    set_new_password(token=token, password="quite another passphrase", ip="203.0.113.9")


def ask(user: User) -> Order:
    return withdraw(User.objects.get(pk=user.pk), "100", currency="UAH", to="sandbox:success")


def rules(order: Order) -> list[str]:
    return [rule["rule"] for rule in Order.objects.get(pk=order.pk).explanation["rules"]]


def test_after_a_reset_an_operator_looks_and_the_order_says_why(user: User) -> None:
    assert (ask(user).status, Payout.objects.count()) == (OrderStatus.PAYMENT_IN_PROGRESS, 2)
    reset(user)
    order = ask(user)
    assert (order.status, rules(order)) == (OrderStatus.WAITING_FOR_OPERATOR_CONFIRMATION, [RULE])
    assert Payout.objects.count() == 2
    [rule] = order.explanation["rules"]
    changed = User.objects.get(pk=user.pk).security_changed_at
    assert changed is not None
    assert rule["value"] == f"{clock.iso(changed)} – {clock.iso(changed + timedelta(hours=24))}"
    assert order.approval.rules == [rule]
    with clock.standing_at(later(hours=24, seconds=1)):
        free = ask(user)
    assert (free.status, rules(free)) == (OrderStatus.PAYMENT_IN_PROGRESS, [])


@pytest.mark.parametrize(("hours", "expected"), [(0, []), (48, [RULE])])
def test_how_long_is_a_setting(user: User, settings: Any, hours: int, expected: list[str]) -> None:
    settings.KAURI = settings.KAURI.model_copy(update={"cooling_off_hours": hours})
    reset(user)
    with clock.standing_at(later(hours=30)):
        assert rules(ask(user)) == expected


def test_to_another_customer_is_a_way_out_too(user: User, customer: Callable[..., User]) -> None:
    friend = customer()
    reset(user)
    order = movement_create(
        request=MovementRequest(
            user_id=user.pk,
            currency="UAH",
            amount="10",
            addressed_by=MovementDetail.AddressedBy.EMAIL,
            addressed_to=friend.email,
        ),
        actor=user.as_actor(),
    )
    assert (order.status, rules(order)) == (OrderStatus.WAITING_FOR_OPERATOR_CONFIRMATION, [RULE])
    assert balance_of(friend, "UAH")[0] == 0


def test_a_frozen_accounts_payout_waits_for_an_operator(
    user: User, operator: Callable[..., Any], drain: Callable[..., int]
) -> None:
    order = ask(user)
    account_freeze(token=link_issue(user, OneTimeLink.Purpose.FREEZE), ip="203.0.113.9")
    drain()
    payout = Payout.objects.get(order_id=order.public_id)
    assert (payout.state, payout.last_error) == (Payout.State.NEW, "the customer froze the account")
    assert balance_of(user, "UAH") == (Decimal(790), Decimal(105))
    with clock.standing_at(later(hours=1)):
        payouts_sweep()
        drain()
    payout.refresh_from_db()
    assert (payout.state, payout.payload, payout.sent_at) == (Payout.State.NEW, "", None)
    account_enable(user_id=user.pk, reason="called back", actor=operator("Compliance"))
    with clock.standing_at(later(hours=2)):
        payouts_sweep()
        drain()
    payout.refresh_from_db()
    assert payout.state == Payout.State.CONFIRMED
    assert Order.objects.get(pk=order.pk).status == OrderStatus.CLOSED


def test_what_was_sent_before_the_freeze_is_followed_to_its_end(
    user: User, operator: Callable[..., Any], drain: Callable[..., int]
) -> None:
    order, payout = approved(user, operator("Treasury"), "100", currency="UAH", to="sandbox:delay:5")
    drain()
    payout.refresh_from_db()
    assert payout.state == Payout.State.SENT
    account_freeze(token=link_issue(user, OneTimeLink.Purpose.FREEZE), ip="203.0.113.9")
    with clock.standing_at(later(hours=1)):
        payouts_sweep()
        drain()
    payout.refresh_from_db()
    assert payout.state == Payout.State.CONFIRMED
    assert Order.objects.get(pk=order.pk).status == OrderStatus.CLOSED
