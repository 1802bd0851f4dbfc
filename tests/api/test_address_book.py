"""GET and POST /withdrawal/addresses…, POST /withdrawal/whitelist: as a client sees them."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from django.core import mail

from kauri.account import tokens
from kauri.account.models import ApiKey, User
from kauri.withdrawal_order.models import SavedDestination, WhitelistChange
from tests.api.client import ApiClient
from tests.moves import give, sandbox_on

BOOK = "/api/v1/withdrawal/addresses"
SWITCH = "/api/v1/withdrawal/whitelist"
ADDRESS = {"currency": "uah", "address": "sandbox:success", "label": " Till "}


@pytest.fixture
def user(customer: Callable[..., User]) -> User:
    sandbox_on()
    person = customer()
    give(person, "UAH", "1000")
    return person


@pytest.fixture
def api(user: User) -> ApiClient:
    return ApiClient(token=tokens.issue(user))


def code(answer: Any) -> tuple[int, str]:
    return answer.status_code, answer.json().get("code", "")


def sent() -> str:
    return re.findall(r"^(\d{8})$", str(mail.outbox[-1].body), re.MULTILINE)[-1]


def test_saved_confirmed_listed_deleted(api: ApiClient, drain: Callable[..., int]) -> None:
    assert api.get(BOOK).json() == {
        "status": "success",
        "whitelist": {"enabled": False, "off_from": None},
        "addresses": [],
    }
    made = api.post(f"{BOOK}/create", ADDRESS).json()["address"]
    row = SavedDestination.objects.get()
    assert made == {
        "address_id": str(row.public_id),
        "currency": "UAH",
        "network": None,
        "address": "sandbox:success",
        "label": "Till",
        "state": "pending",
        "confirmed_at": None,
        "usable_from": None,
    }
    drain()
    named = {"address_id": made["address_id"]}
    assert code(api.post(f"{BOOK}/confirm", {**named, "code": "00000000"})) == (400, "wrong_code")
    done = api.post(f"{BOOK}/confirm", {**named, "code": sent()}).json()["address"]
    assert done["state"] == "cooling"
    assert done["confirmed_at"] < done["usable_from"]
    assert api.get(BOOK).json()["addresses"] == [done]
    assert api.post(f"{BOOK}/create", ADDRESS).json()["address"] == done
    for _ in range(2):
        assert api.post(f"{BOOK}/delete", named).json()["address"]["state"] == "deleted"
    assert api.get(BOOK).json()["addresses"] == []
    assert code(api.post(f"{BOOK}/confirm", {**named, "code": sent()})) == (404, "not_found")


def test_the_switch(api: ApiClient, drain: Callable[..., int]) -> None:
    pending = api.post(SWITCH, {"enabled": True}).json()
    assert (pending["state"], pending["whitelist"]["enabled"]) == ("pending", False)
    drain()
    done = api.post(SWITCH, {"enabled": True, "code": sent()}).json()
    assert done == {
        "status": "success",
        "state": "done",
        "whitelist": {"enabled": True, "off_from": None},
    }
    body = {"currency": "UAH", "amount": "100", "wallet_to": "sandbox:success"}
    assert code(api.post("/api/v1/withdrawal", body)) == (403, "destination_not_allowed")
    api.post(SWITCH, {"enabled": False})
    drain()
    off = api.post(SWITCH, {"enabled": False, "code": sent()}).json()["whitelist"]
    assert (off["enabled"], off["off_from"] is None) == (True, False)
    assert api.get(BOOK).json()["whitelist"] == off
    assert code(api.post("/api/v1/withdrawal", body)) == (403, "destination_not_allowed")


def test_letters_are_few(api: ApiClient) -> None:
    answers = [code(api.post(f"{BOOK}/create", ADDRESS)) for _ in range(6)]
    assert answers == [(200, "")] * 5 + [(429, "rate_limited")]


def test_a_key_reads_the_book_and_writes_nothing(api: ApiClient, user: User) -> None:
    made = api.post(f"{BOOK}/create", ADDRESS).json()["address"]
    key = ApiKey.objects.create(
        user=user, name="k", key="k", secret="s" * 20, scopes=["read", "trade", "withdraw"], state="active"
    )
    by_key = ApiClient(key=key.key, secret=key.secret)
    assert by_key.get(BOOK).json()["addresses"] == [made]
    named = {"address_id": made["address_id"]}
    for path, body in (
        (f"{BOOK}/create", ADDRESS),
        (f"{BOOK}/confirm", {**named, "code": "1"}),
        (f"{BOOK}/delete", named),
        (SWITCH, {"enabled": True}),
    ):
        assert code(by_key.post(path, body)) == (403, "forbidden")
    assert (SavedDestination.objects.count(), WhitelistChange.objects.count()) == (1, 0)


def test_nobody_elses(api: ApiClient, customer: Callable[..., User]) -> None:
    made = api.post(f"{BOOK}/create", ADDRESS).json()["address"]
    stranger = ApiClient(token=tokens.issue(customer()))
    assert stranger.get(BOOK).json()["addresses"] == []
    for path, more in (("confirm", {"code": "00000000"}), ("delete", {})):
        found = stranger.post(f"{BOOK}/{path}", {"address_id": made["address_id"], **more})
        none = stranger.post(f"{BOOK}/{path}", {"address_id": str(uuid.uuid4()), **more})
        assert code(found) == code(none) == (404, "not_found")
    assert SavedDestination.objects.get().removed_at is None


def test_what_is_refused(api: ApiClient) -> None:
    for body, refused in (
        ({**ADDRESS, "address": "nonsense"}, (400, "invalid_destination")),
        ({**ADDRESS, "currency": "NONE"}, (400, "validation_error")),
        ({**ADDRESS, "label": "x" * 65}, (400, "validation_error")),
        ({**ADDRESS, "address": ""}, (400, "validation_error")),
        ({**ADDRESS, "network": "TRC20"}, (403, "operation_disabled")),
    ):
        assert code(api.post(f"{BOOK}/create", body)) == refused, body
    for value in (0, 1, "true", None):
        assert code(api.post(SWITCH, {"enabled": value})) == (400, "validation_error"), value
    assert (SavedDestination.objects.count(), WhitelistChange.objects.count()) == (0, 0)
