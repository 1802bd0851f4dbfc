"""Two sandboxes that pay UAH with channels over them; a customer who confirms; a list that analyses."""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from django.core import mail

from kauri.account.models import User
from kauri.common.actor import Actor
from kauri.core.models import Currency, Provider
from kauri.order_core.models import Order, Policy, ScreeningPolicy
from kauri.payment_provider.gateway import Event, EventKind, PayoutStatus
from kauri.payment_provider.models import Channel, Payout
from kauri.withdrawal_order import paying
from kauri.withdrawal_order.models import ReviewRule, WithdrawalPart
from kauri.withdrawal_order.services import withdrawal_approve
from tests.moves import SANDBOX_SECRET, give, sandbox_on, withdraw

#: Accepted, and pending for ten minutes: what becomes of it is told by callbacks.
PENDING = "sandbox:delay:600"


@pytest.fixture
def first(house: None) -> Provider:
    return sandbox_on(priority=10)


@pytest.fixture
def second(first: Provider) -> Provider:
    return Provider.objects.create(
        code="sandbox2",
        title="Second sandbox",
        kind=Provider.Kind.PAYMENT,
        adapter="sandbox",
        environment=first.environment,
        is_enabled=True,
        priority=20,
        settings=first.settings,
        credentials_secret=f'{{"secret": "{SANDBOX_SECRET}"}}',
    )


@pytest.fixture
def channel() -> Callable[..., Channel]:
    def make(provider: Provider, **fields: Any) -> Channel:
        return Channel.objects.create(provider=provider, currency=Currency.objects.get(code="UAH"), **fields)

    return make


@pytest.fixture
def paid_out(customer: Callable[..., User], operator: Callable[..., Actor]) -> Callable[..., Order]:
    """An approved withdrawal in UAH of a customer who had 1,000 (their fee is 5 for 100)."""

    def make(amount: str, to: str = PENDING, *, user: User | None = None, **fields: Any) -> Order:
        if user is None:
            user = customer()
            give(user, "UAH", "1000")
        order = withdraw(user, amount, currency="UAH", to=to, **fields)
        return withdrawal_approve(order_id=order.public_id, actor=operator())

    return make


def parts_of(order: Order) -> list[WithdrawalPart]:
    return list(WithdrawalPart.objects.filter(detail__order=order).select_related("payout__provider"))


def tell(payout: Payout, status: PayoutStatus) -> str:
    """The gateway's own word, as its callback brings it."""
    payout.refresh_from_db()
    event = Event(
        kind=EventKind.PAYOUT,
        reference=str(payout.public_id),
        provider_reference=payout.provider_reference,
        status=status,
        amount=payout.amount,
        currency=payout.currency.code,
    )
    return paying.payout_event(event, payout.provider).kind.value


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
