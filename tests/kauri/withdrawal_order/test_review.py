"""The review rules: each kind on both sides of its threshold, whom it is about, and that unknown is a hit."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction

from backoffice import defaults
from kauri.account.models import CustomerGroup, User
from kauri.common import clock
from kauri.common.actor import SYSTEM, Actor
from kauri.core import proposals
from kauri.core.models import Currency
from kauri.exchange_rate.services import usd_rate_set
from kauri.order_core.models import Approval, Order
from kauri.payment_provider.models import Payout
from kauri.withdrawal_order.models import ReviewRule
from tests.kauri.withdrawal_order.conftest import ask, policy, rules_of
from tests.moves import code_of, give


def rule(kind: str, **fields: Any) -> ReviewRule:
    return ReviewRule.objects.create(kind=kind, **fields)


def hit(user: User, amount: str = "100", **fields: Any) -> list[tuple[str, str]]:
    """(value, limit) of every rule that a withdrawal hits."""
    order = ask(user, amount, **fields)
    return [(rule["value"], rule["limit"]) for rule in order.explanation["rules"]]


def rate(price: str) -> None:
    usd_rate_set(
        currency_id=Currency.objects.get(code="UAH").pk,
        price=price,
        source="bank",
        good_for=timedelta(hours=1),
        actor=SYSTEM,
    )


def test_amount_in_the_orders_currency_and_in_dollars(user: User) -> None:
    row = rule("amount", threshold=100)
    assert hit(user) == []
    assert hit(user, "100.01") == [("100.01 UAH", "100 UAH")]
    ReviewRule.objects.filter(pk=row.pk).update(threshold=2, unit="usd")
    assert hit(user) == [("unknown", "rate_unavailable")], "a rule that can't be evaluated counts as hit"
    rate("0.02")
    assert hit(user) == []
    assert hit(user, "101") == [("2.02 USD", "2 USD")]


def test_a_hit_is_kept_where_people_read_it(user: User) -> None:
    row = rule("amount", threshold=50, approvals_needed=3)
    rule("level", threshold=2, approvals_needed=2)
    order = ask(user)
    approval = Approval.objects.get(order=order)
    assert approval.needed == 3
    assert approval.rules == order.explanation["rules"]
    assert approval.rules[0] == {
        "rule": "review_amount",
        "text": "The amount is above a review rule",
        "value": "100 UAH",
        "limit": "50 UAH",
        "review_rule": row.pk,
    }
    assert rules_of(order) == ["review_amount", "review_level"]
    assert Payout.objects.count() == 0


def test_the_policy_may_ask_for_more_people(user: User) -> None:
    policy(approvals_needed=2)
    rule("amount", threshold=50, approvals_needed=1)
    assert Approval.objects.get(order=ask(user)).needed == 2


def test_sum_and_number_of_the_last_hours(user: User, monkeypatch: pytest.MonkeyPatch) -> None:
    rule("sum", threshold=200, hours=12)
    rule("count", threshold=2, hours=12)
    assert hit(user) == []
    assert hit(user) == []
    assert hit(user) == [("300 UAH", "200 UAH"), ("3", "2")]
    now = clock.now() + timedelta(hours=12, seconds=1)
    monkeypatch.setattr(clock, "now", lambda: now)
    assert hit(user) == []


def test_a_sum_in_dollars_without_a_currency_counts_all_of_them(user: User) -> None:
    rate("0.02")
    give(user, "USD", "1000")
    from tests.moves import withdraw

    row = rule("sum", threshold=5, hours=24, unit="usd")
    order = withdraw(user, "50", currency="USD", to="sandbox:success")
    assert order.explanation["rules"][0]["value"] == "50 USD"
    ReviewRule.objects.filter(pk=row.pk).update(threshold=51)
    assert hit(user) == [("52 USD", "51 USD")]
    ReviewRule.objects.filter(pk=row.pk).update(currency=Currency.objects.get(code="UAH"))
    assert hit(user) == []


def test_verification_level_and_age_of_the_account(user: User) -> None:
    level = rule("level", threshold=2)
    assert hit(user) == [("1", "2")]
    ReviewRule.objects.filter(pk=level.pk).update(threshold=1)
    assert hit(user) == []
    rule("young", hours=48)
    assert hit(user) == [("0 h", "48 h")]
    User.objects.filter(pk=user.pk).update(created_at=clock.now() - timedelta(hours=48, seconds=1))
    assert hit(user) == []


@pytest.mark.parametrize(
    ("kind", "country", "is_hit"),
    [
        ("country_in", "KP", True),
        ("country_in", "UA", False),
        ("country_in", "", True),
        ("country_not_in", "KP", False),
        ("country_not_in", "UA", True),
        ("country_not_in", "", True),
    ],
)
def test_country(user: User, kind: str, country: str, is_hit: bool) -> None:
    rule(kind, countries="KP, IR")
    expected = [(country or "unknown", "IR, KP")] if is_hit else []
    assert hit(user, country=country) == expected
    assert Order.objects.get().withdrawal.country == country


def test_whom_and_what_a_rule_is_about(user: User) -> None:
    other = CustomerGroup.objects.create(code="large", title="Large")
    rule("amount", threshold=1, group=other)
    rule("amount", threshold=1, currency=Currency.objects.get(code="USDT"))
    rule("amount", threshold=1, is_enabled=False)
    assert hit(user) == []
    User.objects.filter(pk=user.pk).update(group=other)
    assert len(hit(user)) == 1


def test_a_risk_rule_without_analysis_is_hit(user: User) -> None:
    rule("risk", threshold="0.3")
    assert hit(user) == [("unknown", "0.3")]


def test_the_seeded_rule_does_what_the_code_did(user: User, drain: Callable[..., int]) -> None:
    ReviewRule.objects.update(is_enabled=True)
    [seeded] = ReviewRule.objects.all()
    order = ask(user)
    assert order.explanation["rules"] == [
        {
            "rule": "new_destination",
            "text": "The customer has never been paid at this destination",
            "value": "sandbox:success",
            "limit": "",
            "review_rule": seeded.pk,
        }
    ]
    ReviewRule.objects.update(is_enabled=False)
    ask(user)
    drain()
    ReviewRule.objects.update(is_enabled=True)
    assert hit(user) == [], "paid here before"
    assert defaults.load()["review rules"] == 0
    assert ReviewRule.objects.count() == 1


def test_two_people_change_a_rule(user: User, operator: Callable[..., Actor]) -> None:
    maker, checker = operator("Administrator"), operator("Administrator")
    made = proposals.propose(
        target="withdrawal_order.reviewrule",
        target_id="",
        values={"kind": "amount", "threshold": "70", "approvals_needed": 2, "is_enabled": True},
        reason="big ones are looked at",
        actor=maker,
    )
    assert code_of(lambda: proposals.approve(proposal_id=made.public_id, actor=maker)) == "forbidden"
    assert hit(user) == []
    proposals.approve(proposal_id=made.public_id, actor=checker)
    assert hit(user) == [("100 UAH", "70 UAH")]
    row = ReviewRule.objects.get(kind="amount")
    assert "big ones are looked at" in row.history.get().history_change_reason
    refused = lambda: proposals.propose(  # noqa: E731
        target="withdrawal_order.reviewrule",
        target_id=str(row.pk),
        values={"threshold": "5"},
        reason="me too",
        actor=operator("Treasury"),
    )
    assert code_of(refused) == "forbidden"


@pytest.mark.parametrize(
    ("fields", "constraint"),
    [
        ({"kind": "amount"}, "review_rule_threshold"),
        ({"kind": "amount", "threshold": Decimal(-1)}, "review_rule_threshold"),
        ({"kind": "new_destination", "threshold": 1}, "review_rule_threshold"),
        ({"kind": "sum", "threshold": 1}, "review_rule_hours"),
        ({"kind": "amount", "threshold": 1, "hours": 1}, "review_rule_hours"),
        ({"kind": "young", "hours": 0}, "review_rule_hours"),
        ({"kind": "country_in"}, "review_rule_countries"),
        ({"kind": "level", "threshold": 1, "countries": "UA"}, "review_rule_countries"),
        ({"kind": "level", "threshold": 1, "unit": "usd"}, "review_rule_unit"),
        ({"kind": "risk", "threshold": 2}, "review_rule_score"),
        ({"kind": "amount", "threshold": 1, "approvals_needed": 4}, "review_rule_approvals"),
        ({"kind": "amount", "threshold": 1, "approvals_needed": 0}, "review_rule_approvals"),
    ],
)
def test_no_rule_is_half_said(house: None, fields: dict[str, Any], constraint: str) -> None:
    with pytest.raises(ValidationError):
        ReviewRule(**fields).full_clean()
    with pytest.raises(IntegrityError, match=constraint), transaction.atomic():
        ReviewRule.objects.bulk_create([ReviewRule(**fields)])


@pytest.mark.parametrize("countries", ["Ukraine", "U", "UA;PL", "12"])
def test_countries_are_two_letters(house: None, countries: str) -> None:
    with pytest.raises(ValidationError, match="Two letters"):
        ReviewRule(kind="country_in", countries=countries).full_clean()
