"""The API as a web server calls it: Django's WSGI handler in this process, no HTTP between."""

from __future__ import annotations

import hashlib
import hmac
import io
import re
import secrets
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any

from django.core.handlers.wsgi import WSGIHandler
from django.db import connection

import backoffice.urls  # noqa: F401 - loaded by the first request otherwise

HOST = "localhost"


class Door:
    """Calls paths, signed with a key where one is given."""

    def __init__(self) -> None:
        self.application = WSGIHandler()

    def call(self, method: str, target: str, body: bytes = b"", key: tuple[str, str] | None = None) -> bytes:
        """The answer's body; anything but 200 is an error."""
        path, _, query = target.partition("?")
        given = signed(method, target, body, key) if key else {}
        environ: dict[str, Any] = {
            "REQUEST_METHOD": method,
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "SERVER_NAME": HOST,
            "SERVER_PORT": "80",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "REMOTE_ADDR": "127.0.0.1",
            "HTTP_HOST": HOST,
            "HTTP_USER_AGENT": "bench",
            "CONTENT_TYPE": "application/json",
            "CONTENT_LENGTH": str(len(body)),
            "wsgi.input": io.BytesIO(body),
            "wsgi.errors": sys.stderr,
            "wsgi.url_scheme": "http",
            **({f"HTTP_{name.upper()}": value for name, value in given.items()}),
        }
        status: list[str] = []

        def begin(line: str, headers: Any, exc_info: Any = None, /) -> Callable[[bytes], object]:
            del headers, exc_info
            status.append(line)
            return io.BytesIO().write

        response = self.application(environ, begin)
        content = b"".join(response)
        response.close()
        if not status[0].startswith("200"):
            raise RuntimeError(f"{method} {path} answered {status[0]}: {content[:300]!r}")
        return content


def signed(method: str, target: str, body: bytes, key: tuple[str, str]) -> dict[str, str]:
    """The headers of a request that is signed now."""
    path, _, query = target.partition("?")
    name, secret = key
    stamp, nonce = str(int(time.time() * 1000)), secrets.token_hex(16)
    message = "\n".join([stamp, nonce, method, path, query, hashlib.sha256(body).hexdigest()])
    sign = hmac.new(secret.encode(), message.encode(), hashlib.sha256).hexdigest()
    return {"Key": name, "Sign": sign, "Timestamp": stamp, "Nonce": nonce}


class Overheard:
    """What goes to the database within the block: Django's statements, and true round trips as libpq saw them."""

    def __enter__(self) -> Overheard:
        connection.ensure_connection()
        self.statements: list[str] = []
        self.file = tempfile.TemporaryFile()
        self.wrapper = connection.execute_wrapper(self._note)
        self.wrapper.__enter__()
        connection.connection.pgconn.trace(self.file.fileno())
        return self

    def __exit__(self, *args: object) -> None:
        connection.connection.pgconn.untrace()
        self.wrapper.__exit__(None, None, None)
        self.file.seek(0)
        messages = [line.rstrip(b"\n").split(b"\t") for line in self.file]
        self.file.close()
        # Sender F is the client; it waits for an answer after each Sync and each simple Query.
        self.round_trips = sum(row[1:2] == [b"F"] and row[3] in {b"Sync", b"Query"} for row in messages)

    def _note(self, execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        self.statements.append(_short(sql))
        return execute(sql, params, many, context)


def _short(sql: str) -> str:
    """The verb and the table or function: enough to see what a request asks for."""
    text = " ".join(sql.split())
    verb = text.split(" ", 1)[0].upper()
    if verb in {"SAVEPOINT", "RELEASE"}:
        return verb
    found = re.search(r'(?:FROM|INTO|UPDATE) "?(\w+)"?', text, re.IGNORECASE)
    locked = " FOR UPDATE" if re.search(r" FOR (NO KEY )?UPDATE", text, re.IGNORECASE) else ""
    return f"{verb} {found[1]}{locked}" if found else text[:60]
