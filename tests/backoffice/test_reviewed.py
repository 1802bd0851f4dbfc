"""What the page of decision says of analysis, address book, country and the customer's code; the rules' own screens."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal

import pytest
from django.test import Client
from django.urls import reverse

from kauri.common import clock
from kauri.core.models import Currency, Proposal, Provider
from kauri.order_core.models import Order, Policy, ScreeningPolicy
from kauri.withdrawal_order import screened
from kauri.withdrawal_order.models import ReviewRule, SavedDestination, WithdrawalDetail
from tests.backoffice import scene

AtDesk = Callable[..., Client]


def page_of(client: Client, order: Order) -> str:
    url = reverse("admin:withdrawal_order_withdrawaldetail_change", args=(order.public_id,))
    return client.get(url).content.decode()


@pytest.fixture
def order(house: None) -> Order:
    scene.provider()
    provider = Provider.objects.create(
        code="list",
        title="Our list",
        kind=Provider.Kind.SCREENING,
        adapter="local_list",
        is_enabled=True,
        settings={"addresses": {scene.DESTINATION: {"category": "mixer", "score": "0.95"}}},
    )
    usdt = Currency.objects.get(code="USDT")
    ScreeningPolicy.objects.create(currency=usdt, provider=provider)
    ReviewRule.objects.create(kind="country_in", countries="KP, IR")
    return scene.withdrawal(
        scene.customer("first@example.com", balance="20000", level=2), "1250", analysed=False
    )


def test_before_the_answer_nobody_has_anything_to_decide(at_desk: AtDesk, order: Order) -> None:
    page = page_of(at_desk(), order)
    assert "The destination is being analysed: nothing is paid before the answer." in page
    assert 'data-testid="approve"' not in page


def test_the_answer_is_read_with_the_rules(at_desk: AtDesk, order: Order) -> None:
    detail = WithdrawalDetail.objects.get(pk=order.pk)
    WithdrawalDetail.objects.filter(pk=order.pk).update(country="PL")
    then = clock.now() - timedelta(days=3)
    SavedDestination.objects.create(
        customer=order.owner,
        currency=order.currency_out,
        network=detail.network,
        destination=detail.destination,
        confirmed_at=then,
        usable_from=then,
    )
    screened.withdrawal_screen(order.pk)
    page = page_of(at_desk(), order)
    for said in (
        "Analysis of the destination says: frozen",
        "0.95 (mixer)",
        "approvals needed: 2",
        "Analysis of the destination",
        "severe",
        "The country of the address is one to look at",
        "unknown · the limit is IR, KP",
        'data-testid="country">PL<',
        'data-testid="saved"',
        f"{then:%Y-%m-%d}",
        'data-testid="approve"',
        "/saveddestination/?q=first@example.com",
    ):
        assert said in page, said


def test_a_code_that_is_waited_for(at_desk: AtDesk, order: Order) -> None:
    Policy.objects.filter(operation="WITHDRAWAL", currency__code="USDT").update(email_above=Decimal(1))
    waiting = scene.withdrawal(order.owner, "1250", analysed=False)
    client = at_desk()
    page = page_of(client, waiting)
    assert "Waits for the customer&#x27;s code until" in page or "Waits for the customer's code until" in page
    assert 'data-testid="approve"' not in page
    assert 'data-testid="reject"' not in page


def test_a_rule_is_proposed_by_its_form_and_nothing_changes(at_desk: AtDesk, order: Order) -> None:
    client = at_desk("Administrator")
    url = reverse("admin:withdrawal_order_reviewrule_add")
    body = {
        "kind": "sum",
        "threshold": "5000",
        "unit": "usd",
        "hours": "24",
        "countries": "",
        "approvals_needed": "2",
        "is_enabled": "on",
        "change_reason": "a day's sum is looked at",
    }
    assert "This rule has none." in client.post(url, {**body, "countries": "UA"}).content.decode()
    assert Proposal.objects.count() == 0
    page = client.post(url, body, follow=True).content.decode()
    assert "Nothing has changed yet" in page
    made = Proposal.objects.get()
    assert (made.target, made.after["kind"], made.after["threshold"]) == (
        "withdrawal_order.reviewrule",
        "sum",
        "5000",
    )
    assert not ReviewRule.objects.filter(kind="sum").exists()
    history = reverse(
        "admin:withdrawal_order_reviewrule_history", args=(ReviewRule.objects.get(kind="country_in").pk,)
    )
    assert client.get(history).status_code == 200


def test_who_may_see_and_who_may_propose(at_desk: AtDesk, order: Order) -> None:
    rules = reverse("admin:withdrawal_order_reviewrule_changelist")
    book = reverse("admin:withdrawal_order_saveddestination_changelist")
    assert [at_desk("Support").get(url).status_code for url in (rules, book)] == [403, 200]
    treasury = at_desk("Treasury")
    assert treasury.get(rules).status_code == 200
    assert treasury.get(reverse("admin:withdrawal_order_reviewrule_add")).status_code == 403
