"""POST /deposit/address: one customer, one address; a link for fiat; switches and refusals."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

import pytest

from kauri.account import tokens
from kauri.account.models import User
from kauri.common import clock
from kauri.core.models import Currency, Network, Provider, Switch
from kauri.wallet.models import DepositAddress, PaymentLink
from kauri.wallet.services import pool_fill
from tests.api.client import ApiClient
from tests.moves import sandbox_on

PATH = "/api/v1/deposit/address"
#: The public phrase's own extended key, as tests/house.py derives it: addresses 0 and 1.
XPUB = "xpub6DCoCpSuQZB2jawqnGMEPS63ePKWkwWPH4TU45Q7LPXWuNd8TMtVxRrgjtEshuqpK3mdhaWHPFsBngh5GFZaM6si3yZdUsT8ddYM3PwnATt"


@pytest.fixture
def node(house: None) -> Provider:
    provider = Provider.objects.get(code="usdt-node")
    provider.settings = {
        **provider.settings,
        "rpc_url": "http://127.0.0.1:9",
        "chain_id": 31337,
        "token_address": "0x5FbDB2315678afecb367f032d93F642f64180aa3",
        "xpub": XPUB,
    }
    provider.is_enabled = True
    provider.save()
    return provider


@pytest.fixture
def api(customer: Callable[..., User]) -> ApiClient:
    return ApiClient(token=tokens.issue(customer()))


def ask(api: ApiClient, **fields: Any) -> Any:
    return api.post(PATH, {"currency": "USDT", **fields})


def test_the_same_customer_gets_the_same_address(node: Provider, api: ApiClient) -> None:
    first = ask(api).json()
    again = ask(api, callback_url="https://shop.example/new").json()
    assert first == again
    assert (first["currency"], first["network"], first["confirmations"]) == ("USDT", "erc20", 12)
    assert base64.b64decode(first["qr"]).startswith(b"\x89PNG")
    address = DepositAddress.objects.get()
    assert (address.address, address.index) == (first["addr"], 0)
    assert address.callback_url == "https://shop.example/new"


def test_two_customers_never_share(node: Provider, api: ApiClient, customer: Callable[..., User]) -> None:
    pool_fill(node.pk)
    other = ApiClient(token=tokens.issue(customer()))
    addresses = {ask(api).json()["addr"], ask(other).json()["addr"]}
    assert len(addresses) == 2
    assert set(DepositAddress.objects.filter(user__isnull=False).values_list("index", flat=True)) == {0, 1}
    assert pool_fill(node.pk) == 2
    assert DepositAddress.objects.count() == 22
    assert len(set(DepositAddress.objects.values_list("address", flat=True))) == 22


def test_a_link_for_fiat(api: ApiClient) -> None:
    sandbox_on(settings={"page_url": "https://pay.example/page"})
    answer = ask(api, currency="uah", amount_to_spend="150.5", external_id="a-1").json()
    link = PaymentLink.objects.get()
    assert answer["external_id"] == str(link.public_id)
    assert f"reference={link.public_id}" in answer["url"]
    assert "amount=150.50" in answer["url"]
    assert (link.amount, link.external_id, link.url) == (150.5, "a-1", answer["url"])


@pytest.mark.parametrize(
    ("fields", "status", "code"),
    [
        ({"currency": "XXX"}, 400, "validation_error"),
        ({"currency": "BTC"}, 403, "operation_disabled"),
        ({"payment_method": "TRC20"}, 403, "operation_disabled"),
        ({"callback_url": "http://169.254.169.254/latest"}, 400, "validation_error"),
        ({"callback_url": "https://user@shop.example/"}, 400, "validation_error"),
    ],
)
def test_refusals(node: Provider, api: ApiClient, fields: dict[str, str], status: int, code: str) -> None:
    answer = ask(api, **fields)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert DepositAddress.objects.count() == PaymentLink.objects.count() == 0


def test_switches(node: Provider, api: ApiClient) -> None:
    def refused() -> str:
        return str(ask(api).json()["code"])

    Switch.objects.filter(code="deposit").update(is_on=False, reason="test", off_at=clock.now())
    assert refused() == "operation_disabled"
    Switch.objects.filter(code="deposit").update(is_on=True)
    Currency.objects.filter(code="USDT").update(is_enabled=False)
    assert refused() == "currency_disabled"
    Currency.objects.filter(code="USDT").update(is_enabled=True)
    Network.objects.filter(code="erc20").update(is_enabled=False)
    assert refused() == "operation_disabled"
    Network.objects.filter(code="erc20").update(is_enabled=True)
    Provider.objects.filter(pk=node.pk).update(health="bad")
    assert refused() == "provider_unavailable"
    assert DepositAddress.objects.count() == PaymentLink.objects.count() == 0


def test_without_an_extended_key(node: Provider, api: ApiClient) -> None:
    Provider.objects.filter(pk=node.pk).update(settings={**node.settings, "xpub": ""})
    assert ask(api).json()["code"] == "provider_unavailable"
    assert DepositAddress.objects.count() == 0
