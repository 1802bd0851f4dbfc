"""Cards over HTTP: a number goes in and never comes out, by answer, by table, by log."""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

import pytest

from kauri.account import tokens
from kauri.account.models import ApiKey, User
from kauri.core.models import AuditEntry, IdempotencyRecord
from kauri.payment_card import bans, services
from kauri.payment_card.api import ADDED_AN_HOUR
from kauri.payment_card.models import PaymentCard
from tests.api.client import ApiClient
from tests.cards import MASTERCARD, OWNER, VISA, add, number, tables_that_tell

PATH = "/api/v1/card"
BODY = {"number": "4111 1111 1111 1111", "owner_name": OWNER}


@pytest.fixture
def user(customer: Callable[..., User]) -> User:
    return customer()


def client(user: User) -> ApiClient:
    return ApiClient(token=tokens.issue(user))


def key_of(user: User, *scopes: str, **fields: Any) -> ApiKey:
    return ApiKey.objects.create(
        user=user,
        name="shop",
        key="k" * 40,
        secret="of the key",
        scopes=list(scopes),
        state="active",
        **fields,
    )


def said(answer: Any) -> tuple[int, str]:
    return answer.status_code, answer.json().get("code", "ok")


def test_a_card_is_added_listed_switched_and_removed(user: User) -> None:
    api = client(user)
    assert api.get(PATH).json() == {"status": "success", "cards": []}
    added = api.post(PATH, {**BODY, "expiry_month": 7, "expiry_year": 2039}).json()
    card = PaymentCard.objects.get()
    assert added == {
        "status": "success",
        "card_id": card.token,
        "mask": "411111******1111",
        "scheme": "visa",
        "owner_name": OWNER,
        "expiry_month": 7,
        "expiry_year": 2039,
        "is_enabled": True,
        "state": "active",
        "created_at": added["created_at"],
    }
    second = api.post(PATH, {"number": MASTERCARD, "owner_name": OWNER}).json()
    listed = api.get(f"{PATH}/").json()["cards"]
    assert [row["card_id"] for row in listed] == [second["card_id"], added["card_id"]]
    assert {**listed[1], "status": "success"} == added
    off = api.post(f"{PATH}/switch", {"card_id": card.token, "is_enabled": False})
    assert (off.status_code, off.json()) == (
        200,
        {**added, "is_enabled": False, "state": "disabled"},
    )
    gone = api.post(f"{PATH}/delete", {"card_id": card.token}).json()
    assert (gone["state"], gone["mask"]) == ("removed", "411111******1111")
    assert api.post(f"{PATH}/delete", {"card_id": card.token}).json() == gone
    assert said(api.post(f"{PATH}/switch", {"card_id": card.token, "is_enabled": True})) == (404, "not_found")
    assert [row["card_id"] for row in api.get(PATH).json()["cards"]] == [second["card_id"]]
    verbs = AuditEntry.objects.filter(object_id=card.token).order_by("id").values_list("verb", flat=True)
    assert list(verbs) == ["card_create", "card_switch", "card_delete"]


def test_the_number_is_nowhere_afterwards(
    user: User, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """Good requests and bad ones, with a key for repeats, by token and signed both ways."""
    caplog.set_level(logging.DEBUG)
    mistyped = "4111111111111112"
    api = client(user)
    answers = [
        api.post(PATH, BODY, **{"Idempotency-Key": "a"}),
        api.post(PATH, BODY, **{"Idempotency-Key": "a"}),
        api.post(PATH, BODY),
        api.post(PATH, {**BODY, "number": mistyped}),
        api.post(PATH, {**BODY, "owner_name": VISA}),
        api.post(PATH, {**BODY, "expiry_month": VISA}),
        api.post(PATH, {**BODY, "number": int(VISA)}),
        api.post(PATH, {"number": VISA}),
        api.post(PATH, [VISA]),
        api.post(f"{PATH}/delete", {"card_id": VISA}),
        api.post(f"{PATH}/switch", {"card_id": VISA, "is_enabled": VISA}),
        api.get(PATH),
    ]
    assert [answer.status_code for answer in answers] == [200, 200, 409, *[400] * 6, 404, 400, 200]
    told = "".join(
        [*(answer.content.decode() for answer in answers), caplog.text, *capfd.readouterr()]
    ).replace(" ", "")
    for digits in (VISA, mistyped):
        assert digits not in told
        assert tables_that_tell(digits) == []
    assert caplog.text


def test_no_digest_of_the_request_gives_the_number_away(user: User) -> None:
    """Whoever has the table knows ten of sixteen digits and the rest of the body: an unkeyed digest would do."""
    body = json.dumps(BODY).encode()
    client(user).post(PATH, BODY, **{"Idempotency-Key": "a"})
    record = IdempotencyRecord.objects.get()
    kept = bytes(record.body_hash)
    plain = [
        hashlib.sha256(body).digest(),
        hashlib.sha256(hashlib.sha256(body).hexdigest().encode()).digest(),
    ]
    assert kept not in plain
    assert len(kept) == 32
    assert b"411111******1111" in bytes(record.body)


def test_a_repeat_gets_the_first_answer(user: User) -> None:
    api = client(user)
    first = api.post(PATH, BODY, **{"Idempotency-Key": "a"})
    again = api.post(PATH, BODY, **{"Idempotency-Key": '"a"'})
    assert (again.status_code, again.content) == (200, first.content)
    assert again.headers["Idempotency-Replayed"] == "true"
    other = api.post(PATH, {**BODY, "number": MASTERCARD}, **{"Idempotency-Key": "a"})
    assert said(other) == (422, "idempotency_mismatch")
    assert said(api.post(PATH, BODY)) == (409, "conflict")
    assert PaymentCard.objects.count() == 1
    assert AuditEntry.objects.filter(verb="card_create").count() == 1


def test_signed_by_version_1(user: User) -> None:
    """From a listed address only; the same signature again is the same call."""
    key = key_of(user, "withdraw", signature_version=1)
    api = ApiClient()
    text = f"POST-{PATH}-{urlencode(sorted(BODY.items()))}"
    signature = hmac.new(key.secret.encode(), text.encode(), hashlib.sha256).hexdigest()
    headers = {"Key": key.key, "Sign": signature}
    assert said(api.post(PATH, BODY, **headers)) == (403, "ip_not_allowed")
    assert PaymentCard.objects.count() == 0
    ApiKey.objects.filter(pk=key.pk).update(ips=["127.0.0.1"])
    first = api.post(PATH, BODY, **headers)
    again = api.post(PATH, BODY, **headers)
    assert (first.status_code, again.content) == (200, first.content)
    assert PaymentCard.objects.count() == 1
    assert tables_that_tell(VISA) == []


@pytest.mark.parametrize("scope", ["read", "trade", "withdraw"])
def test_what_a_key_may(user: User, scope: str) -> None:
    card = add(user, MASTERCARD)
    key = key_of(user, scope)
    api = ApiClient(key=key.key, secret=key.secret)
    may_read, may_change = scope == "read", scope == "withdraw"
    assert api.get(PATH).status_code == (200 if may_read else 403)
    for path, body in (
        (PATH, BODY),
        (f"{PATH}/switch", {"card_id": card.token, "is_enabled": False}),
        (f"{PATH}/delete", {"card_id": card.token}),
    ):
        assert api.post(path, body).status_code == (200 if may_change else 403), path
    actors = set(
        AuditEntry.objects.exclude(verb="card_create", actor_kind="customer").values_list("actor_label")
    )
    assert actors == ({(f"{user.email} (shop)",)} if may_change else set())


def test_banned_stopped_expired_and_too_many(user: User, operator: Callable[..., Any]) -> None:
    api, compliance = client(user), operator("Compliance")
    card = add(user)
    bans.card_ban(number=VISA, reason="stolen", actor=compliance)
    assert api.get(PATH).json()["cards"][0]["state"] == "banned"
    stranger = api.post(PATH, {**BODY, "number": MASTERCARD})
    assert stranger.status_code == 200
    services.card_stop(
        card_id=PaymentCard.objects.get(token=stranger.json()["card_id"]).pk, reason="x", actor=compliance
    )
    assert [row["state"] for row in api.get(PATH).json()["cards"]] == ["stopped", "banned"]
    api.post(f"{PATH}/delete", {"card_id": card.token})
    assert said(api.post(PATH, BODY)) == (403, "card_banned")
    for _ in range(services.MAX_CARDS - 1):
        add(user, number())
    assert said(api.post(PATH, {**BODY, "number": number()})) == (403, "limit_exceeded")


def test_adding_is_counted_whatever_comes_of_it(user: User, customer: Callable[..., User]) -> None:
    api = client(user)
    for tried in range(ADDED_AN_HOUR):
        assert said(api.post(PATH, {**BODY, "number": "4111111111111112"}))[0] == 400, tried
    last = api.post(PATH, BODY)
    assert said(last) == (429, "rate_limited")
    assert int(last.headers["Retry-After"]) <= 3600
    assert PaymentCard.objects.count() == 0
    assert api.get(PATH).status_code == 200
    assert client(customer()).post(PATH, BODY).status_code == 200


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"number": "4111111111111112"}, "number"),
        ({"number": "371449635398431"}, "number"),
        ({"number": ""}, "number"),
        ({"number": None}, "number"),
        ({"owner_name": ""}, "owner_name"),
        ({"owner_name": "4111"}, "owner_name"),
        ({"expiry_month": 7}, "expiry_month"),
        ({"expiry_month": 7, "expiry_year": 2020}, "expiry_year"),
        ({"expiry_month": 13, "expiry_year": 2039}, "expiry_month"),
        ({"expiry_month": "7", "expiry_year": 2039}, "expiry_month"),
        ({"expiry_month": 7, "expiry_year": 39}, "expiry_year"),
    ],
)
def test_a_wrong_field_is_named(user: User, change: dict[str, Any], named: str) -> None:
    answer = client(user).post(PATH, {**BODY, **change})
    assert said(answer) == (400, "validation_error")
    assert list(answer.json()["field_errors"]) == [named]
    assert PaymentCard.objects.count() == 0


def test_nobody_and_an_operators_words(user: User) -> None:
    assert said(ApiClient().get(PATH)) == (401, "unauthenticated")
    assert said(ApiClient().post(PATH, BODY)) == (401, "unauthenticated")
    banned = client(user).post(PATH, {**BODY, "number": "x"}, **{"Accept-Language": "uk"})
    assert banned.json()["error"] == "Запит містить помилки."
