"""Signed requests: what they cost, what they are counted against, and what an attacker may try."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable
from typing import Any

import pyotp
import pytest
from django.db import connection, transaction
from django.test import Client, RequestFactory

from backoffice.middleware import client_ip
from kauri.account import tokens
from kauri.account.models import ApiKey, ConfirmationCode, TOTPDevice, UsedNonce, User
from kauri.account.second_factor import WRONG_CODES
from kauri.common import throttle
from kauri.common.locks import try_advisory
from kauri.core.models import AuditEntry, Currency, IdempotencyRecord, Pair
from kauri.order_core.models import Order
from tests.api.account_moves import passed
from tests.api.client import ApiClient
from tests.moves import together

BALANCE = "/api/v1/user/balance"
HISTORY = "/api/v1/orders/history"
CREATE = "/api/v1/user/api_keys/create"
VERIFY = "/api/v1/user/api_keys/verify"


@pytest.fixture
def user(customer: Callable[..., User]) -> User:
    return customer()


def keyed(user: User, **fields: Any) -> ApiClient:
    name = f"key{user.pk}-{ApiKey.objects.count()}"
    values = {"scopes": ["read", "withdraw"], "state": "active", "secret": "s" * 20, **fields}
    key = ApiKey.objects.create(user=user, name=name, key=name, **values)
    return ApiClient(key=key.key, secret=key.secret)


def limits(settings: Any, **update: Any) -> None:
    settings.KAURI = settings.KAURI.model_copy(update=update)


def code(answer: Any) -> tuple[int, str]:
    return answer.status_code, answer.json().get("code", "")


def counters() -> dict[str, int]:
    with connection.cursor() as cursor:
        cursor.execute("select name, hits from core_throttle where name like 'api%'")
        return dict(cursor.fetchall())


@pytest.mark.parametrize("path", [BALANCE, HISTORY, f"{HISTORY}?limit=100", "/api/v1/user/balance/"])
def test_a_signed_get_is_three_statements(user: User, path: str, django_assert_num_queries: Any) -> None:
    api = keyed(user)
    for _ in range(2):  # the first also notes the key's use, in the same statement
        with django_assert_num_queries(3):
            assert api.get(path).status_code == 200
    assert UsedNonce.objects.count() == 2
    assert ApiKey.objects.get().last_used_at is not None


def test_a_forger_costs_one_statement_and_burns_nothing(user: User, django_assert_num_queries: Any) -> None:
    api = keyed(user)
    headers = {**api.sign("GET", BALANCE, b""), "Sign": "0" * 64}
    with django_assert_num_queries(1):
        answer = api.http.get(BALANCE, headers=headers)
    assert code(answer) == (401, "invalid_signature")
    assert "RateLimit" not in answer.headers
    assert (counters(), UsedNonce.objects.count()) == ({}, 0)
    # The nonce is still good for its owner.
    good = api.sign("GET", BALANCE, b"", nonce=headers["Nonce"])
    assert api.http.get(BALANCE, headers=good).status_code == 200


def test_a_replay_is_not_counted(user: User) -> None:
    api = keyed(user)
    headers = api.sign("GET", BALANCE, b"")
    answers = [api.http.get(BALANCE, headers=headers) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 401, 401]
    assert set(counters().values()) == {1}
    assert len(counters()) == 3


@pytest.mark.django_db(transaction=True)
def test_one_nonce_at_one_moment_is_used_once(user: User) -> None:
    api = keyed(user)
    for _ in range(3):
        headers = api.sign("GET", BALANCE, b"")
        codes = together(4, lambda _, sent=headers: Client().get(BALANCE, headers=sent).status_code)
        assert sorted(codes) == [200, 401, 401, 401]


@pytest.mark.django_db(transaction=True)
def test_counters_do_not_wait_for_each_other_in_a_circle() -> None:
    names, year = ["a", "b", "c"], 365 * 86_400

    def count(number: int) -> None:
        for _ in range(20):
            order = names[:: -1 if number % 2 else 1]
            throttle.hit_all([throttle.Rate(name, 10**6, year) for name in order])

    assert together(4, count) == [None] * 4
    assert throttle.peek("b", 100, year).remaining == 20


def test_a_nonce_of_another_key_is_free(user: User) -> None:
    nonce = "the-same-nonce"
    for api in (keyed(user), keyed(user)):
        assert api.http.get(BALANCE, headers=api.sign("GET", BALANCE, b"", nonce=nonce)).status_code == 200


@pytest.mark.parametrize(
    ("setting", "policy"),
    [
        ("api_rate_per_minute", "account"),
        ("api_rate_per_minute_key", "key"),
        ("api_rate_per_minute_address", "address"),
    ],
)
def test_each_rate_is_counted_and_the_tightest_is_shown(
    user: User, settings: Any, setting: str, policy: str
) -> None:
    limits(settings, **{setting: 2})
    api = keyed(user)
    first = api.get(BALANCE)
    assert first.headers["RateLimit-Policy"] == f'"{policy}";q=2;w=60'
    assert re.fullmatch(rf'"{policy}";r=1;t=\d+', first.headers["RateLimit"])
    api.get(BALANCE)
    third = api.get(BALANCE)
    assert code(third) == (429, "rate_limited")
    assert 1 <= int(third.headers["Retry-After"]) <= 60
    assert third.headers["RateLimit"].startswith(f'"{policy}";r=0;')


def test_what_two_callers_share(user: User, customer: Callable[..., User], settings: Any) -> None:
    limits(settings, api_rate_per_minute=2)
    one, two, other = keyed(user), keyed(user), keyed(customer())
    assert [api.get(BALANCE).status_code for api in (one, two, one, other)] == [200, 200, 429, 200]
    token = ApiClient(token=tokens.issue(user))
    assert token.get(BALANCE).status_code == 429
    limits(settings, api_rate_per_minute=100, api_rate_per_minute_address=1)
    assert other.get(BALANCE).status_code == 429


def seen(remote: str, forwarded: str | None, settings: Any, trusted: list[str]) -> str:
    limits(settings, trusted_proxies=trusted)
    headers = {} if forwarded is None else {"X-Forwarded-For": forwarded}
    return client_ip(RequestFactory().get("/", headers=headers, REMOTE_ADDR=remote))


@pytest.mark.parametrize(
    ("remote", "forwarded", "found"),
    [
        # Nobody but a proxy of ours is believed.
        ("198.51.100.9", "203.0.113.7", "198.51.100.9"),
        ("198.51.100.9", "10.0.0.1", "198.51.100.9"),
        ("10.0.0.1", None, "10.0.0.1"),
        ("10.0.0.1", "", "10.0.0.1"),
        ("10.0.0.1", "203.0.113.7", "203.0.113.7"),
        # What a caller wrote before our proxy wrote its own is not looked at.
        ("10.0.0.1", "1.1.1.1, 203.0.113.7", "203.0.113.7"),
        ("10.0.0.1", "10.0.0.5, 203.0.113.7", "203.0.113.7"),
        ("10.0.0.1", "1.1.1.1, 203.0.113.7, 10.0.0.2, 10.0.0.3", "203.0.113.7"),
        ("10.0.0.1", "10.0.0.3, 10.0.0.2", "10.0.0.3"),
        ("10.0.0.1", ", ,203.0.113.7,, ", "203.0.113.7"),
        ("10.0.0.1", ",".join(["1.1.1.1"] * 5000 + ["203.0.113.7"]), "203.0.113.7"),
        # Garbage ends the walk where it was last sure.
        ("10.0.0.1", "203.0.113.7, garbage", "10.0.0.1"),
        ("10.0.0.1", "203.0.113.7, unknown, 10.0.0.2", "10.0.0.2"),
        ("10.0.0.1", "203.0.113.7:443", "10.0.0.1"),
        ("10.0.0.1", "203.0.113.7 OR 1=1", "10.0.0.1"),
        ("10.0.0.1", "0x7f000001", "10.0.0.1"),
        ("10.0.0.1", "'", "10.0.0.1"),
        # One address has one spelling.
        ("10.0.0.1", "2001:DB8:0:0:0:0:0:7", "2001:db8::7"),
        ("10.0.0.1", "::ffff:203.0.113.7", "203.0.113.7"),
        ("::ffff:10.0.0.1", "203.0.113.7", "203.0.113.7"),
        ("fd00::1", "2001:db8::7", "2001:db8::7"),
        ("10.0.0.1", "fe80::1%eth0", "fe80::1"),
        ("2001:db8::1", "203.0.113.7", "2001:db8::1"),
        ("", "203.0.113.7", "127.0.0.1"),
        ("unix:", "203.0.113.7", "127.0.0.1"),
    ],
)
def test_the_callers_address(remote: str, forwarded: str | None, found: str, settings: Any) -> None:
    assert seen(remote, forwarded, settings, ["10.0.0.0/8", "fd00::/8"]) == found


def test_without_proxies_nothing_is_believed(settings: Any) -> None:
    assert seen("127.0.0.1", "203.0.113.7", settings, []) == "127.0.0.1"


def test_a_spoofed_address_opens_no_key(user: User, settings: Any) -> None:
    api = keyed(user, ips=["203.0.113.7"])
    spoofed = {"X-Forwarded-For": "203.0.113.7", "X-Real-IP": "203.0.113.7", "Forwarded": "for=203.0.113.7"}
    assert code(api.get(BALANCE, **spoofed)) == (403, "ip_not_allowed")
    limits(settings, trusted_proxies=["127.0.0.1/32"])
    assert code(api.get(BALANCE, **{"X-Forwarded-For": "203.0.113.7, 198.51.100.9"}))[1] == "ip_not_allowed"
    assert api.get(BALANCE, **{"X-Forwarded-For": "198.51.100.9, 203.0.113.7"}).status_code == 200


def test_the_order_of_a_query_is_signed(user: User) -> None:
    api = keyed(user)
    headers = api.sign("GET", f"{HISTORY}?page=1&limit=5", b"")
    for target in (f"{HISTORY}?limit=5&page=1", HISTORY, f"{HISTORY}?page=1&limit=5&", f"{HISTORY}/"):
        assert code(api.http.get(target, headers=headers)) == (401, "invalid_signature")
    assert api.http.get(f"{HISTORY}?page=1&limit=5", headers=headers).status_code == 200


def test_the_key_of_another_and_a_revoked_key(user: User, customer: Callable[..., User]) -> None:
    mine, theirs = keyed(user), keyed(customer(), secret="another-secret")
    crossed = {**mine.sign("GET", BALANCE, b""), "Key": theirs.key}
    assert code(mine.http.get(BALANCE, headers=crossed)) == (401, "invalid_signature")
    for state in ("revoked", "pending"):
        ApiKey.objects.filter(key=mine.key).update(state=state)
        assert code(mine.get(BALANCE)) == (401, "invalid_signature")


@pytest.mark.parametrize("window", [1000, 60_000])
def test_each_key_has_its_window(user: User, window: int) -> None:
    api = keyed(user, window_ms=window)

    def sent(ago_ms: int) -> int:
        headers = api.sign("GET", BALANCE, b"", timestamp=str(int(time.time() * 1000) - ago_ms))
        return int(api.http.get(BALANCE, headers=headers).status_code)

    assert [sent(0), sent(window + 1000), sent(-window - 5000)] == [200, 401, 401]
    assert window == 1000 or sent(50_000) == 200


@pytest.mark.django_db(transaction=True)
def test_a_call_whose_first_try_still_runs_is_told_so(user: User) -> None:
    """Somebody holds the key's lock in a transaction of their own: nothing is waited for, nothing done."""
    api = keyed(user)
    entered, leave = threading.Event(), threading.Event()

    def first() -> None:
        with transaction.atomic():
            assert try_advisory("idempotency", user.pk, "withdrawal_create", "key:k-1")
            entered.set()
            leave.wait(timeout=30)
        connection.close()

    running = threading.Thread(target=first)
    running.start()
    entered.wait(timeout=30)
    body = {"currency": "UAH", "amount": "100", "wallet_to": "sandbox:success"}
    answer = api.post("/api/v1/withdrawal", body, **{"Idempotency-Key": '"k-1"'})
    leave.set()
    running.join()
    assert code(answer) == (409, "conflict")
    assert (Order.objects.count(), IdempotencyRecord.objects.count()) == (0, 0)


HOSTILE = [
    '{"currency": "UAH", "amount": "100", "amount": "1", "wallet_to": "sandbox:success"}',
    '{"currency": "UAH", "amount": NaN, "wallet_to": "sandbox:success"}',
    '{"currency": "UAH", "amount": Infinity, "wallet_to": "sandbox:success"}',
    '{"currency": "UAH", "amount": true, "wallet_to": "sandbox:success"}',
    '{"currency": "UAH", "amount": {"x": 1}, "wallet_to": "sandbox:success"}',
    '{"currency": "UAH", "amount": "100", "wallet_to": "sandbox:success", "additional_info": '
    + '{"a":' * 20
    + "1"
    + "}" * 20
    + "}",
    '{"currency": "UAH", "amount": "100", "wallet_to": "sandbox:success", "additional_info": '
    '{"a": 1, "a": 2}}',
    "[" * 100_000,
    '{"a":' * 20_000,
    '"withdrawal"',
    "null",
]


@pytest.mark.parametrize("body", HOSTILE)
def test_hostile_bodies_of_a_money_call(user: User, body: str) -> None:
    api = keyed(user)
    raw = body.encode()
    headers = api.sign("POST", "/api/v1/withdrawal", raw)
    answer = api.http.generic(
        "POST", "/api/v1/withdrawal", raw, content_type="application/json", headers=headers
    )
    assert code(answer) == (400, "validation_error")
    assert (Order.objects.count(), IdempotencyRecord.objects.count()) == (0, 0)


def test_an_oversized_body_is_refused_before_it_is_read(user: User, settings: Any) -> None:
    api = keyed(user)
    raw = b'{"comment": "' + b"x" * settings.DATA_UPLOAD_MAX_MEMORY_SIZE + b'"}'
    headers = api.sign("POST", "/api/v1/withdrawal", raw)
    answer = api.http.generic(
        "POST", "/api/v1/withdrawal", raw, content_type="application/json", headers=headers
    )
    assert code(answer) == (413, "payload_too_large")
    assert UsedNonce.objects.count() == 0


@pytest.mark.parametrize("path", ["/api/v1/currency", "/api/v1/currency?details=1", "/api/v1/pair"])
def test_reference_data_is_sent_once(house: None, path: str) -> None:
    http = Client()
    first = http.get(path)
    tag = first.headers["ETag"]
    same = http.get(path, headers={"If-None-Match": tag})
    assert (same.status_code, same.content, same.headers["ETag"]) == (304, b"", tag)
    assert http.get(f"{path.replace('?', '/?')}", headers={"If-None-Match": tag}).status_code == 304
    assert http.get(path, headers={"If-None-Match": '"other"'}).content == first.content
    for row in (Currency.objects.get(code="ETH"), Pair.objects.all()[0]):
        row.is_enabled = False
        row.save()
    changed = http.get(path, headers={"If-None-Match": tag})
    assert changed.status_code == 200
    assert changed.headers["ETag"] != tag


def test_a_key_is_what_was_asked_for(user: User) -> None:
    api = ApiClient(token=tokens.issue(user))
    wanted = {
        "name": "old shop",
        "scopes": ["withdraw", "read"],
        "ips": ["203.0.113.7", "2001:DB8::7"],
        "signature_version": 1,
        "window_ms": 60000,
        "decimals_as_strings": True,
        # not for a caller to say:
        "state": "active",
        "secret": "mine",
        "key": "mine",
        "user_id": 1,
    }
    shown = api.post(CREATE, wanted).json()
    stored = ApiKey.objects.get()
    assert shown == {
        "status": "success",
        "api_key_id": str(stored.public_id),
        "name": "old shop",
        "state": "pending",
        "scopes": ["read", "withdraw"],
        "ips": ["203.0.113.7", "2001:db8::7"],
        "signature_version": 1,
        "window_ms": 60000,
        "decimals_as_strings": True,
    }
    assert (stored.user_id, stored.state) == (user.pk, "pending")
    assert "mine" not in {stored.key, stored.secret}
    plain = api.post(CREATE, {"scopes": ["read"]}).json()
    assert (plain["signature_version"], plain["window_ms"], plain["decimals_as_strings"]) == (2, 5000, False)


@pytest.mark.parametrize(
    "wrong",
    [
        {"signature_version": 0},
        {"signature_version": 3},
        {"window_ms": 999},
        {"window_ms": 60001},
        {"scopes": []},
        {"scopes": ["admin"]},
        {"ips": ["0.0.0.0/0"]},
        {"ips": ["localhost"]},
    ],
)
def test_wrong_keys(user: User, wrong: dict[str, Any]) -> None:
    answer = ApiClient(token=tokens.issue(user)).post(CREATE, {"scopes": ["read"], **wrong})
    assert code(answer) == (400, "validation_error")
    assert next(iter(wrong)) in answer.json()["field_errors"]
    assert (ApiKey.objects.count(), ConfirmationCode.objects.count()) == (0, 0)


def test_amounts_as_strings_by_the_keys_own_setting(user: User) -> None:
    uah = keyed(user, decimals_as_strings=True).get(BALANCE).json()["balance"]["UAH"]
    assert (uah["available"], uah["UAH"]) == ("0", {"total": "0", "reserved": "0"})


def test_a_key_is_confirmed_by_the_authenticator(user: User) -> None:
    api = ApiClient(token=tokens.issue(user))
    pending = api.post(CREATE, {"scopes": ["read"]}).json()["api_key_id"]
    phone = pyotp.TOTP(pyotp.random_base32())
    without = api.post(VERIFY, {"api_key_id": pending, "totp_code": phone.now()})
    assert code(without) == (403, "totp_invalid")
    TOTPDevice.objects.create(user=user, confirmed=True, key=phone.byte_secret().hex())
    api.token = passed(user)
    for neither in ({}, {"code": "1", "totp_code": "2"}, {"code": "", "totp_code": ""}):
        assert code(api.post(VERIFY, {"api_key_id": pending, **neither})) == (400, "validation_error")
    shown = api.post(VERIFY, {"api_key_id": pending, "totp_code": phone.now()}).json()
    assert shown["state"] == "active"
    assert ApiClient(key=shown["key"], secret=shown["secret"]).get(BALANCE).status_code == 200
    assert AuditEntry.objects.get(verb="api_key_verify").after == {"by": "totp"}
    # The letter's code was not needed and opens nothing any more.
    assert code(api.post(VERIFY, {"api_key_id": pending, "code": "00000000"})) == (409, "wrong_state")


def test_guessing_one_time_codes_ends(user: User) -> None:
    api = ApiClient(token=tokens.issue(user))
    phone = pyotp.TOTP(pyotp.random_base32())
    TOTPDevice.objects.create(user=user, confirmed=True, key=phone.byte_secret().hex())
    api.token = passed(user)
    pending = api.post(CREATE, {"scopes": ["read"]}).json()["api_key_id"]
    for _ in range(WRONG_CODES):
        assert code(api.post(VERIFY, {"api_key_id": pending, "totp_code": "000000"}))[1] == "totp_invalid"
    TOTPDevice.objects.update(throttling_failure_count=0, throttling_failure_timestamp=None)
    right = api.post(VERIFY, {"api_key_id": pending, "totp_code": phone.now()})
    assert code(right) == (429, "rate_limited")
    assert ApiKey.objects.get().state == "pending"
    # Nor do they cost tries of the letter's code.
    assert ConfirmationCode.objects.get().tries_left == 5


def test_nobody_confirms_or_deletes_anothers_key(user: User, customer: Callable[..., User]) -> None:
    pending = ApiClient(token=tokens.issue(user)).post(CREATE, {"scopes": ["read"]}).json()["api_key_id"]
    other = customer()
    phone = pyotp.TOTP(pyotp.random_base32())
    TOTPDevice.objects.create(user=other, confirmed=True, key=phone.byte_secret().hex())
    stranger = ApiClient(token=passed(other))
    for path, body in (
        (VERIFY, {"totp_code": phone.now()}),
        (VERIFY, {"code": "00000000"}),
        ("/api/v1/user/api_keys/delete", {}),
    ):
        answer = stranger.post(path, {"api_key_id": pending, **body})
        assert code(answer) == (404, "not_found")
    assert ApiKey.objects.get().state == "pending"
    assert ConfirmationCode.objects.get().tries_left == 5


def test_no_answer_and_no_log_holds_a_secret(user: User, caplog: pytest.LogCaptureFixture) -> None:
    api = keyed(user, secret="a-very-secret-secret")
    answers = [api.get(BALANCE), api.get(HISTORY), api.post("/api/v1/withdrawal", {"currency": "X"})]
    text = json.dumps([answer.content.decode() for answer in answers]) + caplog.text
    assert "a-very-secret-secret" not in text
