"""What people do about chains: cancel a stuck payout, explain a difference or a foreign token."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.test import Client
from django.urls import reverse

from kauri.common import clock
from kauri.common.admin import page_url
from kauri.core.models import AuditEntry, Currency, Network, Provider
from kauri.payment_provider.models import Payout
from kauri.wallet.models import DepositAddress, ForeignToken, ReconciliationBreak
from tests.backoffice import scene

pytestmark = pytest.mark.usefixtures("house")

AtDesk = Callable[..., Client]
SENT = {"_form_submitted": "True"}


@pytest.fixture
def stuck() -> Payout:
    scene.provider()
    user = scene.customer("stuck@example.com", balance="20000")
    payout = scene.payout(scene.withdrawal(user, "1500"))
    Payout.objects.filter(pk=payout.pk).update(
        provider=Provider.objects.get(code="usdt-node"),
        state="sent",
        confirmations=0,
        unknown_since=None,
        signed_at=clock.now(),
    )
    payout.refresh_from_db()
    return payout


def test_a_stuck_payout_is_cancelled_from_its_page(at_desk: AtDesk, stuck: Payout) -> None:
    client = at_desk("Treasury")
    page = client.get(page_url(stuck)).content.decode()
    assert "Cancel on the chain" in page
    url = reverse("admin:payment_provider_payout_cancel", args=[stuck.public_id])
    client.post(url, {**SENT, "reason": "the fee is far too low"})
    stuck.refresh_from_db()
    assert stuck.cancel_asked_at is not None
    assert AuditEntry.objects.get(verb="payout_cancel").reason == "the fee is far too low"


def test_what_can_t_be_taken_back_has_no_button(at_desk: AtDesk, stuck: Payout) -> None:
    client = at_desk("Treasury")
    Payout.objects.filter(pk=stuck.pk).update(confirmations=1)
    assert "Cancel on the chain" not in client.get(page_url(stuck)).content.decode()
    Payout.objects.filter(pk=stuck.pk).update(confirmations=0, provider=Provider.objects.get(code="sandbox"))
    assert "Cancel on the chain" not in client.get(page_url(stuck)).content.decode()


@pytest.mark.parametrize("role", ["Auditor", "Support", "Administrator"])
def test_who_may_not_cancel_has_no_button_and_no_door(at_desk: AtDesk, stuck: Payout, role: str) -> None:
    client = at_desk(role)
    url = reverse("admin:payment_provider_payout_cancel", args=[stuck.public_id])
    assert client.post(url, {**SENT, "reason": "why"}).status_code in {302, 403}
    stuck.refresh_from_db()
    assert stuck.cancel_asked_at is None


def test_a_difference_is_explained_from_its_page(at_desk: AtDesk) -> None:
    row = ReconciliationBreak.objects.create(
        provider=Provider.objects.get(code="usdt-node"),
        currency=Currency.objects.get(code="USDT"),
        kind="chain_more",
        subject="0x1",
        amount=7,
        state="open",
    )
    client = at_desk("Finance")
    assert "waits for a person" in client.get(page_url(row)).content.decode().lower()
    url = reverse("admin:wallet_reconciliationbreak_explain", args=[row.pk])
    at_desk("Auditor").post(url, {**SENT, "explanation": "no"})
    row.refresh_from_db()
    assert row.state == "open"
    at_desk("Finance").post(url, {**SENT, "explanation": "our own top-up"})
    row.refresh_from_db()
    assert (row.state, row.explanation) == ("explained", "our own top-up")


def test_a_foreign_token_is_on_the_desk_and_explained_from_its_page(at_desk: AtDesk) -> None:
    provider = scene.provider()
    user = scene.customer("lost@example.com")
    place = DepositAddress.objects.create(
        provider=provider,
        network=Network.objects.get(code="erc20"),
        currency=Currency.objects.get(code="USDT"),
        address="0x70997970C51812dc3A010C7d01b50e0d17dc79C8",
        index=7_000,
        user=user,
    )
    rows = [
        ForeignToken.objects.create(
            provider=provider,
            contract="0x9fE46736679d2D9a65F0992F2272dE9f3c7fa6e0",
            address=place.address,
            sender=place.address,
            transaction=f"0x{number}",
            ordinal=0,
            amount="25000000",
            block_height=5,
            block_hash="0x5",
        )
        for number in range(2)
    ]
    client = at_desk("Finance")
    assert (
        reverse("admin:wallet_foreigntoken_changelist") in client.get(reverse("admin:index")).content.decode()
    )
    page = client.get(page_url(rows[0])).content.decode()
    assert "lost@example.com" in page
    assert "25000000" in page
    url = reverse("admin:wallet_foreigntoken_explain", args=[rows[0].pk])
    for role in ("Auditor", "Support", "Administrator"):
        at_desk(role).post(url, {**SENT, "explanation": "no"})
    assert set(ForeignToken.objects.values_list("state", flat=True)) == {"open"}
    at_desk("Finance").post(url, {**SENT, "explanation": "spam", "whole_contract": "on"})
    assert list(ForeignToken.objects.values_list("state", "explanation")) == [("explained", "spam")] * 2
