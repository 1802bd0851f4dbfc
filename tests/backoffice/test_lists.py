"""Every list and every page opens, for those who may, with as many queries for many rows as for few."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable

import pytest
from django.contrib import admin
from django.db import connection
from django.db.models import Model
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from kauri.account.models import ApiKey
from kauri.common.admin import page_url
from kauri.core.audit import audit
from kauri.core.models import Provider
from kauri.core.sealing import audit_seal, audit_verify
from kauri.order_core.models import OperatorLimit
from kauri.payment_card.bans import card_ban
from kauri.payment_provider.models import ProviderBalanceSnapshot
from kauri.report.models import ListExport, ReportRun
from kauri.wallet.models import (
    DepositAddress,
    ForeignToken,
    PaymentLink,
    Reconciliation,
    ReconciliationBreak,
    Sweep,
)
from kauri.withdrawal_order.models import ReviewRule, SavedDestination
from tests.backoffice import scene
from tests.cards import VISA, add

AtDesk = Callable[..., Client]

SECRET = "the-secret-of-the-till"
MODELS = sorted(admin.site._registry, key=lambda model: model._meta.label)


def _name(model: type[Model]) -> str:
    return model._meta.label


def _fill(number: int) -> None:
    """One row more of everything that is not there from the start."""
    user = scene.customer(f"filled{number}@example.com", balance="20000")
    order = scene.withdrawal(user, "1500")
    scene.closing(scene.payout(order))
    scene.channel(number)
    scene.payin()
    scene.held(user)
    scene.callback()
    scene.delivery(user, order=order)
    scene.house_lives()
    provider = Provider.objects.get(code="usdt-node")
    usdt = order.currency_out
    ApiKey.objects.create(user=user, name="till", key=f"key{number}", secret=SECRET, scopes=["read"])
    ProviderBalanceSnapshot.objects.create(provider=provider, currency=usdt, amount=number)
    DepositAddress.objects.create(
        provider=provider,
        network=usdt.networks.first(),
        currency=usdt,
        address=f"0x{number:040x}",
        index=number,
        user=user,
    )
    address = DepositAddress.objects.get(index=number)
    Sweep.objects.create(
        purpose="sweep", provider=provider, currency=usdt, address=address, amount=number, destination="0x1"
    )
    figures = {"on_chain": number, "in_books": 0, "on_its_way": 0, "difference": number, "state": "different"}
    Reconciliation.objects.create(provider=provider, currency=usdt, **figures)
    ReconciliationBreak.objects.create(
        provider=provider, currency=usdt, kind="chain_more", subject=address.address, amount=number
    )
    SavedDestination.objects.create(customer=user, currency=usdt, destination=f"0x{number:040x}")
    OperatorLimit.objects.create(operator=scene.operator("Treasury", f"clerk{number}@example.com").user)
    ReviewRule.objects.create(kind="amount", currency=usdt, threshold=number)
    ForeignToken.objects.create(
        provider=provider,
        contract=f"0x{number:040x}",
        address=address.address,
        sender=f"0x{number:040x}",
        transaction=f"0x{number:064x}",
        ordinal=0,
        amount=str(number),
        block_height=number,
        block_hash=f"0x{number:064x}",
    )
    PaymentLink.objects.create(public_id=uuid.uuid4(), user=user, provider=provider, currency=usdt)
    add(user)
    ban = f"4{number:05d}"
    card_ban(number=ban, reason="fill", actor=scene.operator("Compliance").user.as_actor())
    audit(user.as_actor(), "fill", object_type="user", object_id=user.pk)
    audit_seal()
    audit_verify()
    scene.two_people(number)
    scene.verification(scene.customer(f"verified{number}@example.com", level=0))
    ReportRun.objects.create(
        definition="balances_and_obligations", format="pdf", as_of=order.created_at, requested_by=user
    )
    scene.factor_reset(number)
    ListExport.objects.create(
        requested_by=user,
        list_name="account.signin",
        format="csv",
        state="cancelled",
        finished_at=order.created_at,
    )


@pytest.fixture
def auditor(at_desk: AtDesk) -> Client:
    scene.provider()
    _fill(1)
    return at_desk("Auditor")


def _queries(client: Client, url: str) -> tuple[int, str]:
    with CaptureQueriesContext(connection) as captured:
        response = client.get(url)
    if response.status_code == 302:
        # An order's page leads a withdrawal on to its own.
        return _queries(client, response.url)
    assert response.status_code == 200, f"{url}: {response.status_code}"
    return len(captured), response.content.decode()


@pytest.mark.usefixtures("one_page")
@pytest.mark.parametrize("model", MODELS, ids=_name)
def test_list_costs_the_same_for_many_rows(model: type[Model], auditor: Client) -> None:
    url = reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")
    auditor.get(url)
    few, _page = _queries(auditor, url)
    for number in range(2, 5):
        _fill(number)
    many, _page = _queries(auditor, url)
    assert many == few
    assert many <= 16


@pytest.mark.parametrize("model", MODELS, ids=_name)
def test_a_row_has_its_page(model: type[Model], auditor: Client) -> None:
    row = model._default_manager.order_by("-pk").first()
    assert row is not None
    auditor.get(page_url(row), follow=True)
    count, page = _queries(auditor, page_url(row))
    assert count <= 25
    assert SECRET not in page
    assert VISA not in page
    # What is not there is a dash: a word of the programming language tells nobody anything.
    assert re.findall(r">\s*None\s*<", page) == []
