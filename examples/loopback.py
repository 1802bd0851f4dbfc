"""Two small servers of the example's own: a shop that receives webhooks, and a Telegram Bot API."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs


@dataclass
class Received:
    """One request: its path, headers (lower case) and body, exactly as it came."""

    path: str
    headers: dict[str, str]
    body: bytes

    def fields(self) -> dict[str, str]:
        """The body of a form or JSON post as plain fields."""
        kind = self.headers.get("content-type", "")
        if kind.startswith("application/json"):
            data: dict[str, str] = json.loads(self.body)
            return data
        if kind.startswith("multipart/form-data"):
            return _multipart(self.body, kind)
        return {name: values[0] for name, values in parse_qs(self.body.decode()).items()}


@dataclass
class Inbox:
    """What a server has received so far; ``arrived`` is notified at each new one."""

    url: str = ""
    items: list[Received] = field(default_factory=list)
    arrived: threading.Condition = field(default_factory=threading.Condition)

    def wait_for(self, wanted: Any, seconds: float) -> Received | None:
        """The first item that ``wanted`` accepts, waiting for it if need be; None in the end."""
        with self.arrived:
            self.arrived.wait_for(lambda: any(wanted(item) for item in self.items), timeout=seconds)
            return next((item for item in self.items if wanted(item)), None)


@contextmanager
def serve(answer: Any, port: int = 0) -> Iterator[Inbox]:
    """A server on 127.0.0.1 that answers each POST with ``answer(received)`` as JSON."""
    inbox = Inbox()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", "0")))
            received = Received(self.path, {k.lower(): v for k, v in self.headers.items()}, body)
            reply = json.dumps(answer(received)).encode()
            with inbox.arrived:
                inbox.items.append(received)
                inbox.arrived.notify_all()
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(reply)))
            self.end_headers()
            self.wfile.write(reply)

        def log_message(self, *args: object) -> None:
            del args

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    inbox.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield inbox
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def shop(_received: Received) -> dict[str, Any]:
    """A client's webhook address: 200 says delivered."""
    return {"ok": True}


def bot_api(received: Received) -> dict[str, Any]:
    """``sendMessage`` of the Telegram Bot API, as its documentation describes the answer."""
    fields = received.fields()
    return {
        "ok": True,
        "result": {
            "message_id": 1,
            "date": 1_700_000_000,
            "chat": {"id": int(fields.get("chat_id", "1")), "type": "private"},
            "text": fields.get("text", ""),
        },
    }


def _multipart(body: bytes, kind: str) -> dict[str, str]:
    boundary = kind.partition("boundary=")[2].strip('"').encode()
    fields = {}
    for part in body.split(b"--" + boundary):
        head, blank, value = part.partition(b"\r\n\r\n")
        name = head.decode("utf-8", "replace").partition('name="')[2].partition('"')[0]
        if blank and name:
            fields[name] = value.removesuffix(b"\r\n").decode()
    return fields
