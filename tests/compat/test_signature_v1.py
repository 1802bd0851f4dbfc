"""The old platform's signature: its published and captured vectors, its traps, and what an attacker may try."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from kauri.account import signing
from kauri.account.models import ApiKey, UsedNonce, User
from kauri.common import clock
from kauri.core.models import IdempotencyRecord
from kauri.order_core.models import Order
from tests.api.client import ApiClient
from tests.compat.old_client import OldClient, key_of
from tests.moves import balance_of, give, sandbox_on, together

VECTORS = Path(__file__).parent / "vectors"
CAPTURED = json.loads((VECTORS / "sdk_requests.json").read_text(encoding="utf-8"))
PUBLISHED = json.loads((VECTORS / "signatures.json").read_text(encoding="utf-8"))
SECRET = CAPTURED["secret"]
BALANCE = "/api/v1/user/balance"
WITHDRAWAL = "/api/v1/withdrawal"


def wanted(**fields: Any) -> dict[str, Any]:
    return {"currency": "UAH", "amount": "100", "wallet_to": "sandbox:success", **fields}


@pytest.fixture
def user(customer: Callable[..., User]) -> User:
    sandbox_on()
    person = customer()
    give(person, "UAH", "1000")
    return person


@pytest.fixture
def old(user: User) -> OldClient:
    return OldClient(key_of(user))


def code(answer: Any) -> tuple[int, str]:
    return answer.status_code, answer.json().get("code", "")


def test_there_are_twenty_four_captured_requests() -> None:
    assert len(CAPTURED["requests"]) == 24


@pytest.mark.parametrize("captured", CAPTURED["requests"], ids=lambda row: row["call"])
def test_every_captured_request_is_verified(captured: dict[str, Any]) -> None:
    target = urlsplit(captured["target"])
    # The old client's own JSON library writes the body.
    body = b"" if captured["body"] is None else json.dumps(captured["body"]).encode()
    message = signing.string_to_sign_v1(
        method=captured["method"], path=target.path, query=target.query, body=body
    )
    assert message.decode() == captured["string_to_sign"]
    assert signing.matches(SECRET, message, captured["sign"])


@pytest.mark.parametrize("name", sorted(PUBLISHED))
def test_published_vectors(name: str) -> None:
    message, signature = PUBLISHED[name]
    assert signing.sign(SECRET, message.encode()) == signature


@pytest.mark.parametrize(
    ("body", "signed"),
    [
        ("", ""),
        ("{}", ""),
        ('{"a": null, "b": true, "c": false}', "a=None&b=True&c=False"),
        ('{"a": 11.5, "b": 11, "c": "11.50", "d": 1e16}', "a=11.5&b=11&c=11.50&d=1e%2B16"),
        ('{"b": {"z": 1, "a": null}, "a": "x y@z"}', "a=x+y%40z&b_a=None&b_z=1"),
        (
            '{"a": {"b": {"c": 1}}, "l": [1, "x", null]}',
            "a_b=%7B%27c%27%3A+1%7D&l=%5B1%2C+%27x%27%2C+None%5D",
        ),
        ('{"a": {}}', ""),
        ('{"B": 1, "a": 2, "A": 3}', "A=3&B=1&a=2"),
        ('{"\\u0456": "\\u0457"}', "%D1%96=%D1%97"),
    ],
)
def test_values_are_signed_as_python_writes_them(body: str, signed: str) -> None:
    message = signing.string_to_sign_v1(method="POST", path="/p", query="", body=body.encode())
    assert message.decode() == f"POST-/p-{signed}"


@pytest.mark.parametrize(
    ("method", "query", "body"),
    [
        ("POST", "", '{"a": 1, "a": 2}'),
        ("POST", "", '{"a": {"b": 1}, "a_b": 2}'),
        ("POST", "", '{"a_b": {"c": 1}, "a": {"b_c": 2}}'),
        ("POST", "", '{"a": 0.1000000000000000055}'),
        ("POST", "", '{"a": 1e999}'),
        ("POST", "", '{"a": NaN}'),
        ("POST", "", '{"a": -Infinity}'),
        ("POST", "", "[1]"),
        ("POST", "", "{" * 5000),
        ("POST", "", '{"a":' * 5000 + "1" + "}" * 5000),
        ("POST", "", '{"a": "\\ud800"}'),
        ("POST", "", '{"a": ' + "1" * 5000 + "}"),
        ("POST", "a=1", '{"a": 1}'),
        ("GET", "a=1&a=2", ""),
        ("GET", "a", ""),
        ("GET", "", "{}"),
        ("PUT", "", "{}"),
        ("DELETE", "", ""),
        ("HEAD", "", ""),
    ],
)
def test_what_such_a_signature_would_not_cover_is_refused(method: str, query: str, body: str) -> None:
    with pytest.raises(signing.Unsignable):
        signing.string_to_sign_v1(method=method, path="/p", query=query, body=body.encode())


def test_paths_as_received(old: OldClient) -> None:
    for path in (BALANCE, f"{BALANCE}/"):
        for sent in (path, f"/{path}", path.replace("/v1/", "/v1//")):
            answer = old.send("GET", sent, b"", old.sign("GET", path, {}))
            assert answer.status_code == 200, sent
    slash_is_signed = old.send("GET", f"{BALANCE}/", b"", old.sign("GET", BALANCE, {}))
    assert code(slash_is_signed) == (401, "invalid_signature")


def test_a_get_signs_its_query(old: OldClient) -> None:
    answer = old.get("/api/v1/orders/history", page="1", limits="20", from_timestamp="1580000000")
    assert answer.status_code == 200
    sign = old.sign("GET", "/api/v1/orders/history", {"limits": "20"})
    for target in ("limits=21", "limits=20&page=1", "", "limits=20&limits=20"):
        assert code(old.send("GET", f"/api/v1/orders/history?{target}", b"", sign)) == (
            401,
            "invalid_signature",
        )


def test_a_key_of_version_2_takes_no_version_1(user: User) -> None:
    old = OldClient(key_of(user, signature_version=2))
    assert code(old.get(BALANCE)) == (401, "invalid_signature")
    new = ApiClient(key=old.key.key, secret=old.key.secret)
    assert new.get(BALANCE).status_code == 200


def test_a_key_of_version_1_takes_version_2_with_all_its_rules(old: OldClient) -> None:
    new = ApiClient(key=old.key.key, secret=old.key.secret)
    headers = new.sign("GET", BALANCE, b"")
    assert new.http.get(BALANCE, headers=headers).status_code == 200
    assert code(new.http.get(BALANCE, headers=headers)) == (401, "replayed_request")
    # Neither a time nor a nonce makes an old signature a new one, and a new one without them is no old one.
    sign = old.sign("GET", BALANCE, {})
    for extra in ({"Timestamp": headers["Timestamp"]}, {"Nonce": headers["Nonce"]}):
        assert code(old.send("GET", BALANCE, b"", sign, **extra)) == (401, "invalid_signature")
    bare = {"Key": headers["Key"], "Sign": headers["Sign"]}
    assert code(new.http.get(BALANCE, headers=bare)) == (401, "invalid_signature")


def test_forgers_are_refused_and_leave_nothing(old: OldClient, user: User) -> None:
    other = OldClient(key_of(user, secret="another-secret-0002"))
    body = wanted()
    right = old.sign("POST", WITHDRAWAL, body)
    raw = json.dumps(body).encode()
    tries = [
        (WITHDRAWAL, raw, other.sign("POST", WITHDRAWAL, body)),
        (WITHDRAWAL, raw, old.sign("GET", WITHDRAWAL, body)),
        (WITHDRAWAL, raw, old.sign("POST", "/api/v1/internal_movement", body)),
        (WITHDRAWAL, json.dumps(wanted(amount="101")).encode(), right),
        (WITHDRAWAL, json.dumps({**body, "external_id": "x"}).encode(), right),
        (f"{WITHDRAWAL}?amount=1", raw, right),
        (WITHDRAWAL, raw, ""),
        (WITHDRAWAL, raw, "0" * 64),
    ]
    for target, sent, sign in tries:
        assert code(old.send("POST", target, sent, sign)) == (401, "invalid_signature"), target
    ApiKey.objects.filter(pk=old.key.pk).update(state="revoked")
    assert code(old.send("POST", WITHDRAWAL, raw, right)) == (401, "invalid_signature")
    assert (Order.objects.count(), UsedNonce.objects.count()) == (0, 0)
    assert balance_of(user, "UAH") == (Decimal(1000), Decimal(0))


def test_the_same_signature_answers_the_same_and_moves_money_once(old: OldClient, user: User) -> None:
    first = old.post(WITHDRAWAL, wanted())
    again = old.post(WITHDRAWAL, wanted())
    # A header is not signed: who replays the request may write another one.
    with_key = old.post(WITHDRAWAL, wanted(), **{"Idempotency-Key": "k-1"})
    assert first.status_code == 200, first.content
    assert first.content == again.content == with_key.content
    assert [a.headers.get("Idempotency-Replayed") for a in (first, again, with_key)] == [None, "true", "true"]
    assert Order.objects.count() == 1
    assert balance_of(user, "UAH") == (Decimal(895), Decimal(105))


def test_an_old_setting_does_not_come_back(old: OldClient, user: User) -> None:
    path = "/api/v1/user/account/setting"
    first = old.post(path, {"name": "language", "value": "uk", "totp_code": None})
    assert old.post(path, {"name": "language", "value": "ru", "totp_code": None}).status_code == 200
    replayed = old.post(path, {"name": "language", "value": "uk", "totp_code": None})
    assert replayed.content == first.content
    user.refresh_from_db()
    assert user.language == "ru"


@pytest.mark.django_db(transaction=True)
def test_the_same_request_at_one_moment_moves_money_once(old: OldClient, user: User) -> None:
    answers = together(4, lambda _: OldClient(old.key).post(WITHDRAWAL, wanted()))
    bodies = {answer.content for answer in answers if answer.status_code == 200}
    assert len(bodies) == 1
    assert {code(answer) for answer in answers} <= {(200, ""), (409, "conflict")}
    assert Order.objects.count() == 1
    assert balance_of(user, "UAH") == (Decimal(895), Decimal(105))


def test_another_body_of_the_same_signature_is_refused(old: OldClient, user: User) -> None:
    nested = wanted(additional_info={"client_ip": "8.8.8.8"})
    assert old.post(WITHDRAWAL, nested).status_code == 200
    flat = wanted(additional_info_client_ip="8.8.8.8")
    assert old.sign("POST", WITHDRAWAL, flat) == old.sign("POST", WITHDRAWAL, nested)
    assert code(old.post(WITHDRAWAL, flat)) == (422, "idempotency_mismatch")
    assert Order.objects.count() == 1


def test_after_the_window_the_same_request_is_a_new_one(old: OldClient, settings: Any, user: User) -> None:
    first = old.post(WITHDRAWAL, wanted()).json()["order_id"]
    seconds = settings.KAURI.signature_v1_replay_seconds
    with clock.standing_at(clock.now() + timedelta(seconds=seconds - 5)):
        assert old.post(WITHDRAWAL, wanted()).json()["order_id"] == first
    with clock.standing_at(clock.now() + timedelta(seconds=seconds + 5)):
        assert old.post(WITHDRAWAL, wanted()).json()["order_id"] != first
    assert Order.objects.count() == 2
    assert IdempotencyRecord.objects.count() == 1


def test_a_refused_call_is_not_remembered(old: OldClient, user: User) -> None:
    assert code(old.post(WITHDRAWAL, wanted(amount="5000"))) == (402, "insufficient_funds")
    give(user, "UAH", "9000")
    assert old.post(WITHDRAWAL, wanted(amount="5000")).status_code == 200


def test_withdrawals_by_version_1_need_a_listed_address(user: User) -> None:
    anywhere = OldClient(key_of(user, ips=[]))
    assert anywhere.get(BALANCE).status_code == 200
    assert code(anywhere.post(WITHDRAWAL, wanted())) == (403, "ip_not_allowed")
    elsewhere = OldClient(key_of(user, ips=["203.0.113.7"]))
    spoofed = {"X-Forwarded-For": "203.0.113.7"}
    assert code(elsewhere.post(WITHDRAWAL, wanted(), **spoofed)) == (403, "ip_not_allowed")
    assert Order.objects.count() == 0
    # The same key signing with time and nonce needs no list.
    new = ApiClient(key=anywhere.key.key, secret=anywhere.key.secret)
    assert new.post(WITHDRAWAL, wanted()).status_code == 200


def test_random_bytes_never_break_it() -> None:
    for _ in range(200):
        with pytest.raises(signing.Unsignable):
            signing.string_to_sign_v1(method="POST", path="/p", query="", body=b"\xff" + os.urandom(40))
