"""Who has an account here: no call that anybody may make says so, by words, code, hashes or queries."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

import pytest
from django.contrib.auth.hashers import MD5PasswordHasher
from django.core import mail, signing
from django.db import connection
from django.test.utils import CaptureQueriesContext

from kauri.account.models import OneTimeLink, Session, User
from kauri.account.services import EMAIL_SALT, link_issue
from tests.api.account_moves import SIGN_IN, code, sign_in
from tests.api.client import ApiClient
from tests.attacks.bodies import Body, Scene
from tests.attacks.document import operations
from tests.attacks.rows import forget_calls
from tests.house import PASSWORD

NOBODY = "nobody@example.com"
SEND = "/api/v1/user/reset_password/send_link"


def forged(user_id: int, email: str) -> str:
    return signing.dumps({"user": user_id, "email": email}, key="a key of ours? no", salt=EMAIL_SALT)


def proof(number: int) -> str:
    return urlencode({"auth_date": int(time.time()), "user": f'{{"id": {number}}}', "hash": "0" * 64})


def _links(user: User) -> list[Body]:
    link_issue(user, OneTimeLink.Purpose.RESET)
    names = [OneTimeLink.objects.get().public_id, uuid.uuid4()]
    return [{"token": str(name), "password": PASSWORD} for name in names]


#: For each open call that takes something: the same question about a customer and about nobody, without a secret.
QUESTIONS: dict[str, Callable[[User], list[Body]]] = {
    "user_create": lambda user: [
        {"email": email, "password": PASSWORD, "username": "x"} for email in (user.email, NOBODY)
    ],
    "obtain_token": lambda user: [{"email": email, "password": "wrong"} for email in (user.email, NOBODY)],
    "reset_ask": lambda user: [{"email": email} for email in (user.email, NOBODY)],
    "set_new_password": _links,
    "refresh_token": lambda user: [
        {"refresh": str(name)} for name in (Session.objects.get(user=user).public_id, uuid.uuid4())
    ],
    "email_verify": lambda user: [
        {"token": forged(user.pk, user.email)},
        {"token": forged(user.pk + 9, NOBODY)},
    ],
    "create_from_telegram": lambda user: [{"init_data": proof(number)} for number in (42, 43)],
    "telegram_verify": lambda user: [{"code": "x" * 20, "telegram_id": number} for number in (42, 43)],
}


def test_every_open_call_is_asked(house: None) -> None:
    takes = {operation.name for operation in operations() if operation.is_open and operation.properties}
    assert takes == set(QUESTIONS)


@pytest.mark.parametrize("name", QUESTIONS)
def test_nobody_learns_who_is_here(name: str, scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    [operation] = [operation for operation in operations() if operation.name == name]
    User.objects.filter(pk=scene.user.pk).update(telegram_id=42)
    hashed: list[str] = []
    encode = MD5PasswordHasher.encode

    def counted(self: Any, password: str, salt: str) -> str:
        hashed.append(password)
        return str(encode(self, password, salt))

    monkeypatch.setattr(MD5PasswordHasher, "encode", counted)
    seen = []
    for body in QUESTIONS[name](scene.user):
        forget_calls()
        hashed.clear()
        with CaptureQueriesContext(connection) as captured:
            answer = scene.send(operation, body)
        words = {**answer.json(), "request_id": ""}
        words = {field: value for field, value in words.items() if value != body.get(field)}
        kinds = [query["sql"].split()[0] for query in captured.captured_queries]
        work = [kind for kind in kinds if kind in {"SELECT", "INSERT", "UPDATE", "DELETE"}]
        seen.append((answer.status_code, words, list(hashed), len(work)))
    assert seen[0] == seen[1]


@pytest.mark.parametrize(
    "spelling",
    [
        "{}\u200b",
        "\u200b{}",
        "{}\u0430",
        "\uff43{}",
        "{}.",
        "{}\n",
        "\u202e{}",
        "{},x@example.com",
        "{}\r\nBcc: x@example.com",
    ],
)
def test_a_look_alike_is_no_account(
    spelling: str, customer: Callable[..., User], drain: Callable[..., int]
) -> None:
    user = customer()
    email = spelling.format(user.email)
    if email.strip() != user.email:  # spaces around an address are nobody's
        assert code(ApiClient().post(SIGN_IN, {"email": email, "password": PASSWORD}))[0] == 401
        created = ApiClient().post("/api/v1/user/create", {"email": email, "password": PASSWORD})
        assert code(created) == (400, "validation_error")
    ApiClient().post(SEND, {"email": email})
    drain()
    assert {tuple(letter.to) for letter in mail.outbox} <= {(user.email,)}
    assert User.objects.count() == 1


@pytest.mark.parametrize("spelling", ["K", "\u212a"])
def test_one_address_is_one_account(
    spelling: str, customer: Callable[..., User], drain: Callable[..., int]
) -> None:
    """The Kelvin sign becomes a k in lower case: whoever writes it means the account of the k, and its letters."""
    user = customer(email="kim@example.com")
    email = f" {spelling}IM@Example.COM "
    assert ApiClient().post("/api/v1/user/create", {"email": email, "password": PASSWORD}).status_code == 201
    ApiClient().post(SEND, {"email": email})
    drain()
    assert {tuple(letter.to) for letter in mail.outbox} == {(user.email,)}
    assert User.objects.count() == 1
    assert "token" in sign_in(user)
