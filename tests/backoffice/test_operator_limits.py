"""The page says why the button is not there; the service refuses whoever presses it anyway."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal

import pytest
from django.test import Client
from django.urls import reverse
from django_otp.oath import TOTP
from playwright.sync_api import expect

from kauri.account.models import User
from kauri.common.actor import SYSTEM, Actor
from kauri.core.audit import audit
from kauri.core.models import AuditEntry, Currency
from kauri.exchange_rate.services import usd_rate_set
from kauri.internal_movement_order import services as movements
from kauri.internal_movement_order.models import MovementDetail
from kauri.order_core.models import ApprovalVote, OperatorLimit, Order, Policy
from tests.backoffice import scene
from tests.backoffice.window import Window, sign_in
from tests.moves import give

AtDesk = Callable[..., Client]


@pytest.fixture
def order(house: None) -> Order:
    scene.provider()
    usd_rate_set(
        currency_id=Currency.objects.get(code="USDT").pk,
        price="1",
        source="central bank",
        good_for=timedelta(hours=1),
        actor=SYSTEM,
    )
    return scene.withdrawal(scene.customer("first@example.com", balance="20000", level=2), "12500")


def look(client: Client, order: Order) -> str:
    url = reverse("admin:withdrawal_order_withdrawaldetail_change", args=(order.public_id,))
    return client.get(url).content.decode()


def press(client: Client, order: Order) -> str:
    url = reverse("admin:withdrawal_act", args=(order.public_id, "approve"))
    return client.post(url, {"reason": ""}, follow=True).content.decode()


def test_above_the_limit(at_desk: AtDesk, order: Order) -> None:
    client = at_desk()
    limit = OperatorLimit.objects.create(operator=client.person.user, per_approval=Decimal(12499))
    page = look(client, order)
    assert "It is worth 12500.00 USD; you may approve up to 12499 USD at once." in page
    assert ('data-testid="approve"' in page, 'data-testid="reject"' in page) == (False, True)
    assert "12500 USD is above 12499 USD per approval" in press(client, order)
    assert ApprovalVote.objects.count() == 0
    limit.per_approval = None
    limit.per_day = Decimal(12499)
    limit.save()
    said = "It is worth 12500.00 USD; of your 12499 USD in 24 hours you have approved 0.00 USD."
    assert said in look(client, order)
    limit.per_day = Decimal(12500)
    limit.save()
    assert 'data-testid="approve"' in look(client, order)
    press(client, order)
    assert ApprovalVote.objects.count() == 1


def test_edited_today(at_desk: AtDesk, order: Order) -> None:
    client = at_desk()
    audit(client.person.user.as_actor(), "customer_verify", object_type="user", object_id=order.owner_id)
    page = look(client, order)
    assert "You changed this customer&#x27;s account in the last 24 hours" in page
    assert ('data-testid="approve"' in page, 'data-testid="reject"' in page) == (False, True)
    press(client, order)
    assert ApprovalVote.objects.count() == 0


def test_a_movement_says_it_too(
    at_desk: AtDesk, customer: Callable[..., User], operator: Callable[..., Actor]
) -> None:
    Policy.objects.filter(operation="INTERNAL_MOVEMENT").update(approval_above=Decimal(0))
    sender, receiver = customer(), customer()
    give(sender, "UAH", "10000")
    request = movements.MovementRequest(
        user_id=sender.pk,
        currency="UAH",
        amount="4000",
        addressed_by=MovementDetail.AddressedBy.EMAIL,
        addressed_to=receiver.email,
    )
    order = movements.movement_create(request=request, actor=sender.as_actor())
    client = at_desk()
    url = reverse("admin:internal_movement_order_movementdetail_change", args=(order.public_id,))
    args = (str(order.public_id),)
    buttons = [
        reverse(f"admin:internal_movement_order_movementdetail_{act}", args=args)
        for act in ("approve", "reject")
    ]
    assert [link in client.get(url).content.decode() for link in buttons] == [True, True]
    audit(client.person.user.as_actor(), "customer_verify", object_type="user", object_id=receiver.pk)
    page = client.get(url).content.decode()
    assert "You changed this customer&#x27;s account in the last 24 hours" in page
    assert [link in page for link in buttons] == [False, True]


def next_code(person: scene.Person) -> str:
    """What the authenticator shows half a minute on: the code of now has opened the door."""
    device = person.device
    generator = TOTP(device.bin_key, device.step, device.t0, device.digits, device.drift)
    generator.time = time.time() + device.step
    return f"{generator.token():06d}"


def test_the_dialog_asks_for_the_code_above_the_threshold(
    window: Callable[..., Window], order: Order
) -> None:
    person = scene.operator("Treasury", "treasury-one@example.com", scene.PASSWORD)
    limit = OperatorLimit.objects.create(operator=person.user, code_above=Decimal(12500))
    found = window()
    sign_in(found, person)
    path = reverse("admin:withdrawal_order_withdrawaldetail_change", args=(order.public_id,))
    page = found.open(path)
    page.get_by_test_id("approve").click()
    expect(page.get_by_test_id("approve-confirm")).to_be_visible()
    expect(page.get_by_test_id("code")).to_have_count(0)
    limit.code_above = Decimal("12499.99")
    limit.save()
    for code, said in (
        ("", "A one-time code of your authenticator is needed"),
        ("00000x", "The one-time code is wrong"),
        (next_code(person), "Approved: 12500 USDT"),
    ):
        assert ApprovalVote.objects.count() == 0
        page = found.open(path)
        page.get_by_test_id("approve").click()
        page.get_by_test_id("code").fill(code)
        page.get_by_test_id("approve-confirm").click()
        expect(page.locator("body")).to_contain_text(said)
    assert ApprovalVote.objects.count() == 1
    assert AuditEntry.objects.filter(verb="code_refused", actor_id=str(person.user.pk)).count() == 1
    assert found.complaints == []
