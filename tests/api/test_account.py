"""Registration, sign-in and keys, over HTTP."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kauri.account.models import ApiKey, SignIn, User
from tests.api.client import ApiClient
from tests.house import PASSWORD


def letters(settings: Any) -> list[str]:
    folder = Path(settings.EMAIL_FILE_PATH)
    return (
        [path.read_text() for path in sorted(folder.glob("*"), key=lambda p: p.stat().st_mtime_ns)]
        if folder.exists()
        else []
    )


@pytest.fixture(autouse=True)
def _file_mail(settings: Any) -> None:
    settings.EMAIL_BACKEND = "django.core.mail.backends.filebased.EmailBackend"


def test_register_confirm_sign_in_and_get_a_key(
    house: None, drain: Callable[..., int], settings: Any
) -> None:
    api = ApiClient()
    answer = api.post(
        "/api/v1/user/create", {"email": "New@Example.com", "password": PASSWORD, "username": "new"}
    )
    assert (answer.status_code, answer.json()) == (
        201,
        {"status": "success", "username": "new", "email": "new@example.com"},
    )
    early = api.post("/api/v1/user/obtain_token", {"email": "new@example.com", "password": PASSWORD})
    assert (early.status_code, early.json()["code"]) == (403, "email_not_verified")
    drain()
    [letter] = letters(settings)
    token = re.search(r"^(eyJ\S+|\S{60,})$", letter, re.MULTILINE)
    assert token
    assert api.post("/api/v1/user/email/verify", {"token": token[1]}).json()["email"] == "new@example.com"
    signed_in = api.post("/api/v1/user/obtain_token", {"email": "NEW@example.com", "password": PASSWORD})
    assert signed_in.status_code == 200
    mine = ApiClient(token=signed_in.json()["token"])
    pending = mine.post(
        "/api/v1/user/api_keys/create", {"name": "shop", "scopes": ["read", "withdraw"]}
    ).json()
    assert pending["state"] == "pending"
    drain()
    code = re.search(r"^(\d{8})$", letters(settings)[-1], re.MULTILINE)
    assert code
    wrong = mine.post("/api/v1/user/api_keys/verify", {"api_key_id": pending["api_key_id"], "code": "x"})
    assert (wrong.status_code, wrong.json()["code"]) == (400, "wrong_code")
    shown = mine.post(
        "/api/v1/user/api_keys/verify", {"api_key_id": pending["api_key_id"], "code": code[1]}
    ).json()
    again = mine.post("/api/v1/user/api_keys/verify", {"api_key_id": pending["api_key_id"], "code": code[1]})
    assert again.json()["code"] == "wrong_state"
    signed = ApiClient(key=shown["key"], secret=shown["secret"])
    assert signed.get("/api/v1/user/balance").status_code == 200
    stored = ApiKey.objects.get()
    assert shown["secret"] not in str(ApiKey.objects.values_list("key", "name").get())
    assert stored.secret == shown["secret"]
    deleted = mine.post("/api/v1/user/api_keys/delete", {"api_key_id": pending["api_key_id"]})
    assert deleted.json()["state"] == "revoked"
    assert signed.get("/api/v1/user/balance").json()["code"] == "invalid_signature"


def test_a_known_address_answers_like_a_new_one(customer: Callable[..., User]) -> None:
    user = customer()
    answer = ApiClient().post(
        "/api/v1/user/create", {"email": user.email, "password": PASSWORD, "username": "x"}
    )
    assert (answer.status_code, answer.json()["email"]) == (201, user.email)
    assert User.objects.filter(email=user.email).count() == 1
    assert user.check_password(PASSWORD)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"email": "nobody", "password": PASSWORD}, "email"),
        ({"email": "a@exаmple.com", "password": PASSWORD}, "email"),
        ({"email": "a@example.com", "password": "12345"}, "password"),
        ({"email": "a@example.com"}, "password"),
        ({"email": "a@example.com", "password": PASSWORD, "username": "x" * 65}, "username"),
    ],
)
def test_bad_registrations_name_the_field(house: None, body: dict[str, str], field: str) -> None:
    answer = ApiClient().post("/api/v1/user/create", body)
    assert (answer.status_code, answer.json()["code"]) == (400, "validation_error")
    assert field in answer.json()["field_errors"]
    assert User.objects.count() == 0


def test_wrong_sign_ins_answer_alike_and_are_stopped(customer: Callable[..., User], settings: Any) -> None:
    user = customer()
    api = ApiClient()
    unknown = api.post("/api/v1/user/obtain_token", {"email": "nobody@example.com", "password": "x"}).json()
    for _ in range(settings.KAURI.sign_in_tries):
        wrong = api.post("/api/v1/user/obtain_token", {"email": user.email, "password": "x"}).json()
    assert {**wrong, "request_id": ""} == {**unknown, "request_id": ""}
    stopped = api.post("/api/v1/user/obtain_token", {"email": user.email, "password": PASSWORD})
    assert (stopped.status_code, stopped.json()["code"]) == (429, "rate_limited")
    assert SignIn.objects.filter(email=user.email, succeeded=False).count() == settings.KAURI.sign_in_tries


def test_operators_and_disabled_accounts_get_no_token(customer: Callable[..., User]) -> None:
    staff = customer(is_staff=True)
    off = customer(is_active=False)
    api = ApiClient()
    answers = [
        api.post("/api/v1/user/obtain_token", {"email": user.email, "password": PASSWORD}).json()["code"]
        for user in (staff, off)
    ]
    assert answers == ["forbidden", "account_disabled"]
