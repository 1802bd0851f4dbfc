"""The Telegram bot by the real library, against a Bot API on this machine that speaks the documented wire."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from kauri.account import telegram
from kauri.account.models import User
from tests.backoffice.telegram import BotApi, run_bot
from tests.moves import give

pytestmark = pytest.mark.django_db(transaction=True)


def answers(api: BotApi, count: int) -> list[str]:
    """What the bot has said when it has dealt with everything."""
    run_bot(api)
    assert len(api.sent) == count
    return [sent["text"] for sent in api.sent]


def test_a_chat_is_tied_by_its_link(telegram_api: BotApi, customer: Callable[..., User]) -> None:
    user = customer()
    link = telegram.telegram_assign(user=user, ip="")
    give(user, "UAH", "12.50")
    for text in ("hello", f"/start {link.code}", f"/start {link.code}", "/balance", "what else?"):
        telegram_api.say(text)
    assert answers(telegram_api, 5) == [
        "This chat is not tied to an account yet. Ask for a link in your account and open it here.",
        f"Done: this chat is tied to the account {user.number}.",
        "The confirmation code is wrong or has expired.",
        "UAH 12.5",
        f"This chat is tied to the account {user.number}. /balance tells what is on it.",
    ]
    user.refresh_from_db()
    assert (user.telegram_id, user.telegram_username) == (42, "ada")


def test_nothing_is_told_in_a_group_and_to_no_stranger(
    telegram_api: BotApi, customer: Callable[..., User]
) -> None:
    give(customer(telegram_id=42), "UAH", "1")
    customer(telegram_id=7, is_active=False)
    telegram_api.say("/balance", chat="group")
    telegram_api.say("/balance", number=7)
    telegram_api.say("/balance", number=8, language="uk")
    untied = answers(telegram_api, 2)
    assert untied[0].startswith("This chat is not tied")
    assert untied[1].startswith("Цей чат ще не")
    assert {sent["chat_id"] for sent in telegram_api.sent} == {"7", "8"}


def test_an_empty_account(telegram_api: BotApi, customer: Callable[..., User]) -> None:
    customer(telegram_id=42, language="ru")
    telegram_api.say("/balance")
    assert answers(telegram_api, 1) == ["На счёте ничего нет."]


def test_telegrams_own_outage_is_waited_out(telegram_api: BotApi, customer: Callable[..., User]) -> None:
    telegram_api.failures = 1
    telegram_api.say("hello")
    assert len(answers(telegram_api, 1)) == 1


def test_no_token_no_bot(settings: Any) -> None:
    settings.KAURI = settings.KAURI.model_copy(update={"telegram_token": ""})
    with pytest.raises(CommandError, match="KAURI_TELEGRAM_TOKEN"):
        call_command("telegram_bot")
