"""Several withdrawals approved at once: all of them by right, or none."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal

import pytest
from django.test import Client
from django.urls import reverse

from kauri.common.actor import SYSTEM
from kauri.core.models import Currency
from kauri.exchange_rate.services import usd_rate_set
from kauri.order_core.models import Approval, ApprovalVote, OperatorLimit, Order
from kauri.withdrawal_order import waiting
from tests.backoffice import scene

AtDesk = Callable[..., Client]
LIST = "admin:withdrawal_order_withdrawaldetail_changelist"


@pytest.fixture
def orders(house: None) -> list[Order]:
    scene.provider()
    usd_rate_set(
        currency_id=Currency.objects.get(code="USDT").pk,
        price="1",
        source="central bank",
        good_for=timedelta(hours=1),
        actor=SYSTEM,
    )
    return [
        scene.withdrawal(
            scene.customer(f"pays{number}@example.com", balance="20000", level=2), str(12000 + number)
        )
        for number in range(3)
    ]


def chosen(client: Client, orders: list[Order], **more: str) -> str:
    data = {"action": "approve_selected", "_selected_action": [str(order.pk) for order in orders], **more}
    return client.post(f"{reverse(LIST)}?queue=waiting", data, follow=True).content.decode()


def votes() -> list[str]:
    return list(ApprovalVote.objects.order_by("approval_id").values_list("decision", flat=True))


def test_they_are_shown_first_and_approved_then(at_desk: AtDesk, orders: list[Order]) -> None:
    client = at_desk()
    page = chosen(client, orders)
    assert "12\u00a0001" in page
    assert "Approve 3 withdrawals" in page
    assert votes() == []
    page = chosen(client, orders, confirmed="1")
    assert "Your approval counts for 3 withdrawals." in page
    assert votes() == ["approve"] * 3
    assert set(Order.objects.values_list("status", flat=True)) == {"PAYMENT_IN_PROGRESS"}
    assert set(ApprovalVote.objects.values_list("reason", flat=True)) == {"one of several approved at once"}


def _taken(orders: list[Order], _client: Client) -> str:
    other = scene.operator("Treasury", "other@example.com").user
    waiting.withdrawal_take(order_id=orders[1].public_id, actor=other.as_actor())
    return "other@example.com has taken it"


def _on_hold(orders: list[Order], _client: Client) -> str:
    other = scene.operator("Treasury", "other@example.com").user
    waiting.withdrawal_hold(order_id=orders[1].public_id, reason="later", actor=other.as_actor())
    return "On hold: nobody decides"


def _over_the_limit(orders: list[Order], client: Client) -> str:
    del orders
    OperatorLimit.objects.create(operator=client.person.user, per_approval=Decimal(12000))
    return "you may approve up to 12000 USD at once"


def _asks_a_code(orders: list[Order], client: Client) -> str:
    del orders
    OperatorLimit.objects.create(operator=client.person.user, code_above=Decimal(12000))
    return "It asks for your one-time code"


@pytest.mark.parametrize("spoil", [_taken, _on_hold, _over_the_limit, _asks_a_code])
def test_one_that_may_not_be_approved_stops_all(
    at_desk: AtDesk, orders: list[Order], spoil: Callable[[list[Order], Client], str]
) -> None:
    client = at_desk()
    words = spoil(orders, client)
    for more in ({}, {"confirmed": "1"}):
        page = chosen(client, orders, **more)
        assert words in page
        assert 'data-testid="bulk-confirm"' not in page
    assert votes() == []
    assert set(Approval.objects.values_list("state", flat=True)) == {"pending"}


def test_what_was_decided_meanwhile_is_not_approved_again(at_desk: AtDesk, orders: list[Order]) -> None:
    first, second = at_desk(), at_desk()
    chosen(first, orders[:1], confirmed="1")
    page = chosen(second, orders, confirmed="1")
    assert "It does not wait for a decision." in page
    assert votes() == ["approve"]


@pytest.mark.parametrize("role", ["Support", "Compliance", "Finance", "Administrator", "Auditor"])
def test_who_may_not_approve_one_approves_no_three(at_desk: AtDesk, orders: list[Order], role: str) -> None:
    client = at_desk(role)
    page = client.get(f"{reverse(LIST)}?queue=waiting").content.decode()
    assert "approve_selected" not in page
    chosen(client, orders, confirmed="1")
    assert votes() == []
    assert set(Approval.objects.values_list("state", flat=True)) == {"pending"}
