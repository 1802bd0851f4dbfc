"""What every call keeps to: envelope, languages, numbers, paths, request ids, signatures."""

from __future__ import annotations

import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from django.test import Client

from backoffice import calls
from backoffice.api import schema
from backoffice.settings.env import ROOT
from kauri.account import signing, tokens
from kauri.account.models import ApiKey, User
from kauri.balance import ledger
from kauri.balance.chart import AccountKind, TransferKind
from kauri.balance.ledger import Leg
from kauri.balance.models import Entry
from kauri.common import clock
from kauri.common.actor import SYSTEM
from kauri.common.errors import CODES
from kauri.common.ids import ledger_key
from kauri.core.models import Currency
from tests.api.client import ApiClient


@pytest.fixture
def keyed(customer: Callable[..., User]) -> Callable[..., ApiClient]:
    """A customer's signed client."""

    def make(user: User | None = None, **fields: Any) -> ApiClient:
        user = user or customer()
        values = {
            "scopes": ["read", "withdraw"],
            "state": "active",
            "secret": "test-api-secret-0001",
            **fields,
        }
        key = ApiKey.objects.create(
            user=user, name="test", key=f"key{user.pk}{ApiKey.objects.count()}", **values
        )
        return ApiClient(key=key.key, secret=key.secret)

    return make


def give(user: User, code: str, amount: str) -> None:
    currency = Currency.objects.get(code=code)
    ledger.post(
        ledger_key("test", user.pk, code, amount),
        TransferKind.OPENING,
        [
            Leg(AccountKind.CAPITAL, currency, -Decimal(amount)),
            Leg(AccountKind.CUSTOMER_AVAILABLE, currency, Decimal(amount), customer_id=user.pk),
        ],
        actor=SYSTEM,
    )


def test_published_vector_of_signature_version_2() -> None:
    message = signing.string_to_sign(
        timestamp="1700000000000",
        nonce="3f0c6d2e-0f3b-4a43-9f6a-1d0f6a0c9b11",
        method="POST",
        path="/api/v1/withdrawal",
        query="",
        body=b'{"currency":"BTC","amount":"0.1"}',
    )
    assert signing.sign("test-api-secret-0001", message) == (
        "dd11f5456369b6224ab38fc1832d5e0cd2526fb3158087a1dae8ab9c9292c8dd"
    )


def test_signed_request_once(keyed: Callable[..., ApiClient]) -> None:
    api = keyed()
    headers = api.sign("GET", "/api/v1/user/balance", b"")
    http = Client()
    assert http.get("/api/v1/user/balance", headers=headers).status_code == 200
    again = http.get("/api/v1/user/balance", headers=headers)
    assert (again.status_code, again.json()["code"]) == (401, "replayed_request")


@pytest.mark.parametrize("moment", ["0", "99999999999999999999", "-1", "abc", "1700000000000"])
def test_time_window(keyed: Callable[..., ApiClient], moment: str) -> None:
    api = keyed()
    headers = api.sign("GET", "/api/v1/user/balance", b"", timestamp=moment)
    assert Client().get("/api/v1/user/balance", headers=headers).json()["code"] == "replayed_request"


def test_signature_of_another_path_method_query_or_body(keyed: Callable[..., ApiClient]) -> None:
    api = keyed()
    http = Client()
    for headers in (
        api.sign("GET", "/api/v1/orders/history", b""),
        api.sign("POST", "/api/v1/user/balance", b""),
        api.sign("GET", "/api/v1/user/balance?at=2026-01-01T00:00:00Z", b""),
        api.sign("GET", "/api/v1/user/balance", b"x"),
        {**api.sign("GET", "/api/v1/user/balance", b""), "Key": "another"},
        {**api.sign("GET", "/api/v1/user/balance", b""), "Sign": "ї"},
    ):
        answer = http.get("/api/v1/user/balance", headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (401, "invalid_signature")


def test_scope_address_and_disabled_account(
    keyed: Callable[..., ApiClient], customer: Callable[..., User]
) -> None:
    reader = keyed(scopes=["withdraw"])
    assert reader.get("/api/v1/user/balance").json()["code"] == "forbidden"
    elsewhere = keyed(ips=["203.0.113.7"])
    assert elsewhere.get("/api/v1/user/balance").json()["code"] == "ip_not_allowed"
    spoofed = elsewhere.get("/api/v1/user/balance", **{"X-Forwarded-For": "203.0.113.7"})
    assert spoofed.json()["code"] == "ip_not_allowed"
    user = customer()
    off = keyed(user)
    User.objects.filter(pk=user.pk).update(is_active=False)
    assert off.get("/api/v1/user/balance").json()["code"] == "account_disabled"


def test_keys_manage_no_keys(keyed: Callable[..., ApiClient]) -> None:
    answer = keyed().post("/api/v1/user/api_keys/create", {"name": "more", "scopes": ["withdraw"]})
    assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
    assert ApiKey.objects.count() == 1


def test_every_form_of_a_path(customer: Callable[..., User], keyed: Callable[..., ApiClient]) -> None:
    api = keyed()
    for path in ("/api/v1/currency", "/api/v1/currency/", "//api/v1//currency", "//api/v1/currency/"):
        assert api.http.generic("GET", "/", PATH_INFO=path).json()["currencies"][:3] == ["BTC", "ETH", "USDT"]
    for path in ("/api/v1/user/balance", "/api/v1/user/balance/"):
        assert api.get(path).status_code == 200


def test_currency_details_and_pairs(house: None, django_assert_num_queries: Any) -> None:
    http = Client()
    with django_assert_num_queries(2):
        answer = http.get("/api/v1/currency?details=1").json()
    assert [(c["name"], c["scale"]) for c in answer["currencies"]] == [
        ("BTC", 8),
        ("ETH", 18),
        ("USDT", 6),
        ("UAH", 2),
        ("RUB", 2),
        ("USD", 2),
        ("EUR", 2),
    ]
    with django_assert_num_queries(1):
        pairs = http.get("/api/v1/pair").json()["pairs"]
    assert {
        "name": "BTC_UAH",
        "currency_to_spend": "UAH",
        "currency_to_get": "BTC",
        "base_currency": "BTC",
    } in pairs
    assert len(pairs) == 42


def test_numbers_are_exact(customer: Callable[..., User], django_assert_num_queries: Any) -> None:
    user = customer()
    give(user, "ETH", "12345678901234567.123456789012345678")
    api = ApiClient(token=tokens.issue(user))
    api.get("/api/v1/user/balance")
    with django_assert_num_queries(3):
        raw = api.get("/api/v1/user/balance").content.decode()
    assert '"ETH":{"total":12345678901234567.123456789012345678,"reserved":0}' in raw
    text = api.get("/api/v1/user/balance", Accept="application/json; decimals=string").json()
    assert text["balance"]["ETH"]["available"] == "12345678901234567.123456789012345678"


def test_balance_of_a_past_moment(customer: Callable[..., User]) -> None:
    user = customer()
    give(user, "UAH", "100.50")
    api = ApiClient(token=tokens.issue(user))
    first = Entry.objects.order_by("id")[0].created_at
    give(user, "UAH", "1")
    then = api.get(f"/api/v1/user/balance?at={clock.iso(first)}").json()
    assert then["balance"]["UAH"]["available"] == 100.5
    now = api.get("/api/v1/user/balance").json()
    assert now["balance"]["UAH"]["available"] == 101.5
    for unknown in ("2199-01-01T00:00:00Z", "2026-01-01T00:00:00Z"):
        answer = api.get(f"/api/v1/user/balance?at={unknown}")
        assert (answer.status_code, answer.json()["code"]) == (422, "moment_unknown")
    for wrong in ("2026-01-01T00:00:00", "yesterday"):
        assert api.get(f"/api/v1/user/balance?at={wrong}").json()["code"] == "validation_error"


def test_errors_speak_the_callers_language(house: None) -> None:
    api = ApiClient()
    words = {
        language: api.get("/api/v1/user/balance", **{"Accept-Language": language}).json()["error"]
        for language in ("en", "uk-UA,uk;q=0.9", "ua", "ru", "de, ru;q=0.5", "de")
    }
    assert words == {
        "en": "Authentication is required.",
        "uk-UA,uk;q=0.9": "Потрібна автентифікація.",
        "ua": "Потрібна автентифікація.",
        "ru": "Требуется аутентификация.",
        "de, ru;q=0.5": "Требуется аутентификация.",
        "de": "Authentication is required.",
    }


def test_problem_json(house: None) -> None:
    answer = ApiClient().get("/api/v1/user/balance", Accept="application/problem+json")
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert (answer.json()["status"], answer.json()["code"]) == (401, "unauthenticated")


def test_request_id_is_taken_or_made(house: None) -> None:
    api = ApiClient()
    taken = api.get("/api/v1/user/balance", **{"X-Request-Id": "client-0001"})
    assert taken.headers["X-Request-Id"] == taken.json()["request_id"] == "client-0001"
    made = api.get("/api/v1/user/balance", **{"X-Request-Id": "bad id\u00e9"})
    assert len(made.headers["X-Request-Id"]) == 32


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"nope", b"{" * 5000, b'{"a":' * 20 + b"1" + b"}" * 20, b"\xff", b'{"email": {"a": 1}}'],
)
def test_hostile_bodies(house: None, body: bytes) -> None:
    answer = Client().generic("POST", "/api/v1/user/obtain_token", body, content_type="application/json")
    assert (answer.status_code, answer.json()["code"]) == (400, "validation_error")


def test_oversized_body(house: None, settings: Any) -> None:
    body = b'{"email": "' + b"x" * settings.DATA_UPLOAD_MAX_MEMORY_SIZE + b'"}'
    answer = Client().generic("POST", "/api/v1/user/obtain_token", body, content_type="application/json")
    assert (answer.status_code, answer.json()["code"]) == (413, "payload_too_large")


def test_unknown_paths_and_methods(house: None) -> None:
    http = Client()
    missing = http.get("/api/v1/nothing")
    assert (missing.status_code, missing.json()["code"]) == (404, "not_found")
    wrong = http.delete("/api/v1/currency")
    assert (wrong.status_code, wrong.json()["code"]) == (405, "method_not_allowed")


def test_rate_limit_headers(keyed: Callable[..., ApiClient], settings: Any) -> None:
    settings.KAURI = settings.KAURI.model_copy(update={"api_rate_per_minute": 2})
    api = keyed()
    first = api.get("/api/v1/user/balance")
    assert first.headers["RateLimit-Policy"] == '"account";q=2;w=60'
    assert first.headers["RateLimit"].startswith('"account";r=1;t=')
    api.get("/api/v1/user/balance")
    third = api.get("/api/v1/user/balance")
    assert (third.status_code, third.json()["code"]) == (429, "rate_limited")
    assert 1 <= int(third.headers["Retry-After"]) <= 60


def test_error_codes_are_documented_and_closed() -> None:
    for code, spec in CODES.items():
        assert 400 <= spec.status < 600, code
        assert all((spec.en, spec.uk, spec.ru)), code


def test_openapi_snapshot(house: None) -> None:
    """Regenerate with ``make openapi`` and look at the difference."""
    stored = json.loads((ROOT / "fixtures" / "openapi.json").read_text(encoding="utf-8"))
    assert json.loads(json.dumps(schema(), default=str)) == stored


def test_every_call_of_the_source_document_is_listed(house: None) -> None:
    """Regenerate with ``make openapi``: a call that is missing, or moved, changes the page."""
    document = schema()
    assert list(calls.CALLS) == list(range(1, 57))
    assert len(set(calls.CALLS.values())) == 53
    assert calls.page(document) == (ROOT / "docs" / "calls.md").read_text(encoding="utf-8")
    known = calls.operations(document)
    assert calls.state(42, known) == ("built", ["internal_movement_create"])
    del known["POST", "internal_movement"]
    assert calls.state(42, known) == ("not yet", [])
    assert calls.state(4, {("GET", "exchange_rate"): "rates"}) == ("not yet", ["rates"])


def test_openapi_and_docs_are_served_without_outside_assets(house: None) -> None:
    http = Client()
    document = http.get("/api/v1/openapi.json").json()
    assert document["openapi"].startswith("3.1")
    page = http.get("/api/v1/docs").content.decode()
    assert "//cdn" not in page
    assert "https://" not in page
