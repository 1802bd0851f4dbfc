"""Limits in dollars: exact at the edge, over every currency where the row names none, closed without a rate."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import DatabaseError, transaction

from kauri.account.models import User
from kauri.common.actor import SYSTEM
from kauri.core.models import Currency
from kauri.exchange_rate.services import usd_rate_set
from kauri.order_core import policies
from kauri.order_core.models import Order, Policy
from kauri.order_core.states import OrderType
from tests.moves import code_of, give, sandbox_on, withdraw

HOUR = timedelta(hours=1)


def rate(code: str, price: str) -> None:
    usd_rate_set(
        currency_id=Currency.objects.get(code=code).pk,
        price=price,
        source="bank",
        good_for=HOUR,
        actor=SYSTEM,
    )


def policy(user: User, **fields: Any) -> Policy:
    return Policy.objects.create(operation="WITHDRAWAL", user=user, unit="usd", **fields)


def judge(user: User, amount: str, code: str = "UAH") -> policies.Judgement:
    currency = Currency.objects.get(code=code)
    return policies.judge(OrderType.WITHDRAWAL, currency, user, Decimal(amount))


def test_the_edge_is_exact(customer: Callable[..., User]) -> None:
    user = customer()
    row = policy(user, max_amount=Decimal(25), min_amount=Decimal(20), approval_above=Decimal(24))
    rate("UAH", "0.025")
    assert code_of(lambda: judge(user, "1000.01")) == "above_maximum"
    assert code_of(lambda: judge(user, "799.99")) == "below_minimum"
    passed = judge(user, "1000").as_json()
    assert passed["decided_by"] == "approval_above"
    assert passed["rules"][0]["value"] == "25 USD"
    assert {"limit": "max_amount", "value": "25", "bound": "25", "unit": "USD", "policy": row.pk} in passed[
        "limits"
    ]
    assert passed["rate"]["source"] == "bank"
    assert passed["inputs"]["amount"] == "1000"
    assert judge(user, "960").rules == []


def test_no_fresh_rate_is_no_withdrawal(customer: Callable[..., User]) -> None:
    sandbox_on()
    user = customer()
    give(user, "UAH", "5000")
    policy(user, daily_amount=Decimal(100))
    asked = withdraw
    code = code_of(lambda: asked(user, "1000", currency="UAH", to="sandbox:success"))
    assert (code, Order.objects.count()) == ("rate_unavailable", 0)
    rate("UAH", "0.025")
    assert withdraw(user, "1000", currency="UAH", to="sandbox:success").pk


def test_a_row_without_a_currency_counts_them_all(customer: Callable[..., User]) -> None:
    sandbox_on()
    user = customer()
    give(user, "UAH", "9000")
    give(user, "EUR", "900")
    policy(user, daily_amount=Decimal(100))
    rate("UAH", "0.025")
    rate("EUR", "1.1")
    withdraw(user, "2000", currency="UAH", to="sandbox:success")  # 50 dollars
    assert code_of(lambda: judge(user, "45.46", "EUR")) == "limit_exceeded"
    found = judge(user, "45.45", "EUR").as_json()["limits"]
    assert next(row for row in found if row["limit"] == "daily_amount")["value"] == "99.995"
    # A row of one currency counts that one alone.
    eur = Currency.objects.get(code="EUR")
    Policy.objects.create(
        operation="WITHDRAWAL", user=user, currency=eur, unit="usd", daily_amount=Decimal(100)
    )
    assert judge(user, "90", "EUR").rules == []


@pytest.mark.parametrize(
    "fields",
    [
        {"min_amount": Decimal(-1)},
        {"max_amount": Decimal("NaN")},
        {"fee_percent": Decimal("100.0001")},
        {"fee_percent": Decimal("-0.1")},
        {"approval_above": Decimal(-5)},
    ],
)
def test_absurd_rows_are_refused_by_the_database(house: None, fields: dict[str, Any]) -> None:
    columns = ", ".join(fields)
    values = ", ".join(f"'{value}'" for value in fields.values())
    with pytest.raises(DatabaseError) as caught, transaction.atomic():
        from django.db import connection

        with connection.cursor() as cursor:
            cursor.execute(
                f"insert into order_core_policy (operation, account_type, unit, {columns})"
                f" values ('WITHDRAWAL', 'business', 'currency', {values})"
            )
    assert caught.value.__cause__.sqlstate in {"23514", "22003"}  # type: ignore[union-attr]
