"""A dry run says what a changed policy would have done, order by order, and changes nothing."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from kauri.account.models import User
from kauri.common import clock
from kauri.core.models import Currency
from kauri.order_core.dry_run import DryRun, policy_dry_run
from kauri.order_core.models import Order, Policy
from tests.moves import code_of, give, sandbox_on, withdraw


@pytest.fixture
def orders(customer: Callable[..., User]) -> tuple[Policy, list[Order]]:
    """One customer's withdrawals of 100, 200 and 300 UAH on three days, and another's of 100."""
    sandbox_on()
    first, second = customer(), customer()
    now = clock.now()
    made = []
    for user in (first, second):
        give(user, "UAH", "5000")
    for days, amount, user in ((3, "100", first), (2, "200", first), (2, "100", second), (1, "300", first)):
        with clock.standing_at(now - timedelta(days=days)):
            made.append(withdraw(user, amount, currency="UAH", to="sandbox:success"))
    return Policy.objects.get(operation="WITHDRAWAL", currency__code="UAH"), made


def run(policy: Policy | None, days: int = 7, **values: Any) -> DryRun:
    return policy_dry_run(None if policy is None else policy.pk, values, days)


def test_an_unchanged_policy_changes_nothing(orders: tuple[Policy, list[Order]]) -> None:
    policy, _ = orders
    found = run(policy)
    assert (found.looked_at, found.is_nothing, found.rows) == (4, True, [])
    assert run(policy, min_amount="50").is_nothing


def test_what_would_have_been_blocked_and_approved(orders: tuple[Policy, list[Order]]) -> None:
    policy, (a, b, c, d) = orders
    found = run(policy, min_amount="150", approval_above="250")
    assert (found.looked_at, found.blocked, found.to_approval) == (4, 2, 1)
    assert [(row.order.pk, row.before, row.after) for row in found.rows] == [
        (a.pk, "passed", "below_minimum"),
        (c.pk, "passed", "below_minimum"),
        (d.pk, "passed", "approval"),
    ]
    assert b.pk not in {row.order.pk for row in found.rows}
    assert run(policy, days=1, min_amount="150").looked_at == 0


def test_totals_run_on_under_the_changed_policy(orders: tuple[Policy, list[Order]]) -> None:
    policy, (a, b, c, d) = orders
    # 100, then 200 would be 300: blocked. Without it the last one makes 400: blocked too.
    found = run(policy, monthly_amount="299")
    assert [(row.order.pk, row.after) for row in found.rows] == [
        (b.pk, "limit_exceeded"),
        (d.pk, "limit_exceeded"),
    ]
    # With the first blocked by its minimum, 200 alone fits; 300 more does not.
    found = run(policy, monthly_amount="299", min_amount="150")
    assert [(row.order.pk, row.after) for row in found.rows] == [
        (a.pk, "below_minimum"),
        (c.pk, "below_minimum"),
        (d.pk, "below_minimum" if d.amount_out < 150 else "limit_exceeded"),
    ]


def test_fees_would_have_been(orders: tuple[Policy, list[Order]]) -> None:
    policy, _ = orders
    assert policy.fee_min == Decimal(5)
    found = run(policy, fee_min="7.50")
    assert (found.fees, found.blocked) == ({"UAH": Decimal(10)}, 0)
    assert {(row.fee_before, row.fee_after) for row in found.rows} == {(Decimal(5), Decimal("7.50"))}


def test_a_new_row_is_tried_too(orders: tuple[Policy, list[Order]]) -> None:
    _, (a, b, _c, d) = orders
    found = run(None, operation="WITHDRAWAL", user=a.owner_id, enabled=False)
    assert [row.order.pk for row in found.rows] == [a.pk, b.pk, d.pk]
    assert {row.after for row in found.rows} == {"operation_disabled"}
    eur = Currency.objects.get(code="EUR").pk
    assert run(None, operation="WITHDRAWAL", currency=eur, enabled=False).is_nothing


def test_in_dollars_without_a_rate_everything_is_blocked(orders: tuple[Policy, list[Order]]) -> None:
    policy, _ = orders
    found = run(policy, unit="usd", max_amount="100")
    assert {row.after for row in found.rows} == {"rate_unavailable"}
    assert found.blocked == 4


def test_nothing_is_written_in_few_queries(
    orders: tuple[Policy, list[Order]], django_assert_num_queries: Any
) -> None:
    policy, _ = orders
    before = Policy.history.count(), Order.objects.count()
    with django_assert_num_queries(5):
        run(policy, max_amount="1")
    assert (Policy.history.count(), Order.objects.count()) == before
    policy.refresh_from_db()
    assert policy.max_amount == Decimal(1_000_000)


def test_what_can_not_be_tried(house: None) -> None:
    policy = Policy.objects.all()[0]
    assert code_of(lambda: run(policy, days=0)) == "validation_error"
    assert code_of(lambda: run(policy, days=91)) == "validation_error"
    assert code_of(lambda: run(None)) == "validation_error"
    assert code_of(lambda: policy_dry_run(10**6, {}, 7)) == "not_found"
