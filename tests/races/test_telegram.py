"""Telegram, many hands at once: one account is born, one link ties one user, one name has one owner."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from kauri.account import telegram
from kauri.account.models import User
from kauri.common.errors import KauriError
from kauri.common.telegram import TelegramUser
from tests.moves import together

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _bot(settings: Any, house: None) -> None:
    settings.KAURI = settings.KAURI.model_copy(update={"telegram_bot": "example_bot"})


def seen(number: int, mark: str, username: str = "") -> TelegramUser:
    return TelegramUser(number, username, "Ada", datetime.now(UTC), mark)


def test_one_person_is_born_once() -> None:
    results = together(
        6,
        lambda n: telegram.create_from_telegram(who=seen(42, f"m{n}"), language="en", ip="", user_agent=""),
    )
    assert [result for result in results if isinstance(result, BaseException)] == []
    assert sum(is_new for _signed, is_new in results) >= 1
    assert User.objects.filter(telegram_id=42).count() == 1


def test_one_proof_signs_in_once() -> None:
    results = together(
        6,
        lambda _n: telegram.create_from_telegram(who=seen(42, "same"), language="en", ip="", user_agent=""),
    )
    refused = [result.code for result in results if isinstance(result, KauriError)]
    assert refused == ["replayed_request"] * 5


def test_a_link_opened_by_many_ties_one(customer: Callable[..., User]) -> None:
    user = customer()
    link = telegram.telegram_assign(user=user, ip="")
    results = together(
        6, lambda n: telegram.telegram_verify(code=link.code, telegram_id=100 + n, username=f"ada{n}", ip="")
    )
    won = [result for result in results if isinstance(result, User)]
    lost = [result.code for result in results if isinstance(result, KauriError)]
    assert (len(won), lost) == (1, ["wrong_code"] * 5)
    user.refresh_from_db()
    assert user.telegram_id == won[0].telegram_id


def test_one_telegram_user_for_many_accounts(customer: Callable[..., User]) -> None:
    links = [telegram.telegram_assign(user=customer(), ip="") for _ in range(4)]
    results = together(
        4, lambda n: telegram.telegram_verify(code=links[n].code, telegram_id=7, username="Ada", ip="")
    )
    lost = [result.code for result in results if isinstance(result, KauriError)]
    assert lost == ["conflict"] * 3
    assert User.objects.filter(telegram_id=7).count() == 1
