"""The old platform's own client (kauri-finance-sdk 0.0.4), unmodified, against a running server."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, make_server

import pytest
from django.core.wsgi import get_wsgi_application
from django.db import connection
from kauripay.processing import KauriPay

from kauri.account.models import User
from kauri.balance import invariants
from kauri.common.actor import Actor
from kauri.order_core.models import Order
from kauri.withdrawal_order.services import withdrawal_approve
from tests.compat.old_client import key_of
from tests.house import Usdt
from tests.moves import address_of, balance_of, give, sandbox_on

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def user(customer: Callable[..., User]) -> User:
    sandbox_on()
    person = customer(email="a@example.com", username="shop")
    give(person, "UAH", "1000")
    return person


class Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        del format, args


@pytest.fixture
def server(transactional_db: None) -> Iterator[str]:
    """The house behind a real socket on loopback, in a thread with a database session of its own."""
    running = make_server("127.0.0.1", 0, get_wsgi_application(), handler_class=Quiet)

    def serve() -> None:
        running.serve_forever(poll_interval=0.05)
        connection.close()

    thread = threading.Thread(target=serve)
    thread.start()
    # As the client's README shows it: the host ends in a slash, so every path begins with two.
    yield f"http://127.0.0.1:{running.server_port}/"
    running.shutdown()
    thread.join()
    running.server_close()


@pytest.fixture
def clients(server: str) -> Iterator[Callable[..., KauriPay]]:
    made: list[KauriPay] = []

    def make(user: User, **fields: Any) -> KauriPay:
        key = key_of(user, **fields)
        made.append(KauriPay(key.key, key.secret, server, timeout=30))
        return made[-1]

    yield make
    for client in made:
        client._session.close()


@pytest.fixture
def sdk(clients: Callable[..., KauriPay], user: User) -> KauriPay:
    return clients(user)


def refusal(act: Callable[[], Any]) -> dict[str, Any]:
    """What the client raises: an exception whose text is the answer's body."""
    with pytest.raises(Exception, match="status") as caught:
        act()
    return dict(json.loads(str(caught.value)))


def test_the_market(sdk: KauriPay) -> None:
    assert sdk.get_currencies()[:3] == ["BTC", "ETH", "USDT"]
    pairs = sdk.get_pairs()
    found = pairs["pairs"] if isinstance(pairs, dict) else pairs
    assert {
        "name": "BTC_UAH",
        "currency_to_spend": "UAH",
        "currency_to_get": "BTC",
        "base_currency": "BTC",
    } in found


def test_balance_adds_up_as_its_readme_does(sdk: KauriPay) -> None:
    sdk.create_withdrawal("UAH", "100", "sandbox:success", "a@example.com")
    uah = sdk.get_balance()["balance"]["UAH"]["UAH"]
    assert uah["total"] + uah["reserved"] == 1000
    assert uah == {"total": 895, "reserved": 105}


def test_account_info(sdk: KauriPay) -> None:
    info = sdk.get_account_info()
    assert (info["name"], info["email"], info["account_type"]) == ("shop", "a@example.com", "VERIFIED")
    assert (info["is_email_verified"], info["is_2fa_enabled"]) == (True, False)
    assert info["withdrawal_order_limits"]["UAH"]["GATEWAY"]["min_amount"] == 50
    assert info["withdrawal_order_fees"]["UAH"]["GATEWAY"]["percent_fee"] == 0.5
    assert info["withdrawal_order_processing_rules"]["UAH"]["GATEWAY"]["is_withdrawal_enabled"] is True
    assert info["deposit_order_processing_rules"]["UAH"]["GATEWAY"]["P2P"]["is_deposit_enabled"] is True
    assert info["internal_movement_processing_rules"]["UAH"]["CROSS_ACCOUNT"]["is_enabled"] is True


def test_a_setting(sdk: KauriPay, user: User) -> None:
    assert sdk.set_account_setting("ua", "language")["settings"]["language"] == "uk"
    user.refresh_from_db()
    assert user.language == "uk"
    assert refusal(lambda: sdk.set_account_setting("x", "is_staff"))["code"] == "validation_error"


def test_crypto_address(sdk: KauriPay, user: User, usdt: Usdt) -> None:
    shown = sdk.generate_crypto_deposit_address("USDT", "a@example.com")
    assert shown["address"] == address_of(user)
    assert shown["qr"].startswith("iVBOR")
    # It puts two of its arguments where others belong; the address is the same all the same.
    misplaced = sdk.generate_crypto_deposit_address(
        "USDT", "a@example.com", payment_method="ERC20", callback_url="https://shop.example/cb"
    )
    assert misplaced["address"] == shown["address"]


def test_fiat_payment_page(sdk: KauriPay) -> None:
    # The sandbox's "page" is what a payer has to write.
    url = sdk.generate_fiat_deposit_address("UAH", "a@example.com", amount_to_spend="1000")
    assert url.startswith("Pay 1000.00 UAH to the sandbox, quoting ")


def test_withdrawal_and_its_repeat(
    sdk: KauriPay, user: User, operator: Callable[..., Actor], drain: Callable[..., int]
) -> None:
    first = sdk.create_withdrawal("UAH", "100", "sandbox:success", "a@example.com", comment="тест")
    assert first["status"] == "success"
    early = refusal(lambda: sdk.repeat_withdrawal(first["order_id"]))
    assert (early["status"], early["code"]) == ("error", "wrong_state")
    withdrawal_approve(order_id=first["order_id"], actor=operator())
    drain()
    assert sdk.get_order_details(first["order_id"])["status"] == "CLOSED"
    second = sdk.repeat_withdrawal(first["order_id"], 60.5)
    assert second["order_id"] != first["order_id"]
    third = sdk.repeat_withdrawal(first["order_id"])
    again = sdk.repeat_withdrawal(first["order_id"])
    assert third == again
    orders = {str(order.public_id): order for order in Order.objects.all()}
    assert {order.amount_out for order in orders.values()} == {Decimal(100), Decimal("60.5")}
    repeated = orders[third["order_id"]]
    assert (repeated.withdrawal.destination, repeated.comment) == ("sandbox:success", "тест")
    assert repeated.additional_info == {"withdrawal_email": "a@example.com"}
    assert len(orders) == 3
    assert invariants.broken_laws() == []


def test_movement_and_its_repeat(sdk: KauriPay, user: User, customer: Callable[..., User]) -> None:
    friend = customer(email="b+c@example.com")
    first = sdk.create_internal_movement("UAH", "10", "b+c@example.com", comment="кава і чай")
    second = sdk.repeat_internal_movement(first["order_id"], "11")
    assert first["order_id"] != second["order_id"]
    assert balance_of(friend, "UAH") == (Decimal(21), Decimal(0))
    unknown = refusal(lambda: sdk.create_internal_movement("UAH", "10", "nobody@example.com"))
    assert unknown["code"] == "recipient_not_found"


def test_history_and_details(sdk: KauriPay, user: User, customer: Callable[..., User]) -> None:
    customer(email="b@example.com")
    moved = sdk.create_internal_movement("UAH", "10", "b@example.com")["order_id"]
    sent = sdk.create_withdrawal("UAH", "100", "sandbox:success", "a@example.com")["order_id"]
    history = sdk.get_orders_history(page="1", items_per_page="20", from_timestamp="1580000000")
    assert history["status"] == "success"
    assert [order["external_id"] for order in history["orders"]] == [sent, moved]
    assert history["pages_count"] == 1
    only = sdk.get_orders_history(order_type="WITHDRAWAL", currency="UAH", address="sandbox:success")
    assert [order["external_id"] for order in only["orders"]] == [sent]
    details = sdk.get_order_details(sent)
    assert (details["order_type"], details["currency"], details["amount"], details["fee"]) == (
        "WITHDRAWAL",
        "UAH",
        105,
        5,
    )
    assert details["details"]["amount_to_withdrawal"] == 100


def test_errors_are_its_exceptions(sdk: KauriPay, clients: Callable[..., KauriPay], user: User) -> None:
    poor = refusal(lambda: sdk.create_withdrawal("UAH", "5000", "sandbox:success", "a@example.com"))
    assert (poor["status"], poor["error"], poor["code"]) == (
        "error",
        "There is not enough money.",
        "insufficient_funds",
    )
    sdk._api_secret = "wrong"
    assert refusal(sdk.get_balance)["code"] == "invalid_signature"
    reader = clients(user, scopes=["trade"])
    assert refusal(reader.get_balance)["code"] == "forbidden"
    unlisted = clients(user, ips=[])
    refused = refusal(lambda: unlisted.create_withdrawal("UAH", "100", "sandbox:success", "a@example.com"))
    assert refused["code"] == "ip_not_allowed"
    assert Order.objects.count() == 0
