"""A Bot API on this machine that speaks the documented wire, and keeps what each chat shows."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs

from asgiref.sync import async_to_sync

from backoffice import bot

TOKEN = "123456789:AAErjDMdYf6Zb1m0Xy3-8w2ZtQ5c7e9gHiJ"
ME = {"id": 123456789, "is_bot": True, "first_name": "Kauri", "username": "example_bot"}
#: What a message or a button's data may come to, by the documentation.
_TEXT, _DATA = 4096, 64

Buttons = list[list[dict[str, str]]]


class Refused(Exception):
    """An answer with ``ok: false`` and this status and description."""


class BotApi:
    """getMe, getUpdates (each update until a higher offset confirms it, of the kinds asked for only), sendMessage
    and editMessageText with reply_markup, deleteMessage, answerCallbackQuery."""

    def __init__(self) -> None:
        self.updates: list[dict[str, Any]] = []
        self.sent: list[dict[str, str]] = []
        self.notes: list[str] = []
        self.deleted: list[tuple[int, int]] = []
        #: (chat, message) -> what it reads now.
        self.texts: dict[tuple[int, int], str] = {}
        self.buttons: dict[tuple[int, int], Buttons] = {}
        self.failures = 0
        self.lost_answers = 0
        self.confirmed = 0
        self.answered = threading.Condition()
        self._numbers = iter(range(1, 10_000))

    # What people do ------------------------------------------------------------------------

    def say(self, text: str, number: int = 42, chat: str = "private", language: str = "en") -> int:
        """Somebody writes; the message's number."""
        message = self._message(number, chat, next(self._numbers), text)
        self._happens("message", {**message, "from": self._person(number, language)})
        self.texts[message["chat"]["id"], message["message_id"]] = text
        return int(message["message_id"])

    def press(self, data: str, number: int = 42, message: int = 1, chat: str = "private") -> None:
        """Somebody presses a button of the bot's message."""
        shown = self._message(number, chat, message, "shown")
        query = {
            "id": str(len(self.updates) + 1),
            "from": self._person(number, "en"),
            "message": {**shown, "from": ME},
            "chat_instance": "1",
            "data": data,
        }
        self._happens("callback_query", query)

    def button(self, number: int, words: str) -> str:
        """What the button of these words sends, in the newest message of the chat that has one."""
        for place in sorted(self.buttons, reverse=True):
            for row in self.buttons[place] if place[0] == number else []:
                for shown in row:
                    if shown["text"] == words:
                        return shown["callback_data"]
        raise AssertionError(f"{number} sees no button {words}: {self.buttons}")

    def chat(self, number: int) -> list[str]:
        """What the bot has written to somebody, as it reads now."""
        mine = {int(sent["message_id"]) for sent in self.sent if int(sent["chat_id"]) == number}
        return [self.texts[number, message] for message in sorted(mine)]

    # The wire ------------------------------------------------------------------------------

    def reply(self, method: str, fields: dict[str, str]) -> Any:
        answer = {
            "getMe": lambda _fields: ME,
            "getUpdates": self._get_updates,
            "sendMessage": self._send,
            "editMessageText": self._edit,
            "deleteMessage": self._delete,
            "answerCallbackQuery": self._note,
            "deleteWebhook": lambda _fields: True,
        }[method]
        return answer(fields)

    def _get_updates(self, fields: dict[str, str]) -> Any:
        if self.failures:
            self.failures -= 1
            return None
        offset = int(fields.get("offset", "0"))
        kinds = json.loads(fields.get("allowed_updates", "[]")) or ["message", "callback_query"]
        with self.answered:
            self.confirmed = max(self.confirmed, offset - 1)
            self.answered.notify_all()
        waiting = [
            update
            for update in self.updates
            if update["update_id"] > self.confirmed and any(kind in update for kind in kinds)
        ]
        if not waiting:
            threading.Event().wait(0.05)  # the long poll, made short
        return waiting

    def _send(self, fields: dict[str, str]) -> Any:
        assert 0 < len(fields["text"]) <= _TEXT
        place = (int(fields["chat_id"]), next(self._numbers))
        fields["message_id"] = str(place[1])
        with self.answered:
            self.sent.append(fields)
            self.texts[place] = fields["text"]
            self.buttons[place] = _keyboard(fields)
            self.answered.notify_all()
        if self.lost_answers:
            self.lost_answers -= 1
            return None
        return self._shown(place)

    def _edit(self, fields: dict[str, str]) -> Any:
        place = (int(fields["chat_id"]), int(fields["message_id"]))
        if place not in self.texts:
            raise Refused(400, "Bad Request: message to edit not found")
        if (self.texts[place], self.buttons.get(place, [])) == (fields["text"], _keyboard(fields)):
            raise Refused(
                400, "Bad Request: message is not modified: specified new message content is the same"
            )
        self.texts[place], self.buttons[place] = fields["text"], _keyboard(fields)
        return self._shown(place)

    def _delete(self, fields: dict[str, str]) -> Any:
        place = (int(fields["chat_id"]), int(fields["message_id"]))
        if self.texts.pop(place, None) is None:
            raise Refused(400, "Bad Request: message to delete not found")
        self.deleted.append(place)
        return True

    def _note(self, fields: dict[str, str]) -> Any:
        assert fields["callback_query_id"]
        self.notes.append(fields.get("text", ""))
        return True

    def _shown(self, place: tuple[int, int]) -> dict[str, Any]:
        return self._message(place[0], "private", place[1], self.texts[place])

    def _happens(self, kind: str, what: dict[str, Any]) -> None:
        self.updates.append({"update_id": 1000 + len(self.updates), kind: what})

    def _person(self, number: int, language: str) -> dict[str, Any]:
        return {
            "id": number,
            "is_bot": False,
            "first_name": "Ada",
            "username": "ada" if number == 42 else f"person{number}",
            "language_code": language,
        }

    def _message(self, number: int, chat: str, message: int, text: str) -> dict[str, Any]:
        where = {"id": number if chat == "private" else -number, "type": chat, "title": "us"}
        return {"message_id": message, "date": int(time.time()), "chat": where, "text": text}


def _keyboard(fields: dict[str, str]) -> Buttons:
    rows: Buttons = json.loads(fields["reply_markup"])["inline_keyboard"] if "reply_markup" in fields else []
    for row in rows:
        for button in row:
            assert 0 < len(button["callback_data"].encode()) <= _DATA
    return rows


def serve(state: BotApi) -> Any:
    """A running server for ``state``, as a context that gives its address."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", "0"))).decode()
            fields = {name: values[0] for name, values in parse_qs(body).items()}
            assert self.path.startswith(f"/bot{TOKEN}/")
            status, answer = 200, {"ok": True, "result": None}
            try:
                answer["result"] = state.reply(self.path.rsplit("/", 1)[1], fields)
            except Refused as refused:
                status, words = refused.args
                answer = {"ok": False, "error_code": status, "description": words}
            if answer.get("result", "") is None:
                status, answer = 502, {"ok": False, "error_code": 502, "description": "Bad Gateway"}
            raw = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(raw)))
            self.end_headers()
            with suppress(BrokenPipeError):  # the bot has stopped meanwhile
                self.wfile.write(raw)

        def log_message(self, *args: object) -> None:
            del args

    @contextmanager
    def running() -> Iterator[str]:
        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        server.server_close()
        thread.join()

    return running()


def run_bot(api: BotApi) -> None:
    """The real bot, from its start until Telegram knows that every update was dealt with."""

    async def until() -> None:
        stop = asyncio.Event()
        running = asyncio.create_task(bot.run(stop))
        enough = await asyncio.to_thread(_wait, api)
        stop.set()
        await asyncio.wait_for(running, 20)
        assert enough, (api.confirmed, api.sent)

    async_to_sync(until)()


def _wait(api: BotApi) -> bool:
    last = api.updates[-1]["update_id"]
    with api.answered:
        return api.answered.wait_for(lambda: api.confirmed >= last, timeout=30)
