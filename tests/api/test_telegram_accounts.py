"""Calls 13 and 21 to 23: accounts born in Telegram, and accounts tied to it."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

import pytest

from kauri.account import tokens
from kauri.account.models import ApiKey, TelegramLink, User
from kauri.account.services import letter
from kauri.common import clock
from kauri.core.models import AuditEntry, OutboxEvent, Switch
from tests.api.client import ApiClient
from tests.moves import give

TOKEN = "123456789:AAErjDMdYf6Zb1m0Xy3-8w2ZtQ5c7e9gHiJ"
CREATE, ASSIGN, VERIFY, UNASSIGN = (
    "/api/v1/user/create_from_telegram",
    "/api/v1/user/telegram/assign",
    "/api/v1/user/telegram/verify",
    "/api/v1/user/telegram/unassign",
)
BOT_KEY = "a service key of thirty-two characters"


@pytest.fixture
def bot(settings: Any, house: None) -> None:
    values = {"telegram_token": TOKEN, "telegram_bot": "example_bot", "telegram_service_key": BOT_KEY}
    settings.KAURI = settings.KAURI.model_copy(update=values)


def init_data(number: int = 42, ago: int = 0, **user: str) -> str:
    fields = {
        "auth_date": str(int(time.time()) - ago),
        "query_id": "test",
        "user": json.dumps({"id": number, "first_name": "Ada", **user}),
    }
    text = "\n".join(f"{name}={fields[name]}" for name in sorted(fields))
    key = hmac.new(b"WebAppData", TOKEN.encode(), hashlib.sha256).digest()
    return urlencode({**fields, "hash": hmac.new(key, text.encode(), hashlib.sha256).hexdigest()})


def widget(number: int = 42, **more: Any) -> dict[str, Any]:
    fields = {"id": number, "first_name": "Ada", "auth_date": int(time.time()), **more}
    text = "\n".join(f"{name}={fields[name]}" for name in sorted(fields))
    key = hashlib.sha256(TOKEN.encode()).digest()
    return {**fields, "hash": hmac.new(key, text.encode(), hashlib.sha256).hexdigest()}


def code_of(answer: Any) -> tuple[int, str]:
    return answer.status_code, answer.json().get("code", "")


@pytest.mark.usefixtures("bot")
def test_an_account_is_born_once_and_signed_in_after() -> None:
    api = ApiClient()
    born = api.post(CREATE, {"init_data": init_data(username="ada")}, **{"Accept-Language": "uk"})
    assert (born.status_code, born.json()["username"]) == (201, "Ada")
    user = User.objects.get(telegram_id=42)
    assert (user.email, user.language, user.telegram_username) == (
        "telegram-42@telegram.invalid",
        "uk",
        "ada",
    )
    assert (user.email_verified_at, user.has_usable_password()) == (None, False)
    assert ApiClient(token=born.json()["token"]).get("/api/v1/user/balance").status_code == 200
    again = api.post(CREATE, {"widget": widget(username="ada", photo_url="https://t.me/i/userpic/1.jpg")})
    assert again.status_code == 200
    assert User.objects.count() == 1
    assert AuditEntry.objects.filter(verb="create_from_telegram").count() == 1
    letter(user, "confirm_email", {})
    assert OutboxEvent.objects.filter(kind="letter").count() == 0  # nobody reads that address


@pytest.mark.usefixtures("bot")
def test_what_telegram_signed_is_good_once_and_for_five_minutes() -> None:
    api, data = ApiClient(), init_data()
    assert api.post(CREATE, {"init_data": data}).status_code == 201
    assert code_of(api.post(CREATE, {"init_data": data})) == (401, "replayed_request")
    assert code_of(api.post(CREATE, {"init_data": init_data(ago=301)})) == (401, "replayed_request")
    assert code_of(api.post(CREATE, {"init_data": init_data(ago=-120)})) == (401, "replayed_request")
    assert code_of(api.post(CREATE, {"init_data": init_data().replace("42", "43")})) == (
        401,
        "invalid_signature",
    )
    assert code_of(api.post(CREATE, {"widget": {**widget(), "id": 43}})) == (401, "invalid_signature")
    for wrong in (
        {},
        {"init_data": init_data(), "widget": widget()},
        {"widget": {"id": 0, "auth_date": 1, "hash": ""}},
    ):
        assert code_of(api.post(CREATE, wrong)) == (400, "validation_error")
    assert User.objects.count() == 1


@pytest.mark.usefixtures("bot")
def test_who_may_not_come_in_by_telegram(customer: Callable[..., User]) -> None:
    api = ApiClient()
    customer(telegram_id=7, is_active=False)
    customer(telegram_id=8, is_staff=True)
    assert code_of(api.post(CREATE, {"init_data": init_data(7)})) == (403, "account_disabled")
    assert code_of(api.post(CREATE, {"init_data": init_data(8)})) == (403, "forbidden")
    Switch.objects.filter(code="registration").update(is_on=False, reason="test", off_at=clock.now())
    assert code_of(api.post(CREATE, {"init_data": init_data(9)})) == (403, "operation_disabled")
    taken = api.post(
        "/api/v1/user/create", {"email": "telegram-9@telegram.invalid", "password": "correct horse battery"}
    )
    assert taken.status_code in {400, 403}
    assert not User.objects.filter(telegram_id=9).exists()


def test_without_a_bot_nothing_of_it_works(customer: Callable[..., User]) -> None:
    api = ApiClient(token=tokens.issue(customer()))
    assert code_of(api.post(ASSIGN, {})) == (403, "operation_disabled")
    assert code_of(ApiClient().post(CREATE, {"init_data": init_data()})) == (403, "operation_disabled")
    assert code_of(ApiClient().post(VERIFY, {"code": "x", "telegram_id": 1}, **{"Telegram-Bot-Key": ""})) == (
        401,
        "invalid_signature",
    )


@pytest.mark.usefixtures("bot")
def test_a_link_ties_once(customer: Callable[..., User]) -> None:
    user = customer()
    api = ApiClient(token=tokens.issue(user))
    old = api.post(ASSIGN, {}).json()
    link = api.post(ASSIGN, {}).json()
    assert link["url"] == f"https://t.me/example_bot?start={link['code']}"
    assert len(link["code"]) == 43
    assert not TelegramLink.objects.filter(code_hash=link["code"]).exists()  # only its hash is kept
    anybody, key = ApiClient(), {"Telegram-Bot-Key": BOT_KEY}
    asked = {"code": link["code"], "telegram_id": 42, "telegram_username": "Ada"}
    assert code_of(anybody.post(VERIFY, asked)) == (401, "invalid_signature")
    assert code_of(anybody.post(VERIFY, asked, **{"Telegram-Bot-Key": "wrong"})) == (401, "invalid_signature")
    assert code_of(anybody.post(VERIFY, {**asked, "code": old["code"]}, **key)) == (400, "wrong_code")
    done = anybody.post(VERIFY, asked, **key)
    assert done.json() == {"status": "success", "telegram_id": 42, "telegram_username": "Ada"}
    assert code_of(anybody.post(VERIFY, asked, **key)) == (400, "wrong_code")
    user.refresh_from_db()
    assert (user.telegram_id, user.telegram_username) == (42, "Ada")
    assert code_of(api.post(ASSIGN, {})) == (409, "wrong_state")
    letters = [event.payload["letter"] for event in OutboxEvent.objects.filter(kind="letter")]
    assert letters == ["telegram_assigned"]


@pytest.mark.usefixtures("bot")
def test_a_mini_app_proves_who_used_the_code(customer: Callable[..., User]) -> None:
    user = customer()
    code = ApiClient(token=tokens.issue(user)).post(ASSIGN, {}).json()["code"]
    anybody = ApiClient()
    old = {"code": code, "init_data": init_data(ago=400)}
    assert code_of(anybody.post(VERIFY, old)) == (401, "replayed_request")
    assert anybody.post(VERIFY, {"code": code, "init_data": init_data(5, username="ada")}).status_code == 200
    user.refresh_from_db()
    assert user.telegram_id == 5


@pytest.mark.usefixtures("bot")
def test_an_old_code_and_a_telegram_user_who_has_an_account(customer: Callable[..., User]) -> None:
    user, other = customer(), customer(telegram_id=42, telegram_username="ada")
    api, key = ApiClient(token=tokens.issue(user)), {"Telegram-Bot-Key": BOT_KEY}
    code = api.post(ASSIGN, {}).json()["code"]
    taken = ApiClient().post(VERIFY, {"code": code, "telegram_id": 42}, **key)
    assert code_of(taken) == (409, "conflict")
    with clock.standing_at(clock.now() + timedelta(minutes=16)):
        assert code_of(ApiClient().post(VERIFY, {"code": code, "telegram_id": 43}, **key)) == (
            400,
            "wrong_code",
        )
    # A name that changed hands is its newest owner's.
    done = ApiClient().post(VERIFY, {"code": code, "telegram_id": 43, "telegram_username": "ADA"}, **key)
    assert done.status_code == 200
    other.refresh_from_db()
    assert (other.telegram_id, other.telegram_username) == (42, "")


@pytest.mark.usefixtures("bot")
def test_untying(customer: Callable[..., User]) -> None:
    user = customer(telegram_id=42, telegram_username="ada")
    api = ApiClient(token=tokens.issue(user))
    assert api.post(UNASSIGN, {}).json()["telegram_id"] is None
    assert code_of(api.post(UNASSIGN, {})) == (409, "wrong_state")
    born = ApiClient().post(CREATE, {"init_data": init_data(77)})
    only = ApiClient(token=born.json()["token"])
    assert code_of(only.post(UNASSIGN, {})) == (409, "wrong_state")
    assert User.objects.get(telegram_id=77).is_active


@pytest.mark.usefixtures("bot")
def test_a_key_ties_nothing(customer: Callable[..., User]) -> None:
    user = customer()
    key = ApiKey.objects.create(
        user=user, name="x", key="k" * 40, secret="s", scopes=["read", "withdraw"], state=ApiKey.State.ACTIVE
    )
    api = ApiClient(key=key.key, secret="s")
    assert code_of(api.post(ASSIGN, {})) == (403, "forbidden")
    assert code_of(api.post(UNASSIGN, {})) == (403, "forbidden")


@pytest.mark.usefixtures("bot")
def test_the_bot_reads_for_its_users_and_moves_nothing(customer: Callable[..., User]) -> None:
    user = customer(telegram_id=42)
    give(user, "UAH", "12.50")
    acting = {"Telegram-Bot-Key": BOT_KEY, "Telegram-User-Id": "42"}
    read = ApiClient().get("/api/v1/user/balance", **acting)
    assert (read.status_code, read.json()["balance"]["UAH"]["UAH"]["total"]) == (200, 12.5)
    moved = ApiClient().post("/api/v1/internal_movement", {"currency": "UAH", "amount": "10"}, **acting)
    assert code_of(moved) == (403, "forbidden")
    for wrong in (
        {**acting, "Telegram-Bot-Key": "wrong"},
        {**acting, "Telegram-User-Id": "43"},
        {**acting, "Telegram-User-Id": "forty-two"},
        {"Telegram-User-Id": "42"},
    ):
        assert ApiClient().get("/api/v1/user/balance", **wrong).status_code == 401
    user.is_active = False
    user.save()
    assert code_of(ApiClient().get("/api/v1/user/balance", **acting)) == (403, "account_disabled")
