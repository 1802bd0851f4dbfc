"""Webhooks by the Standard Webhooks scheme, to public addresses only.

The host is resolved once, every address it has is judged, and the connection goes to the judged
address: a second look-up (DNS rebinding) can't change the target. Redirects are not followed.
"""

from __future__ import annotations

import ssl
from datetime import timedelta
from typing import Any, Final
from urllib.parse import urlsplit

import certifi
import urllib3
from standardwebhooks import Webhook

from kauri.common import clock
from kauri.common.urls import ForbiddenTarget, resolve_target, split_target
from kauri.notification.channel import Result, Verdict
from kauri.notification.models import Delivery

CONNECT_TIMEOUT: Final = 5.0
READ_TIMEOUT: Final = 15.0
ANSWER_BYTES: Final = 500


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
        except urllib3.exceptions.HTTPError as exc:
            return Result(Verdict.RETRY, error=type(exc).__name__)
    return _judged(response.status, answer, response.headers.get("retry-after", ""))


def _pool(scheme: str, host: str, address: str, port: int) -> urllib3.HTTPConnectionPool:
    timeout = urllib3.Timeout(connect=CONNECT_TIMEOUT, read=READ_TIMEOUT)
    options: dict[str, Any] = {"port": port, "timeout": timeout, "maxsize": 1}
    if scheme == "http":
        return urllib3.HTTPConnectionPool(address, **options)
    return urllib3.HTTPSConnectionPool(
        address,
        **options,
        ssl_context=ssl.create_default_context(cafile=certifi.where()),
        server_hostname=host,
        assert_hostname=host,
    )


def _judged(status: int, answer: str, retry_after: str) -> Result:
    if 200 <= status < 300:  # noqa: PLR2004 - HTTP
        return Result(Verdict.DELIVERED, status, answer)
    if status == 410:  # noqa: PLR2004 - Gone: the receiver switches the address off
        return Result(Verdict.GONE, status, answer)
    pause = timedelta(seconds=min(int(retry_after), 86_400)) if retry_after.isdigit() else None
    return Result(Verdict.RETRY, status, answer, f"answered {status}", retry_after=pause)
