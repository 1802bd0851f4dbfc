"""Two sandboxes that pay UAH, channels over them, and their trusted words."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from kauri.account.models import User
from kauri.common.actor import Actor
from kauri.core.models import Currency, Provider
from kauri.order_core.models import Order
from kauri.payment_provider.gateway import Event, EventKind, PayoutStatus
from kauri.payment_provider.models import Channel, Payout
from kauri.withdrawal_order import paying
from kauri.withdrawal_order.models import WithdrawalPart
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
    from kauri.withdrawal_order.services import withdrawal_approve

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
