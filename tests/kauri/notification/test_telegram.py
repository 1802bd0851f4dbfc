"""Operator alerts, by the real library to a Bot API on this machine."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs

import pytest

from examples.loopback import Inbox, bot_api, serve
from kauri.account.models import User
from kauri.common import clock
from kauri.common.actor import Actor
from kauri.core.models import OutboxEvent
from kauri.notification import services
from kauri.notification.models import Delivery
from kauri.withdrawal_order.paying import payout_advance
from tests.moves import approved, give, sandbox_on, withdraw

TOKEN = "123456789:AAErjDMdYf6Zb1m0Xy3-8w2ZtQ5c7e9gHiJ"
Drain = Callable[..., int]


def connect(settings: Any, url: str, **more: str) -> None:
    values = {
        "telegram_api_url": url,
        "telegram_token": TOKEN,
        "telegram_alert_chat": "-100777",
        "public_url": "https://office.example",
        **more,
    }
    settings.KAURI = settings.KAURI.model_copy(update=values)


@pytest.fixture
def chat(settings: Any) -> Iterator[Inbox]:
    with serve(bot_api) as inbox:
        connect(settings, inbox.url)
        yield inbox


@contextmanager
def refusing(status: int, description: str, **parameters: Any) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """A Bot API that refuses everything, as its documentation says it does."""
    seen: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            seen.append({"path": self.path, **parse_qs(body)})
            answer = {"ok": False, "error_code": status, "description": description}
            text = json.dumps({**answer, "parameters": parameters} if parameters else answer)
            raw = text.encode() if description else b"<html>bad gateway</html>"
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(raw)))
            self.end_headers()
            self.wfile.write(raw)

        def log_message(self, *_: object) -> None:
            """Nothing: what matters is asserted."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", seen
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def waiting(customer: Callable[..., User]) -> Callable[[], Any]:
    """A withdrawal that waits for an operator."""

    def make() -> Any:
        sandbox_on()
        user = customer()
        give(user, "UAH", "200")
        return withdraw(user, "100.50", currency="UAH", to="sandbox:success")

    return make


def only() -> Delivery:
    return Delivery.objects.get()


def test_a_waiting_withdrawal_is_told_with_facts_and_a_link(
    chat: Inbox, waiting: Callable[[], Any], drain: Drain
) -> None:
    order = waiting()
    drain()
    [item] = chat.items
    assert item.path == f"/bot{TOKEN}/sendMessage"
    fields = item.fields()
    assert fields["chat_id"] == "-100777"
    for fact in (
        "100.5 UAH",
        order.owner.email,
        "never been paid at this destination",
        f"https://office.example/order_core/order/{order.public_id}/",
    ):
        assert fact in fields["text"]
    assert only().state == "delivered"


def test_an_unknown_payout_is_told_once(
    chat: Inbox, customer: Callable[..., User], operator: Callable[..., Actor], drain: Drain
) -> None:
    sandbox_on()
    user = customer()
    give(user, "UAH", "200")
    order, payout = approved(user, operator(), "100", currency="UAH", to="sandbox:lost-unsent")
    for minutes in (0, 30, 60):
        with clock.standing_at(clock.now() + timedelta(minutes=minutes)):
            payout_advance(payout.pk)
            drain()
    texts = [item.fields()["text"] for item in chat.items]
    [unknown] = [text for text in texts if "unknown" in text]
    assert "100 UAH through Sandbox" in unknown
    assert str(order.public_id) in unknown


def test_one_event_is_one_message(chat: Inbox, waiting: Callable[[], Any], drain: Drain) -> None:
    waiting()
    drain()
    OutboxEvent.objects.update(dispatched_at=None)
    for event in OutboxEvent.objects.all():
        services.outbox_dispatch(event.pk)
    drain()
    services.delivery_send(only().pk)
    assert len(chat.items) == 1


def test_asked_to_slow_down_it_waits_so_long(settings: Any, waiting: Callable[[], Any], drain: Drain) -> None:
    with refusing(429, "Too Many Requests: retry after 1800", retry_after=1800) as (url, seen):
        connect(settings, url)
        moment = clock.now() + timedelta(seconds=1)
        waiting()
        with clock.standing_at(moment):
            drain()
        assert only().next_attempt_at == moment + timedelta(seconds=1800)
        with clock.standing_at(moment + timedelta(seconds=1799)):
            assert services.deliveries_sweep() == 0
            services.delivery_send(only().pk)
    assert len(seen) == 1
    assert (only().state, only().tries.get().status) == ("waiting", 429)


@pytest.mark.parametrize(
    ("status", "words", "state"),
    [
        (400, "Bad Request: chat not found", "dead"),
        (401, "Unauthorized", "dead"),
        (403, "Forbidden: bot was blocked by the user", "dead"),
        (500, "Internal Server Error", "waiting"),
        (502, "", "waiting"),
    ],
)
def test_what_a_refusal_means(
    settings: Any, waiting: Callable[[], Any], drain: Drain, status: int, words: str, state: str
) -> None:
    with refusing(status, words) as (url, seen):
        connect(settings, url)
        waiting()
        drain()
        services.delivery_send(only().pk)
    assert (only().state, only().attempts, len(seen)) == (state, 1, 1)
    assert TOKEN not in only().tries.get().error


def test_nobody_there(settings: Any, waiting: Callable[[], Any], drain: Drain) -> None:
    connect(settings, "http://127.0.0.1:9")
    waiting()
    drain()
    assert (only().state, only().tries.get().error) == ("waiting", "TelegramNetworkError")


@pytest.mark.parametrize("token", ["", "no token"])
def test_without_a_token_it_is_refused_and_not_looped(
    settings: Any, waiting: Callable[[], Any], drain: Drain, token: str
) -> None:
    connect(settings, "http://127.0.0.1:9", telegram_token=token)
    waiting()
    drain()
    assert (only().state, only().attempts) == ("dead", 1)
    assert "KAURI_TELEGRAM_TOKEN" in only().tries.get().error


def test_without_a_chat_nothing_is_made(settings: Any, waiting: Callable[[], Any], drain: Drain) -> None:
    connect(settings, "http://127.0.0.1:9", telegram_alert_chat="")
    waiting()
    drain()
    assert Delivery.objects.count() == 0


def replacing(receipt: str) -> Delivery:
    """A message that takes the place of another, which Telegram knows by this number."""
    first = Delivery.objects.create(
        channel="telegram",
        target="77",
        title="t",
        body="old",
        dedupe_key="first",
        state="delivered",
        receipt=receipt,
    )
    return Delivery.objects.create(
        channel="telegram",
        target="77",
        title="t",
        body="new",
        buttons=[[["Approve", "a:token"]]],
        dedupe_key="second",
        replaces=first,
    )


def test_a_message_takes_the_place_of_another(house: None, chat: Inbox) -> None:
    row = replacing("15")
    services.delivery_send(row.pk)
    [item] = chat.items
    assert item.path.endswith("/editMessageText")
    fields = item.fields()
    assert (fields["chat_id"], fields["message_id"], fields["text"]) == ("77", "15", "new")
    assert json.loads(fields["reply_markup"]) == {
        "inline_keyboard": [[{"text": "Approve", "callback_data": "a:token"}]]
    }
    row.refresh_from_db()
    assert (row.state, row.receipt) == ("delivered", "15")


@pytest.mark.parametrize(
    ("words", "state"),
    [
        # The answer to the first try was lost.
        ("Bad Request: message is not modified: specified new message content is the same", "delivered"),
        ("Bad Request: message to edit not found", "dead"),
        ("Bad Request: message can't be edited", "dead"),
    ],
)
def test_what_a_refused_replacement_means(house: None, settings: Any, words: str, state: str) -> None:
    row = replacing("15")
    with refusing(400, words) as (url, seen):
        connect(settings, url)
        services.delivery_send(row.pk)
    row.refresh_from_db()
    assert (row.state, len(seen)) == (state, 1)


def test_what_was_never_delivered_is_not_replaced(house: None, chat: Inbox) -> None:
    row = replacing("")
    services.delivery_send(row.pk)
    row.refresh_from_db()
    assert (row.state, row.tries.get().error) == ("dead", "the message that it replaces was never delivered")
    assert chat.items == []
