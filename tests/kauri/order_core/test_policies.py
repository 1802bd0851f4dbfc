"""Each field comes from the most specific row that sets it; limits and fees to the last digit."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kauri.account.models import CustomerGroup, User
from kauri.common import clock
from kauri.common.errors import KauriError
from kauri.core.models import Currency
from kauri.order_core import policies
from kauri.order_core.models import POLICY_FIELDS, Policy
from kauri.order_core.policies import Resolved
from kauri.order_core.states import OrderType
from tests.moves import code_of, give, sandbox_on, withdraw

START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
#: Every scope that a row can have, and the values it may set; None leaves the field alone.
WHO = ("everyone", "personal", "business", "group", "other group", "user", "other user")
SCOPES = tuple(itertools.product(WHO, ("", "UAH", "USD")))
FIELDS = ("enabled", "min_amount", "fee_percent", "daily_count")
ROW = st.fixed_dictionaries(
    {
        "enabled": st.sampled_from([None, True, False]),
        "min_amount": st.sampled_from([None, Decimal(0), Decimal(1), Decimal("2.5")]),
        "fee_percent": st.sampled_from([None, Decimal(0), Decimal("0.5")]),
        "daily_count": st.sampled_from([None, 0, 3]),
    }
)


@pytest.fixture
def people(customer: Callable[..., User]) -> dict[str, Any]:
    group = CustomerGroup.objects.create(code="tested", title="Tested")
    return {
        "user": customer(group=group),
        "other user": customer(),
        "group": group,
        "other group": CustomerGroup.objects.create(code="untested", title="Other"),
    }


def scope(who: str, people: dict[str, Any]) -> dict[str, Any]:
    if who in {"personal", "business"}:
        return {"account_type": who}
    if who.endswith("group"):
        return {"group": people[who]}
    return {"user": people[who]} if who.endswith("user") else {}


@given(rows=st.dictionaries(st.sampled_from(SCOPES), ROW, max_size=12))
@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    derandomize=True,
)
def test_resolution_agrees_with_a_walk_from_the_most_specific_scope(
    people: dict[str, Any], rows: dict[tuple[str, str], dict[str, Any]]
) -> None:
    Policy.objects.all().delete()
    made = {}
    for (who, code), values in rows.items():
        currency = Currency.objects.get(code=code) if code else None
        made[who, code] = Policy(operation="WITHDRAWAL", currency=currency, **scope(who, people), **values)
        made[who, code].save_without_historical_record()
        # The same scope of another operation says nothing here.
        Policy(
            operation="DEPOSIT", currency=currency, **scope(who, people), enabled=False
        ).save_without_historical_record()
    found = policies.resolve(OrderType.WITHDRAWAL, Currency.objects.get(code="UAH"), people["user"])
    order = [(who, code) for who in ("user", "group", "personal", "everyone") for code in ("UAH", "")]
    for name in FIELDS:
        expected = next(
            (made[key] for key in order if key in made and getattr(made[key], name) is not None), None
        )
        assert found[name] == (getattr(expected, name) if expected else None)
        assert found.origin.get(name) == (expected.pk if expected else None)
    assert set(found.values) == set(found.origin) <= set(POLICY_FIELDS)


def test_resolution_is_one_query(people: dict[str, Any], django_assert_num_queries: Any) -> None:
    uah = Currency.objects.get(code="UAH")
    with django_assert_num_queries(1):
        policies.resolve(OrderType.WITHDRAWAL, uah, people["user"])


def test_a_customer_without_a_group(customer: Callable[..., User], people: dict[str, Any]) -> None:
    Policy.objects.create(operation="WITHDRAWAL", group=people["group"], min_amount=Decimal(7))
    found = policies.resolve(OrderType.WITHDRAWAL, Currency.objects.get(code="BTC"), customer(group=None))
    assert found["min_amount"] == Decimal("0.0005")


def resolved(scale: int, **values: Any) -> Resolved:
    return Resolved(
        operation=OrderType.WITHDRAWAL,
        currency=Currency(code="X", scale=scale),
        values={name: None if value is None else Decimal(value) for name, value in values.items()},
        origin={},
        units={},
        wide=frozenset(),
    )


@pytest.mark.parametrize(
    ("scale", "amount", "values", "fee"),
    [
        (8, "4029.21576113", {"fee_percent": "0.5"}, "20.14607881"),
        (6, "40", {"fee_percent": "0.5", "fee_min": "1", "fee_max": "50"}, "1"),
        (6, "200", {"fee_percent": "0.5", "fee_min": "1", "fee_max": "50"}, "1"),
        (6, "200.000001", {"fee_percent": "0.5", "fee_min": "1", "fee_max": "50"}, "1.000001"),
        (6, "10000", {"fee_percent": "0.5", "fee_min": "1", "fee_max": "50"}, "50"),
        (6, "10000.01", {"fee_percent": "0.5", "fee_min": "1", "fee_max": "50"}, "50"),
        (2, "100", {"fee_percent": "0.0001"}, "0.01"),
        (2, "0.01", {"fee_percent": "0.0001", "fee_fixed": "1.50"}, "1.51"),
        (18, "1", {"fee_percent": "0.0001"}, "0.000001"),
        (18, "99999999999999999999.999999999999999999", {"fee_percent": "0.5"}, "500000000000000000"),
        (2, "100", {}, "0"),
        (2, "100", {"fee_fixed": "2", "fee_percent": "1"}, "3"),
    ],
)
def test_fees_of_known_amounts(scale: int, amount: str, values: dict[str, str], fee: str) -> None:
    found = resolved(scale, **values).fee(Decimal(amount))
    assert found == Decimal(fee)
    assert -found.as_tuple().exponent <= scale  # type: ignore[operator]


@given(
    amount=st.decimals(min_value="0.01", max_value="1000000", places=2),
    percent=st.decimals(min_value="0", max_value="99", places=4),
)
@settings(max_examples=200, deadline=None, derandomize=True)
def test_a_fee_is_the_next_step_at_or_above_its_percentage(amount: Decimal, percent: Decimal) -> None:
    fee = resolved(2, fee_percent=percent).fee(amount)
    exact = amount * percent / 100
    assert exact <= fee < exact + Decimal("0.01")


@pytest.fixture
def uah(customer: Callable[..., User]) -> tuple[User, Policy]:
    """A customer with money, and the policy row that rules them."""
    sandbox_on()
    user = customer()
    give(user, "UAH", "1000000")
    Policy.objects.filter(currency__code="UAH", operation="WITHDRAWAL").update(
        daily_amount=None, daily_count=None, min_amount=Decimal(50), max_amount=Decimal(500)
    )
    return user, Policy.objects.get(currency__code="UAH", operation="WITHDRAWAL")


def asked(user: User, amount: str, moment: datetime = START) -> str:
    def ask() -> None:
        with clock.standing_at(moment):
            withdraw(user, amount, currency="UAH", to="sandbox:success")

    return code_of(ask)


def limit(policy: Policy, **values: Any) -> None:
    Policy.objects.filter(pk=policy.pk).update(**values)


def test_minimum_and_maximum_are_inside(uah: tuple[User, Policy]) -> None:
    user, _ = uah
    assert [asked(user, amount) for amount in ("49.99", "50", "500", "500.01")] == [
        "below_minimum",
        "ok",
        "ok",
        "above_maximum",
    ]


@pytest.mark.parametrize(("name", "days"), [("daily_amount", 1), ("monthly_amount", 30)])
def test_totals_to_the_last_digit_and_the_last_second(uah: tuple[User, Policy], name: str, days: int) -> None:
    user, policy = uah
    limit(policy, **{name: Decimal(300)})
    assert asked(user, "200") == "ok"
    assert asked(user, "100.01") == "limit_exceeded"
    assert asked(user, "100") == "ok"
    window = timedelta(days=days)
    assert asked(user, "50", START + window - timedelta(microseconds=1)) == "limit_exceeded"
    assert asked(user, "300", START + window) == "ok"
    assert asked(user, "50", START + window) == "limit_exceeded"


def test_what_was_given_back_does_not_count(uah: tuple[User, Policy], operator: Callable[..., Any]) -> None:
    from kauri.withdrawal_order.services import withdrawal_reject

    user, policy = uah
    limit(policy, daily_amount=Decimal(300), daily_count=1)
    order = withdraw(user, "300", currency="UAH", to="sandbox:success")
    assert asked(user, "50", clock.now()) == "limit_exceeded"
    withdrawal_reject(order_id=order.public_id, actor=operator(), reason="no")
    assert asked(user, "300", clock.now()) == "ok"


def test_count_a_day(uah: tuple[User, Policy]) -> None:
    user, policy = uah
    limit(policy, daily_count=2)
    assert [asked(user, "50") for _ in range(3)] == ["ok", "ok", "limit_exceeded"]
    assert asked(user, "50", START + timedelta(days=1)) == "ok"


def test_anothers_orders_and_other_currencies_do_not_count(
    uah: tuple[User, Policy], customer: Callable[..., User]
) -> None:
    user, policy = uah
    limit(policy, daily_count=1)
    other = customer()
    give(other, "UAH", "1000")
    assert asked(other, "50") == "ok"
    give(user, "USD", "1000")
    with clock.standing_at(START):
        withdraw(user, "50", currency="USD", to="sandbox:success")
    assert asked(user, "50") == "ok"


def test_the_explanation_names_rows_and_figures(uah: tuple[User, Policy]) -> None:
    user, policy = uah
    limit(policy, daily_amount=Decimal(300), approval_above=Decimal(60))
    order = withdraw(user, "60.01", currency="UAH", to="sandbox:success")
    shown = order.explanation
    assert shown["policy"]["min_amount"] == {
        "value": "50",
        "policy": policy.pk,
        "unit": "currency",
    }
    assert {
        "limit": "daily_amount",
        "value": "60.01",
        "bound": "300",
        "unit": "UAH",
        "policy": policy.pk,
    } in shown["limits"]
    assert [rule["rule"] for rule in shown["rules"]] == ["approval_above", "new_destination"]
    assert shown["rules"][0]["value"] == "60.01 UAH"
    assert shown["rules"][0]["limit"] == "60 UAH"


def test_a_limit_used_up_says_what_is_left(uah: tuple[User, Policy]) -> None:
    user, policy = uah
    limit(policy, daily_amount=Decimal(300))
    assert asked(user, "250") == "ok"
    with pytest.raises(KauriError, match=r"^50 UAH is left$"), clock.standing_at(START):
        withdraw(user, "100", currency="UAH", to="sandbox:success")
