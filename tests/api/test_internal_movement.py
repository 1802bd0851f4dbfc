"""Calls 41 and 42, as old clients send them and as new ones do."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from kauri.account import tokens
from kauri.account.models import ApiKey, User
from kauri.internal_movement_order.api import UNKNOWN_AN_HOUR
from kauri.order_core.models import Order, Policy
from tests.api.client import ApiClient
from tests.moves import balance_of, give

PATH = "/api/v1/internal_movement"


@pytest.fixture
def two(customer: Callable[..., User]) -> tuple[User, User]:
    sender, receiver = customer(), customer()
    give(sender, "UAH", "100")
    return sender, receiver


def client(user: User) -> ApiClient:
    return ApiClient(token=tokens.issue(user))


def test_the_old_clients_request_and_answer(two: tuple[User, User]) -> None:
    sender, receiver = two
    api = client(sender)
    body = {
        "currency": "UAH",
        "destination_account_email": receiver.email,
        "amount": "10",
        "comment": None,
        "callback_url": None,
        "totp_code": None,
    }
    answer = api.post(PATH, body)
    said = answer.json()
    assert (answer.status_code, said["status"], said["order_status"]) == (200, "success", "CLOSED")
    assert (said["amount"], said["fee"], said["amount_to_receive"]) == (10, 0, 10)
    again = api.post(f"{PATH}/repeat/", {"order_id": said["order_id"], "amount": "11"})
    assert again.status_code == 200
    assert again.json()["order_id"] != said["order_id"]
    assert balance_of(receiver, "UAH")[0] == 21


def test_history_and_details_of_both_sides(two: tuple[User, User], customer: Callable[..., User]) -> None:
    sender, receiver = two
    Policy.objects.filter(operation="INTERNAL_MOVEMENT", currency__code="UAH").update(fee_fixed=Decimal(1))
    body = {
        "currency": "uah",
        "amount": 10,
        "destination_account_number": receiver.number,
        "comment": "only mine",
        "message": "for tea",
        "external_id": "gift-1",
    }
    order_id = client(sender).post(PATH, body).json()["order_id"]
    views = {}
    for name, user in (("out", sender), ("in", receiver)):
        api = client(user)
        [row] = api.get("/api/v1/orders/history?order_type=INTERNAL_MOVEMENT").json()["orders"]
        full = api.get(f"/api/v1/orders/details?order_id={order_id}").json()["order_details"]
        assert row["external_id"] == full["external_id"] == order_id
        assert row["details"]["direction"] == name
        views[name] = full
    assert (views["out"]["amount"], views["out"]["fee"], views["out"]["comment"]) == (11, 1, "only mine")
    assert views["out"]["details"]["destination"] == receiver.number
    assert (views["in"]["amount"], views["in"]["fee"], views["in"]["comment"]) == (10, 0, "")
    assert views["in"]["client_external_id"] is None
    assert views["in"]["details"]["sender_account_number"] == sender.number
    assert [row["amount"] for entry in views["in"]["transfers"] for row in entry["entries"]] == [10]
    assert [row["amount"] for entry in views["out"]["transfers"] for row in entry["entries"]] == [-11]
    stranger = client(customer())
    assert stranger.get(f"/api/v1/orders/details?order_id={order_id}").status_code == 404
    assert stranger.get("/api/v1/orders/history").json()["orders"] == []


def test_pages_run_through_both_sides_in_order(two: tuple[User, User]) -> None:
    sender, receiver = two
    made = []
    for number in range(6):
        who, to = (sender, receiver) if number % 2 == 0 else (receiver, sender)
        answer = client(who).post(
            PATH, {"currency": "UAH", "amount": "10", "destination_account_email": to.email}
        )
        made.append(answer.json()["order_id"])
    api = client(sender)
    seen, cursor = [], ""
    for _ in range(3):
        page = api.get(f"/api/v1/orders/history?limit=2&cursor={cursor}").json()
        seen += [row["external_id"] for row in page["orders"]]
        cursor = page["next_cursor"]
    assert (seen, cursor) == (made[::-1], None)
    second = api.get("/api/v1/orders/history?limit=2&page=2").json()
    assert ([row["external_id"] for row in second["orders"]], second["pages_count"]) == (made[::-1][2:4], 3)


def test_the_same_key_moves_once(two: tuple[User, User]) -> None:
    sender, receiver = two
    api = client(sender)
    body = {"currency": "UAH", "amount": "10", "destination_account_email": receiver.email}
    first = api.post(PATH, body, **{"Idempotency-Key": "k-1"})
    again = api.post(PATH, body, **{"Idempotency-Key": "k-1"})
    assert (first.content, again["Idempotency-Replayed"]) == (again.content, "true")
    other = api.post(PATH, {**body, "amount": "11"}, **{"Idempotency-Key": "k-1"})
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_mismatch")
    assert (Order.objects.count(), balance_of(receiver, "UAH")[0]) == (1, 10)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({}, "validation_error"),
        ({"destination_account_email": "x@example.com", "destination_telegram": "1"}, "validation_error"),
        ({"destination_account_email": "  "}, "validation_error"),
        ({"destination_account_email": "nobody@example.com"}, "recipient_not_found"),
        ({"destination_account_email": "nobody@example.com", "currency": "XXX"}, "recipient_not_found"),
        ({"destination_account_email": "a@b.c", "amount": True}, "validation_error"),
        ({"destination_account_email": "a@b.c", "callback_url": "http://127.0.0.1/x"}, "validation_error"),
    ],
)
def test_refusals(two: tuple[User, User], body: dict[str, Any], code: str) -> None:
    sender, _ = two
    answer = client(sender).post(PATH, {"currency": "UAH", "amount": "10", **body})
    assert answer.json()["code"] == code
    assert Order.objects.count() == 0


def test_who_guesses_names_is_stopped(two: tuple[User, User]) -> None:
    sender, receiver = two
    api = client(sender)

    def ask(email: str) -> str:
        body = {"currency": "UAH", "amount": "10", "destination_account_email": email}
        return str(api.post(PATH, body).json().get("code"))

    assert {ask(f"guess{number}@example.com") for number in range(UNKNOWN_AN_HOUR)} == {"recipient_not_found"}
    # From here on the right name and the wrong one get the same answer.
    assert {ask("one-more@example.com"), ask(receiver.email)} == {"rate_limited"}
    assert Order.objects.count() == 0


@pytest.mark.parametrize(("scopes", "status"), [(["read", "withdraw"], 403), (["trade"], 200)])
def test_a_key_needs_the_scope(two: tuple[User, User], scopes: list[str], status: int) -> None:
    sender, receiver = two
    key = ApiKey.objects.create(
        user=sender, name="shop", key="key-1", secret="test-api-secret-0001", scopes=scopes, state="active"
    )
    api = ApiClient(key=key.key, secret=key.secret)
    body = {"currency": "UAH", "amount": "10", "destination_account_email": receiver.email}
    answer = api.post(PATH, body)
    assert answer.status_code == status
    if status == 200:
        assert Order.objects.get().transitions.all()[0].actor_label == f"{sender.email} (shop)"
