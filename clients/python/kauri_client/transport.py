"""Signed requests and their retries."""

from __future__ import annotations

import hashlib
import hmac
import json
import random
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final
from urllib.parse import urlencode, urlsplit

import requests

from kauri_client.errors import KauriClientError, OutcomeUnknown, Refused, Unavailable

#: Codes that say "not now": the same request may succeed later.
_LATER: Final = frozenset({"rate_limited", "provider_unavailable", "internal_error"})
#: With an idempotency key: the first request is still running, or rows were locked.
_RUNNING: Final = "conflict"
_LONGEST_PAUSE: Final = 30.0


def signature(
    secret: str, timestamp: str, nonce: str, method: str, path: str, query: str, body: bytes
) -> str:
    """Version 2: hex HMAC-SHA256 over six lines: time (ms), nonce, method, path, raw query, SHA-256 of the body."""
    digest = hashlib.sha256(body).hexdigest()
    message = "\n".join([timestamp, nonce, method, path, query, digest])
    return hmac.new(secret.encode(), message.encode(), hashlib.sha256).hexdigest()


@dataclass
class Transport:
    """One API key at one address. ``timeout`` is in seconds, for connecting and for each wait for bytes."""

    base_url: str
    key: str = ""
    secret: str = field(default="", repr=False)
    timeout: float = 20.0
    tries: int = 4
    pause: Callable[[float], object] = time.sleep
    session: requests.Session = field(default_factory=requests.Session, repr=False)

    def __post_init__(self) -> None:
        parts = urlsplit(self.base_url)
        if parts.scheme not in {"http", "https"} or not parts.netloc or parts.path.strip("/"):
            raise ValueError("base_url is https://host, without a path")
        self.base_url = f"{parts.scheme}://{parts.netloc}"
        if self.tries < 1:
            raise ValueError("at least one try")

    def get(self, path: str, params: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Read. Raises :class:`Refused`, or :class:`Unavailable` when no try was answered."""
        given = {name: _text(value) for name, value in (params or {}).items() if value is not None}
        reason = ""
        for attempt in range(self.tries):
            answer, reason = self._once("GET", path, urlencode(given), b"", {})
            if answer is not None and not self._is_for_later(answer, safe=True):
                return self._read(answer)
            self._wait(attempt, answer)
        if answer is not None:
            return self._read(answer)
        raise Unavailable(reason)

    def post(
        self, path: str, data: Mapping[str, Any], *, idempotency_key: str | None = None
    ) -> dict[str, Any]:
        """Change something. Sent again only with a key, under which the API does it once.

        Raises :class:`Refused`: nothing was done; :class:`OutcomeUnknown`: it may have been done, and the
        key tells; without a key a lost answer is :class:`Unavailable`.
        """
        body = json.dumps({name: _plain(value) for name, value in data.items() if value is not None}).encode()
        headers = {"Content-Type": "application/json"}
        if idempotency_key is not None:
            headers["Idempotency-Key"] = f'"{idempotency_key}"'
        has_key = idempotency_key is not None
        lost = ""
        for attempt in range(self.tries if has_key else 1):
            answer, reason = self._once("POST", path, "", body, headers)
            # The answer of a failed server says no more about what was done than none.
            if answer is None or answer.status_code >= requests.codes.server_error:
                lost = reason if answer is None else f"HTTP {answer.status_code}"
            if answer is not None and not self._is_for_later(answer, safe=has_key):
                return self._read(answer)
            self._wait(attempt, answer, last=not has_key)
        if idempotency_key is not None and lost:
            raise OutcomeUnknown(idempotency_key, lost)
        if answer is not None:
            return self._read(answer)
        raise Unavailable(lost)

    def _once(
        self, method: str, path: str, query: str, body: bytes, headers: Mapping[str, str]
    ) -> tuple[requests.Response | None, str]:
        """One request with its own time and nonce; the answer, or why there is none."""
        sent = {"Accept": "application/json", **headers}
        if self.key:
            timestamp, nonce = str(int(time.time() * 1000)), secrets.token_hex(16)
            sign = signature(self.secret, timestamp, nonce, method, path, query, body)
            sent |= {"Key": self.key, "Sign": sign, "Timestamp": timestamp, "Nonce": nonce}
        url = f"{self.base_url}{path}{'?' + query if query else ''}"
        try:
            answer = self.session.request(
                method, url, data=body or None, headers=sent, timeout=self.timeout, allow_redirects=False
            )
        except requests.RequestException as exc:
            return None, type(exc).__name__
        return answer, ""

    @staticmethod
    def _is_for_later(answer: requests.Response, *, safe: bool) -> bool:
        if answer.status_code >= requests.codes.server_error:
            return True
        code = _body(answer).get("code") if answer.status_code >= requests.codes.bad_request else ""
        return code in _LATER or (safe and code == _RUNNING)

    def _wait(self, attempt: int, answer: requests.Response | None, *, last: bool = False) -> None:
        """Longer each time, or as long as the server asks; not after the last try."""
        if last or attempt + 1 >= self.tries:
            return
        asked = answer.headers.get("Retry-After", "") if answer is not None else ""
        seconds = float(asked) if asked.isdigit() else 0.3 * 2**attempt * random.uniform(0.8, 1.2)  # noqa: S311
        self.pause(min(seconds, _LONGEST_PAUSE))

    @staticmethod
    def _read(answer: requests.Response) -> dict[str, Any]:
        body = _body(answer)
        if answer.ok and body.get("status") != "error":
            return body
        if not body and answer.ok:
            raise KauriClientError("the answer is no JSON object")
        raise Refused(answer.status_code, body)


def _body(answer: requests.Response) -> dict[str, Any]:
    try:
        body = json.loads(answer.content, parse_float=Decimal)
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


def _plain(value: Any) -> Any:
    """An amount goes as text: no digit is lost on the way."""
    if isinstance(value, float):
        raise TypeError("amounts are Decimal, int or str: a float has lost digits already")
    return str(value) if isinstance(value, Decimal) else value


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return str(_plain(value))
