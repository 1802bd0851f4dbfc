"""One operator with two windows: what they approve at once is counted one by one."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal

import pytest

from kauri.account.models import User
from kauri.balance import invariants
from kauri.common.actor import SYSTEM, Actor
from kauri.core.models import Currency
from kauri.exchange_rate.services import usd_rate_set
from kauri.order_core.models import ApprovalVote, OperatorLimit, Order
from kauri.payment_provider.models import Payout
from kauri.withdrawal_order import services as withdrawals
from tests.moves import code_of, give, sandbox_on, together, withdraw

pytestmark = pytest.mark.django_db(transaction=True)


def test_approvals_at_once_do_not_pass_the_limit_of_the_day(
    customer: Callable[..., User], operator: Callable[..., Actor]
) -> None:
    sandbox_on()
    usd_rate_set(
        currency_id=Currency.objects.get(code="UAH").pk,
        price="0.025",
        source="central bank",
        good_for=timedelta(hours=1),
        actor=SYSTEM,
    )
    who = operator()
    OperatorLimit.objects.create(operator_id=int(who.id), per_day=Decimal(250))
    orders: list[Order] = []
    for _ in range(4):
        user = customer()
        give(user, "UAH", "10000")
        orders.append(withdraw(user, "4000", currency="UAH", to="sandbox:success"))
    results = together(
        4,
        lambda number: code_of(
            lambda: withdrawals.withdrawal_approve(order_id=orders[number].public_id, actor=who)
        ),
    )
    assert sorted(results) == ["approval_limit_exceeded"] * 2 + ["ok"] * 2
    assert (ApprovalVote.objects.count(), Payout.objects.count()) == (2, 2)
    assert invariants.broken_laws() == []
