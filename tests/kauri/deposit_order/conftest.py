"""Money that comes through the sandbox, and what the ledger says of it."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from kauri.account.models import User
from kauri.balance.chart import AccountKind
from kauri.balance.models import Transfer
from kauri.common.ids import ledger_key
from kauri.core.models import Provider
from kauri.deposit_order.addresses import AddressRequest, address_give
from kauri.deposit_order.services import deposit_event
from kauri.payment_provider.gateway import Event, EventKind, PayoutStatus
from kauri.payment_provider.models import Payin
from kauri.wallet.models import PaymentLink
from tests.moves import sandbox_on

_numbers = itertools.count(1)


def legs(payin: Payin, step: str) -> list[tuple[str, Decimal]]:
    """The entries of one step of a payin, by the name of the account's kind; [] where it was not taken."""
    transfer = Transfer.objects.filter(key=ledger_key("payin", payin.public_id, step)).first()
    if transfer is None:
        return []
    rows = transfer.entries.select_related("account").order_by("account__kind")
    return [(AccountKind(row.account.kind).name, row.amount) for row in rows]


@pytest.fixture
def sandbox(house: None) -> Provider:
    return sandbox_on()


@pytest.fixture
def linked(sandbox: Provider, customer: Callable[..., User]) -> Callable[..., PaymentLink]:
    """A customer's payment link in UAH."""

    def make(user: User | None = None, **fields: Any) -> PaymentLink:
        answer = address_give(user or customer(), AddressRequest(currency="UAH", **fields))
        return PaymentLink.objects.get(public_id=answer["external_id"])

    return make


@pytest.fixture
def pay(sandbox: Provider) -> Callable[..., Payin]:
    """The gateway's final word that money came."""

    def come(
        link: PaymentLink | str, amount: str, *, currency: str = "UAH", name: str = "", **provider: Any
    ) -> Payin:
        event = Event(
            kind=EventKind.PAYIN,
            reference=link if isinstance(link, str) else str(link.public_id),
            provider_reference=name or f"sbx-{next(_numbers)}",
            status=PayoutStatus.CONFIRMED,
            currency=currency,
            amount=Decimal(amount),
        )
        deposit_event(event, Provider.objects.get(code="sandbox"))
        return Payin.objects.get(transaction=event.provider_reference)

    return come
