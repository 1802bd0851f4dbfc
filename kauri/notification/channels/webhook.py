"""Webhooks by the Standard Webhooks scheme, to public addresses only.

The host is resolved once, every address it has is judged, and the connection goes to the judged
address: a second look-up (DNS rebinding) can't change the target. Redirects are not followed.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from datetime import timedelta
from typing import Any, Final
from urllib.parse import urlsplit

import certifi
import urllib3
import urllib3.connection
from standardwebhooks import Webhook

from kauri.common import clock
from kauri.common.urls import ForbiddenTarget, resolve_target, split_target
from kauri.notification.channel import Result, Verdict
from kauri.notification.models import Delivery

CONNECT_TIMEOUT: Final = 5.0
READ_TIMEOUT: Final = 15.0
#: The whole answer: one that drips byte by byte would keep a worker as long as it likes.
TOTAL_TIMEOUT: Final = 30.0
ANSWER_BYTES: Final = 500
LONGEST_PAUSE: Final = 86_400


def headers_for(delivery: Delivery, secret: str) -> dict[str, str]:
    """``webhook-id`` stays the same over retries; timestamp and signature are of this try."""
    now = clock.now()
    message_id = str(delivery.public_id)
    return {
        "content-type": "application/json",
        "user-agent": "Kauri-Webhooks/1",
        "webhook-id": message_id,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": Webhook(secret).sign(message_id, now, delivery.body),
    }


def send(delivery: Delivery) -> Result:
    """POST the stored body once."""
    secret = delivery.owner.webhook_secret if delivery.owner else ""
    if not secret:
        return Result(Verdict.REFUSED, error="the account has no webhook secret")
    try:
        scheme, host, port = split_target(delivery.target)
        address = resolve_target(host, port)
    except ForbiddenTarget as exc:
        return Result(Verdict.RETRY, error=str(exc))
    parts = urlsplit(delivery.target)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    with _pool(scheme, host, address, port) as pool:
        try:
            response = pool.urlopen(
                "POST",
                path,
                body=delivery.body.encode(),
                headers={**headers_for(delivery, secret), "host": parts.netloc},
                retries=False,
                redirect=False,
                preload_content=False,
                assert_same_host=False,
            )
            answer = (
                response.read(ANSWER_BYTES, decode_content=False)
                .decode("utf-8", "replace")
                .replace("\x00", "")
            )
            response.release_conn()
        except (urllib3.exceptions.HTTPError, OSError) as exc:
            return Result(Verdict.RETRY, error=type(exc).__name__)
    return _judged(response.status, answer, response.headers.get("retry-after", ""))


def _pool(scheme: str, host: str, address: str, port: int) -> urllib3.HTTPConnectionPool:
    timeout = urllib3.Timeout(connect=CONNECT_TIMEOUT, read=READ_TIMEOUT)
    options: dict[str, Any] = {"port": port, "timeout": timeout, "maxsize": 1}
    pool: urllib3.HTTPConnectionPool
    if scheme == "http":
        pool = urllib3.HTTPConnectionPool(address, **options)
        pool.ConnectionCls = _Cut
        return pool
    pool = urllib3.HTTPSConnectionPool(
        address,
        **options,
        ssl_context=ssl.create_default_context(cafile=certifi.where()),
        server_hostname=host,
        assert_hostname=host,
    )
    pool.ConnectionCls = _CutTls
    return pool


class _Deadline:
    """A connection that is cut after :data:`TOTAL_TIMEOUT`, however lively the other side is."""

    sock: Any
    _timer: threading.Timer | None = None

    def connect(self) -> None:
        super().connect()  # type: ignore[misc]
        self._timer = threading.Timer(TOTAL_TIMEOUT, _shut, [self.sock])
        self._timer.daemon = True
        self._timer.start()

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        super().close()  # type: ignore[misc]


class _Cut(_Deadline, urllib3.connection.HTTPConnection):
    pass


class _CutTls(_Deadline, urllib3.connection.HTTPSConnection):
    pass


def _shut(sock: socket.socket) -> None:
    """Wake whoever reads: the file descriptor stays theirs to close."""
    with contextlib.suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)


def _judged(status: int, answer: str, retry_after: str) -> Result:
    if 200 <= status < 300:  # noqa: PLR2004 - HTTP
        return Result(Verdict.DELIVERED, status, answer)
    if status == 410:  # noqa: PLR2004 - Gone: the receiver switches the address off
        return Result(Verdict.GONE, status, answer)
    # Nine digits are decades already; isdigit() would let through what int() can't read.
    waits = int(retry_after[:9]) if retry_after.isdecimal() else None
    pause = None if waits is None else timedelta(seconds=min(waits, LONGEST_PAUSE))
    return Result(Verdict.RETRY, status, answer, f"answered {status}", retry_after=pause)
