"""Telegram's two signatures: the published vectors, and each refused by the other's rule."""

from __future__ import annotations

from datetime import UTC, datetime
from urllib.parse import parse_qsl

import pytest

from kauri.common.telegram import TelegramUser, mini_app_user, widget_user
from tests.moves import code_of

BOT = "42:TEST"
INIT_DATA = (
    "auth_date=1650385342&user=%7B%22id%22%3A42%2C%22first_name%22%3A%22Test%22%7D&query_id=test"
    "&hash=46d2ea5e32911ec8d30999b56247654460c0d20949b6277af519e76271182803"
)
WIDGET_BOT = "123456:ABC-DEF1234ghIkl-zyx57W2v1u123ew11"
WIDGET = {
    "id": 42,
    "first_name": "John",
    "last_name": "Smith",
    "username": "username",
    "photo_url": "https://t.me/i/userpic/320/picname.jpg",
    "auth_date": 1565810688,
    "hash": "c303db2b5a06fe41d23a9b14f7c545cfc11dcc7473c07c9c5034ae60062461ce",
}


def test_a_mini_app() -> None:
    mark = "46d2ea5e32911ec8d30999b56247654460c0d20949b6277af519e76271182803"
    at = datetime(2022, 4, 19, 16, 22, 22, tzinfo=UTC)
    assert mini_app_user(INIT_DATA, BOT) == TelegramUser(42, "", "Test", at, mark)


def test_the_widget() -> None:
    found = widget_user(WIDGET, WIDGET_BOT)
    assert (found.id, found.username, found.name) == (42, "username", "John Smith")
    assert found.at == datetime(2019, 8, 14, 19, 24, 48, tzinfo=UTC)


@pytest.mark.parametrize(
    "data",
    [
        "",
        "no init data",
        INIT_DATA.replace("42", "43"),
        INIT_DATA + "&premium=1",
        INIT_DATA.replace("query_id=test&", ""),
        INIT_DATA.replace("hash=46", "hash=47"),
        INIT_DATA.split("&hash=")[0],
        "hash=46d2ea5e32911ec8d30999b56247654460c0d20949b6277af519e76271182803",
        INIT_DATA.replace("hash=46", "hash=é"),
    ],
)
def test_what_telegram_did_not_sign(data: str) -> None:
    assert code_of(lambda: mini_app_user(data, BOT)) == "invalid_signature"


def test_one_scheme_does_not_pass_for_the_other() -> None:
    assert code_of(lambda: mini_app_user(INIT_DATA, BOT + "x")) == "invalid_signature"
    assert code_of(lambda: widget_user(dict(parse_qsl(INIT_DATA)), BOT)) == "invalid_signature"
    for change in ({"id": 43}, {"username": "other"}, {"admin": 1}, {"hash": ""}, {"hash": None}):
        assert (
            code_of(lambda change=change: widget_user({**WIDGET, **change}, WIDGET_BOT))
            == "invalid_signature"
        )  # type: ignore[misc]
