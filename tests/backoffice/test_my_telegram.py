"""An operator's own Telegram: tied and untied on their page, the code asked for; untied by others with a reason."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.test import Client
from django.urls import reverse

from kauri.account.models import TelegramLink, User
from kauri.common.admin import page_url
from kauri.core.models import AuditEntry
from tests.backoffice import scene
from tests.backoffice.telegram import BotApi, run_bot
from tests.backoffice.test_acts import SENT, dialog
from tests.backoffice.window import Window, sign_in
from tests.moves import six_digits

AtDesk = Callable[..., Client]


def url() -> str:
    return reverse("admin:my_telegram")


@pytest.mark.django_db(transaction=True)
def test_an_operator_ties_their_chat_by_a_link_that_a_code_gives(
    at_desk: AtDesk, telegram_api: BotApi
) -> None:
    client = at_desk("Treasury")
    user = client.person.user
    assert f'href="{url()}"' in client.get(reverse("admin:index")).content.decode()
    assert "Your account is not tied to Telegram." in client.get(url()).content.decode()
    page = client.post(url(), {"act": "tie", "code": ""}, follow=True).content.decode()
    assert "A one-time code of your authenticator is needed" in page
    assert TelegramLink.objects.count() == 0
    answer = client.post(url(), {"act": "tie", "code": six_digits(user)})
    assert "no-store" in answer.headers["Cache-Control"]
    link = answer.context["link"]
    page = answer.content.decode()
    assert link.url in page
    assert "data:image/png;base64," in page
    telegram_api.say(f"/start {link.code}", 101, chat="group")
    telegram_api.say(f"/start {link.code}", 101)
    telegram_api.say(f"/start {link.code}", 102)
    run_bot(telegram_api)
    assert telegram_api.chat(101) == [f"Done: this chat is tied to the operator {user.email}."]
    assert telegram_api.chat(102) == ["The confirmation code is wrong or has expired."]
    user.refresh_from_db()
    assert user.telegram_id == 101
    page = client.get(url()).content.decode()
    assert "@person101" in page
    client.post(url(), {"act": "untie", "code": "00000x"})
    user.refresh_from_db()
    assert user.telegram_id == 101
    page = client.post(url(), {"act": "untie", "code": six_digits(user)}, follow=True).content.decode()
    assert "Your account is untied from Telegram." in page
    user.refresh_from_db()
    assert (user.telegram_id, user.telegram_username) == (None, "")
    verbs = AuditEntry.objects.filter(object_type="user", object_id=str(user.pk)).order_by("id")
    assert [row.verb for row in verbs] == [
        "telegram_assign",
        "telegram_verify",
        "code_refused",
        "telegram_unassign",
    ]


def test_without_a_bot_the_page_says_so(at_desk: AtDesk) -> None:
    client = at_desk("Support")
    page = client.get(url()).content.decode()
    assert "There is no Telegram bot here" in page
    assert 'data-testid="tie"' not in page
    assert Client().get(url()).status_code == 302


def test_who_changes_roles_unties_another_with_a_reason_and_a_code(at_desk: AtDesk) -> None:
    client, other = at_desk("Administrator"), scene.operator("Treasury").user
    assert "Untie from Telegram" not in client.get(page_url(other)).content.decode()
    User.objects.filter(pk=other.pk).update(telegram_id=101, telegram_username="left")
    page = client.get(page_url(other)).content.decode()
    assert "Untie from Telegram" in page
    assert "@left 101" in page
    door = dialog("account_user_untie", other.public_id)
    assert at_desk("Senior").post(door, {**SENT, "reason": "left", "code": "1"}).status_code == 403
    client.post(door, {**SENT, "reason": "left us", "code": ""})
    other.refresh_from_db()
    assert other.telegram_id == 101
    client.post(door, {**SENT, "reason": "left us", "code": six_digits(client.person.user)})
    other.refresh_from_db()
    assert other.telegram_id is None
    entry = AuditEntry.objects.get(verb="telegram_unassign")
    assert (entry.reason, entry.actor_label) == ("left us", client.person.user.email)
    assert entry.before == {"telegram_id": 101, "telegram_username": "left"}


@pytest.mark.parametrize("language", ["en", "uk", "ru"])
def test_the_page_by_keyboard(
    window: Callable[..., Window], house: None, telegram_api: BotApi, language: str
) -> None:
    person = scene.operator("Treasury", f"{language}@example.com", scene.PASSWORD)
    found = window()
    sign_in(found, person)
    found.page.context.add_cookies([{"name": "django_language", "value": language, "url": found.base}])
    page = found.open(url())
    page.get_by_test_id("code").focus()
    page.keyboard.type(six_digits(person.user))
    page.keyboard.press("Enter")
    link = page.get_by_test_id("link")
    link.wait_for()
    assert link.inner_text().startswith("https://t.me/example_bot?start=")
    assert found.complaints == []
