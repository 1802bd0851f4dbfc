"""The Telegram bot by the real library, against a Bot API on this machine that speaks the documented wire."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs

import pytest
from asgiref.sync import async_to_sync
from django.core.management import call_command
from django.core.management.base import CommandError

from backoffice import bot
from kauri.account import telegram
from kauri.account.models import User
from tests.moves import give

TOKEN = "123456789:AAErjDMdYf6Zb1m0Xy3-8w2ZtQ5c7e9gHiJ"
pytestmark = pytest.mark.django_db(transaction=True)
ME = {"id": 123456789, "is_bot": True, "first_name": "Kauri", "username": "example_bot"}


class BotApi:
    """getMe, getUpdates (each update until it is confirmed by a higher offset), sendMessage."""

    def __init__(self) -> None:
        self.updates: list[dict[str, Any]] = []
        self.sent: list[dict[str, str]] = []
        self.failures = 0
        self.answered = threading.Condition()

    def say(self, text: str, number: int = 42, chat: str = "private", language: str = "en") -> None:
        sender = {
            "id": number,
            "is_bot": False,
            "first_name": "Ada",
            "username": "ada",
            "language_code": language,
        }
        message = {
            "message_id": len(self.updates) + 1,
            "date": int(time.time()),
            "chat": {"id": number if chat == "private" else -number, "type": chat, "title": "us"},
            "from": sender,
            "text": text,
        }
        self.updates.append({"update_id": 1000 + len(self.updates), "message": message})

    def reply(self, method: str, fields: dict[str, str]) -> Any:
        if method == "getUpdates":
            if self.failures:
                self.failures -= 1
                return None
            offset = int(fields.get("offset", "0"))
            waiting = [update for update in self.updates if update["update_id"] >= offset]
            if not waiting:
                threading.Event().wait(0.05)  # the long poll, made short
            return waiting
        if method == "sendMessage":
            with self.answered:
                self.sent.append(fields)
                self.answered.notify_all()
            chat = {"id": int(fields["chat_id"]), "type": "private"}
            return {"message_id": 1, "date": int(time.time()), "chat": chat, "text": fields["text"]}
        return ME


@pytest.fixture
def api(settings: Any) -> Iterator[BotApi]:
    state = BotApi()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", "0"))).decode()
            fields = {name: values[0] for name, values in parse_qs(body).items()}
            assert self.path.startswith(f"/bot{TOKEN}/")
            result = state.reply(self.path.rsplit("/", 1)[1], fields)
            good = {"ok": True, "result": result}
            bad = {"ok": False, "error_code": 502, "description": "Bad Gateway"}
            raw = json.dumps(bad if result is None else good).encode()
            self.send_response(502 if result is None else 200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(raw)))
            self.end_headers()
            self.wfile.write(raw)

        def log_message(self, *args: object) -> None:
            del args

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    values = {
        "telegram_token": TOKEN,
        "telegram_bot": "example_bot",
        "telegram_api_url": f"http://127.0.0.1:{server.server_address[1]}",
    }
    settings.KAURI = settings.KAURI.model_copy(update=values)
    yield state
    server.shutdown()
    server.server_close()
    thread.join()


def answers(api: BotApi, count: int) -> list[str]:
    """Run the bot until it has answered so often."""

    async def until() -> None:
        stop = asyncio.Event()
        running = asyncio.create_task(bot.run(stop))
        enough = await asyncio.to_thread(_wait, api, count)
        stop.set()
        await asyncio.wait_for(running, 20)
        assert enough, api.sent

    async_to_sync(until)()
    return [sent["text"] for sent in api.sent]


def _wait(api: BotApi, count: int) -> bool:
    with api.answered:
        return api.answered.wait_for(lambda: len(api.sent) >= count, timeout=30)


def test_a_chat_is_tied_by_its_link(api: BotApi, customer: Callable[..., User]) -> None:
    user = customer()
    link = telegram.telegram_assign(user=user, ip="")
    give(user, "UAH", "12.50")
    for text in ("hello", f"/start {link.code}", f"/start {link.code}", "/balance", "what else?"):
        api.say(text)
    assert answers(api, 5) == [
        "This chat is not tied to an account yet. Ask for a link in your account and open it here.",
        f"Done: this chat is tied to the account {user.number}.",
        "The confirmation code is wrong or has expired.",
        "UAH 12.5",
        f"This chat is tied to the account {user.number}. /balance tells what is on it.",
    ]
    user.refresh_from_db()
    assert (user.telegram_id, user.telegram_username) == (42, "ada")


def test_nothing_is_told_in_a_group_and_to_no_stranger(api: BotApi, customer: Callable[..., User]) -> None:
    give(customer(telegram_id=42), "UAH", "1")
    customer(telegram_id=7, is_active=False)
    api.say("/balance", chat="group")
    api.say("/balance", number=7)
    api.say("/balance", number=8, language="uk")
    untied = answers(api, 2)
    assert untied[0].startswith("This chat is not tied")
    assert untied[1].startswith("Цей чат ще не")
    assert {sent["chat_id"] for sent in api.sent} == {"7", "8"}


def test_an_empty_account(api: BotApi, customer: Callable[..., User]) -> None:
    customer(telegram_id=42, language="ru")
    api.say("/balance")
    assert answers(api, 1) == ["На счёте ничего нет."]


def test_telegrams_own_outage_is_waited_out(api: BotApi, customer: Callable[..., User]) -> None:
    api.failures = 1
    api.say("hello")
    assert len(answers(api, 1)) == 1


def test_no_token_no_bot(settings: Any) -> None:
    settings.KAURI = settings.KAURI.model_copy(update={"telegram_token": ""})
    with pytest.raises(CommandError, match="KAURI_TELEGRAM_TOKEN"):
        call_command("telegram_bot")
