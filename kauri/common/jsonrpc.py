"""A small JSON-RPC 2.0 client over HTTP: one connection pool, one answer a call, failures sorted by effect.

* :class:`RpcError`: the node answered, and refused.
* :class:`NotSent`: the request surely did not reach the node.
* :class:`NoAnswer`: it may have; no usable answer came back (time-out, broken line, nonsense).

The URL may hold a password or an API key: no error, repr or log line of this module shows it.
"""

from __future__ import annotations

import itertools
import json
import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final
from urllib.parse import parse_qsl, unquote, urlsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3.exceptions import ProtocolError

from kauri.common import http
from kauri.common.http import NoAnswer, NotSent

MAX_ANSWER_BYTES: Final = 32 * 1024 * 1024
MAX_MESSAGE: Final = 300
READ_TIMEOUT: Final = 20.0
#: Shorter parts of a URL ("v3", "eth") are no secrets and would blot out ordinary words.
LEAST_SECRET: Final = 4

# At DEBUG urllib3 writes the path of every request, and with hosted nodes the path is the API key.
logging.getLogger("urllib3.connectionpool").setLevel(logging.INFO)


class RpcError(Exception):
    """The node's own refusal: ``code``, ``message`` (shortened, scrubbed) and ``data`` as it gave them."""

    def __init__(self, code: int, message: str, data: object = None) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.data = data


@dataclass(frozen=True, slots=True)
class Call:
    """One request of a batch."""

    method: str
    params: Sequence[object] = ()


class _BoundedBody:
    """A response body that ends with an error when it grows or drips for too long."""

    def __init__(self, raw: Any, limit: int, seconds: float) -> None:
        self._raw = raw
        self._limit = limit
        self._deadline = time.monotonic() + seconds

    def __getattr__(self, name: str) -> Any:
        return getattr(self._raw, name)

    def stream(self, amt: int = 65536, decode_content: bool | None = None) -> Iterator[bytes]:
        size = 0
        for chunk in self._raw.stream(amt, decode_content=decode_content):
            size += len(chunk)
            if size > self._limit or time.monotonic() > self._deadline:
                self._raw.close()
                raise ProtocolError("the answer is too large or too slow")
            yield chunk


class _BoundedAdapter(HTTPAdapter):
    """Limits every answer of a session, whoever reads it."""

    def __init__(self, limit: int, seconds: float) -> None:
        super().__init__(max_retries=0)
        self._limit = limit
        self._seconds = seconds

    def build_response(self, req: requests.PreparedRequest, resp: Any) -> requests.Response:
        response = super().build_response(req, resp)
        response.raw = _BoundedBody(resp, self._limit, self._seconds)
        return response


class JsonRpc:
    """A client of one node. Not shared between threads."""

    def __init__(
        self,
        url: str,
        *,
        proxy: str = "",
        read_timeout: float = READ_TIMEOUT,
        batch_size: int = 20,
        max_answer_bytes: int = MAX_ANSWER_BYTES,
    ) -> None:
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ValueError("the node's URL must begin with http:// or https:// and name a host")
        self._url = url
        self._proxy = proxy
        self._read_timeout = read_timeout
        self._batch_size = max(1, batch_size)
        self._secrets = _secrets_in(url)
        self._ids = itertools.count(1)
        self._session = requests.Session()
        # Proxies come from the provider's row and credentials from its URL; the process's environment
        # and a .netrc in somebody's home are not allowed to change where money's calls go.
        self._session.trust_env = False
        adapter = _BoundedAdapter(max_answer_bytes, read_timeout * 2)
        self._session.mount("http://", adapter)
        self._session.mount("https://", adapter)

    def __repr__(self) -> str:
        parts = urlsplit(self._url)
        return f"JsonRpc({parts.scheme}://{parts.hostname}/…)"

    def close(self) -> None:
        """Close the pooled connections."""
        self._session.close()

    def call(self, method: str, *params: object) -> Any:
        """The result of one call. Raises RpcError, NotSent or NoAnswer."""
        number = next(self._ids)
        result = self._result(self._post(_request(number, Call(method, params))), number)
        if isinstance(result, RpcError):
            raise result
        return result

    def batch(self, calls: Sequence[Call]) -> list[Any]:
        """Results in the order of ``calls``; a refused call has its :class:`RpcError` in its place.

        Raises NotSent or NoAnswer when the batch as a whole failed, RpcError when the node refused it.
        """
        results: list[Any] = []
        for start in range(0, len(calls), self._batch_size):
            results += self._one_batch(calls[start : start + self._batch_size])
        return results

    def _one_batch(self, calls: Sequence[Call]) -> list[Any]:
        if len(calls) == 1:
            number = next(self._ids)
            return [self._result(self._post(_request(number, calls[0])), number)]
        numbers = [next(self._ids) for _ in calls]
        answer = self._post([_request(n, c) for n, c in zip(numbers, calls, strict=True)])
        if isinstance(answer, dict) and answer.get("error"):
            raise self._error(answer["error"])
        if not isinstance(answer, list) or len(answer) != len(calls):
            raise NoAnswer("the node's answer to a batch has another length")
        by_id = {item.get("id"): item for item in answer if isinstance(item, dict)}
        if set(by_id) != set(numbers):
            raise NoAnswer("the node's answer to a batch has other ids")
        return [self._result(by_id[n], n) for n in numbers]

    def _post(self, body: object) -> Any:
        answer = http.post(
            self._url,
            json.dumps(body, separators=(",", ":")).encode(),
            headers={"Content-Type": "application/json", "Accept": "application/json"},
            session=self._session,
            proxy=self._proxy,
            read_timeout=self._read_timeout,
        )
        try:
            # Some nodes refuse with 4xx or 5xx and a proper JSON-RPC error in the body: that counts.
            return json.loads(answer.text, parse_float=Decimal)
        except (ValueError, RecursionError):
            raise NoAnswer(f"HTTP {answer.status} without JSON") from None

    def _result(self, answer: object, number: int) -> Any:
        """The result, or the RpcError, of one answer object."""
        if not isinstance(answer, dict):
            raise NoAnswer("the node's answer is not a JSON-RPC answer")
        error = answer.get("error")
        if error is not None:
            return self._error(error)
        if answer.get("id") != number or "result" not in answer:
            raise NoAnswer("the node's answer belongs to another call")
        return answer["result"]

    def _error(self, error: object) -> RpcError:
        if not isinstance(error, dict):
            return RpcError(0, self._scrub(str(error)))
        code = error.get("code")
        text = self._scrub(str(error.get("message", "")))
        return RpcError(code if isinstance(code, int) else 0, text, error.get("data"))

    def _scrub(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return text[:MAX_MESSAGE]


def _request(number: int, call: Call) -> dict[str, object]:
    return {"jsonrpc": "2.0", "id": number, "method": call.method, "params": list(call.params)}


def _secrets_in(url: str) -> tuple[str, ...]:
    """What of the URL must never be shown: user, password, path parts and query values that are long."""
    parts = urlsplit(url)
    found = [parts.username, parts.password, *parts.path.split("/")]
    found += [value for _, value in parse_qsl(parts.query)]
    long = {text for item in found if item for text in (item, unquote(item)) if len(text) >= LEAST_SECRET}
    return tuple(sorted(long, key=len, reverse=True))


__all__ = ["Call", "JsonRpc", "NoAnswer", "NotSent", "RpcError"]
