"""A customer whose withdrawals wait for a code, and a list that analyses where they go."""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from django.core import mail

from kauri.account.models import User
from kauri.core.models import Currency, Provider
from kauri.order_core.models import Order, Policy, ScreeningPolicy
from kauri.withdrawal_order.models import ReviewRule
from tests.moves import give, sandbox_on, withdraw


def ask(user: User, amount: str = "100", to: str = "sandbox:success", **fields: Any) -> Order:
    return withdraw(user, amount, currency="UAH", to=to, **fields)


def policy(**fields: Any) -> None:
    """The house's policy of withdrawals in UAH says this too."""
    Policy.objects.filter(operation="WITHDRAWAL", currency__code="UAH").update(**fields)


def code_sent() -> str:
    """The code of the last letter."""
    return re.findall(r"^(\d{8})$", str(mail.outbox[-1].body), re.MULTILINE)[-1]


def rules_of(order: Order) -> list[str]:
    return [rule["rule"] for rule in Order.objects.get(pk=order.pk).explanation["rules"]]


def status(order: Order) -> str:
    return str(Order.objects.get(pk=order.pk).status)


@pytest.fixture
def user(customer: Callable[..., User]) -> User:
    """1,000 UAH; a withdrawal of 100 costs 5. New destinations are nobody's business here."""
    sandbox_on()
    ReviewRule.objects.update(is_enabled=False)
    person = customer()
    give(person, "UAH", "1000")
    return person


@pytest.fixture
def confirmed(user: User) -> User:
    """... and above 50 UAH a letter's code confirms."""
    policy(email_above=Decimal(50))
    return user


@pytest.fixture
def analysis(user: User) -> ScreeningPolicy:
    """UAH from 10 on is analysed by the house's own list; an unlisted destination scores nothing."""
    provider = Provider.objects.create(
        code="list",
        title="Our list",
        kind=Provider.Kind.SCREENING,
        adapter="local_list",
        is_enabled=True,
        settings={
            "addresses": {
                "sandbox:fail": {"category": "mixer", "score": "0.6"},
                "sandbox:decline": {"category": "sanctions", "score": "1"},
            }
        },
    )
    return ScreeningPolicy.objects.create(
        currency=Currency.objects.get(code="UAH"), provider=provider, min_amount=Decimal(10)
    )
