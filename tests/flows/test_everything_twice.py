"""A second delivery of everything (request, task, click, callback) changes nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.test import Client, override_settings

from examples.loopback import bot_api, serve, shop
from kauri.account import tokens
from kauri.account.models import User
from kauri.balance import invariants
from kauri.balance.models import Transfer
from kauri.balance.selectors import customer_balances
from kauri.callbacks.models import InboundCallback
from kauri.common import clock
from kauri.common.actor import Actor
from kauri.common.errors import KauriError
from kauri.core.models import Provider
from kauri.deposit_order.services import deposits_scan
from kauri.order_core.models import ApprovalVote, Order
from kauri.payment_provider.gateways.sandbox import sign_callback
from kauri.payment_provider.models import Payin, Payout
from kauri.wallet.models import PaymentLink
from kauri.withdrawal_order.services import withdrawal_approve
from kauri.withdrawal_order.tasks import payouts_sweep
from tests.api.client import ApiClient
from tests.house import Usdt

DESTINATION = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8"


def test_request_click_and_tasks_twice(
    usdt: Usdt,
    customer: Callable[..., User],
    operator: Callable[..., Actor],
    drain: Callable[..., int],
    settings: Any,
) -> None:
    with serve(shop) as hook, serve(bot_api) as bot:
        settings.KAURI = settings.KAURI.model_copy(
            update={
                "webhook_allowed_networks": ["127.0.0.0/8"],
                "telegram_api_url": bot.url,
                "telegram_token": "42:TEST",
                "telegram_alert_chat": "1",
            }
        )
        user, treasury = customer(), operator()
        api = ApiClient(token=tokens.issue(user))
        places = [
            api.post("/api/v1/deposit/address", {"currency": "USDT", "callback_url": hook.url}).json()["addr"]
            for _ in range(2)
        ]
        assert places[0] == places[1]
        deposits_scan(usdt.provider.pk)
        usdt.send(places[0], "100", mine=3)
        for _ in range(2):
            deposits_scan(usdt.provider.pk)
        body = {
            "currency": "USDT",
            "amount": "40",
            "wallet_to": DESTINATION,
            "external_id": "once",
            "callback_url": hook.url,
        }
        answers = [api.post("/api/v1/withdrawal", body) for _ in range(2)]
        assert answers[0].content == answers[1].content
        order = Order.objects.get(type="WITHDRAWAL")
        withdrawal_approve(order_id=order.public_id, actor=treasury)
        with pytest.raises(KauriError) as caught:
            withdrawal_approve(order_id=order.public_id, actor=treasury)
        assert caught.value.code == "wrong_state"
        drain(times=2)
        payout = Payout.objects.get()
        for minute in range(1, 4):
            usdt.chain.mine(3)
            with clock.standing_at(clock.now() + timedelta(minutes=minute)):
                for _ in range(2):
                    payouts_sweep()
                drain(times=2)
        payout.refresh_from_db()
        order.refresh_from_db()
    assert (payout.state, order.status) == ("confirmed", "CLOSED")
    assert usdt.balance(DESTINATION) == Decimal(40)
    assert ApprovalVote.objects.count() == 1
    # Opening of two currencies, deposit, hold, capture: nothing else was posted.
    assert Transfer.objects.count() == 5
    [balance] = [row for row in customer_balances(user.pk) if row.currency.code == "USDT"]
    assert (balance.available, balance.held) == (Decimal(59), Decimal(0))
    told = [json.loads(item.body) for item in hook.items]
    assert [(item["order_type"], item["status"]) for item in told if item["order_type"] == "WITHDRAWAL"] == [
        ("WITHDRAWAL", "NEW"),
        ("WITHDRAWAL", "WAITING_FOR_OPERATOR_CONFIRMATION"),
        ("WITHDRAWAL", "CONFIRMED_BY_OPERATOR"),
        ("WITHDRAWAL", "PAYMENT_IN_PROGRESS"),
        ("WITHDRAWAL", "CLOSED"),
    ]
    assert len({item.headers["webhook-id"] for item in hook.items}) == len(hook.items)
    assert len(bot.items) == 1
    assert invariants.broken_laws() == []


def test_callback_twice(customer: Callable[..., User], drain: Callable[..., int]) -> None:
    user = customer()
    provider = Provider.objects.get(code="sandbox")
    provider.credentials_secret = json.dumps({"secret": "the sandbox's secret"})
    provider.is_enabled = True
    provider.save()
    api = ApiClient(token=tokens.issue(user))
    assert (
        "url" in api.post("/api/v1/deposit/address", {"currency": "UAH", "amount_to_spend": "150.00"}).json()
    )
    link = PaymentLink.objects.get()
    stamp = int(clock.now().timestamp())
    body = json.dumps(
        {
            "event": "payin",
            "reference": str(link.public_id),
            "provider_reference": "SB1",
            "status": "success",
            "currency": "UAH",
            "amount": "150.00",
            "timestamp": stamp,
        }
    ).encode()
    signature = sign_callback("the sandbox's secret", body, stamp)
    with override_settings(ROOT_URLCONF="backoffice.callbacks_urls"):
        for _ in range(2):
            answer = Client().post(
                "/callbacks/sandbox",
                body,
                content_type="application/json",
                headers={"X-Sandbox-Signature": signature},
            )
            assert answer.status_code == 200
    assert InboundCallback.objects.filter(state="stored").count() == 2
    drain(times=2)
    assert sorted(InboundCallback.objects.values_list("state", flat=True)) == ["duplicate", "processed"]
    assert Payin.objects.get().state == "credited"
    [balance] = [row for row in customer_balances(user.pk) if row.currency.code == "UAH"]
    assert balance.available == Decimal("148.50")
    assert invariants.broken_laws() == []
