"""Fixtures of the back office's tests: an operator at the desk, and a browser."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.test import Client
from django_otp import DEVICE_ID_SESSION_KEY
from playwright.sync_api import Browser, sync_playwright

from kauri.common.admin import HouseAdmin
from tests.backoffice import scene
from tests.backoffice.telegram import TOKEN, BotApi, serve
from tests.backoffice.window import Window

_CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
_ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@pytest.fixture
def at_desk(house: None) -> Callable[..., Client]:
    """A signed-in client of a role (or of a given operator), the second factor passed."""

    def sign_in(role: str = "Treasury", person: scene.Person | None = None) -> Client:
        who = person or scene.operator(role)
        client = Client()
        client.force_login(who.user)
        session = client.session
        session[DEVICE_ID_SESSION_KEY] = who.device.persistent_id
        session.save()
        client.person = who  # type: ignore[attr-defined]
        return client

    return sign_in


@pytest.fixture
def one_page(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lists whose rows all fit on one page: a second one needs an estimate of the list's length."""
    monkeypatch.setattr(HouseAdmin, "list_per_page", 200)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A browser for one file of tests: its driver runs an event loop, and with one running the bot can't start its own."""
    executable = next(filter(None, map(shutil.which, _CHROMIUM)), None)
    assert executable, "no Chromium on this machine: apt-get install chromium"
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=executable, args=list(_ARGUMENTS))
        yield found
        found.close()


@pytest.fixture
def window(browser: Browser, live_server: Any) -> Iterator[Callable[..., Window]]:
    contexts = []

    def make(**options: Any) -> Window:
        context = browser.new_context(
            **{"viewport": {"width": 1440, "height": 900}, "locale": "en", **options}
        )
        contexts.append(context)
        made = Window(context.new_page(), live_server.url)
        made.page.set_default_timeout(45_000)
        made.page.on("pageerror", lambda error: made.complaints.append(str(error)))
        made.page.on(
            "console",
            lambda said: made.complaints.append(said.text) if said.type in ("error", "warning") else None,
        )
        made.page.on(
            "request", lambda asked: made.hosts.add(asked.url.split("/")[2]) if "//" in asked.url else None
        )
        return made

    yield make
    for context in contexts:
        context.close()


@pytest.fixture
def telegram_api(settings: Any) -> Iterator[BotApi]:
    """The house's bot talks to a Bot API on this machine."""
    state = BotApi()
    with serve(state) as url:
        values = {
            "telegram_token": TOKEN,
            "telegram_bot": "example_bot",
            "telegram_api_url": url,
            "public_url": "https://office.example",
        }
        settings.KAURI = settings.KAURI.model_copy(update=values)
        yield state
