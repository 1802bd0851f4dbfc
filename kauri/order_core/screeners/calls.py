"""One call to a provider of analysis: time-outs always, exact numbers, failures sorted by what they allow."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any, Final
from urllib.parse import urlsplit

import requests

from kauri.common import http
from kauri.common.exact_json import dumps
from kauri.order_core.screener import ConfigError, Rejected, Retryable, ScreenerConfig

DEFAULT_TIMEOUT: Final = 20
LONGEST_REFERENCE: Final = 128
_LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "::1"})
#: method, path with query, and body -> the headers that prove who we are.
Headers = Callable[[str, str, bytes], dict[str, str]]


def call(
    config: ScreenerConfig, base: str, method: str, target: str, headers: Headers, body: Any = None
) -> Any:
    """One call; its JSON answer, {} for an empty one. None where the provider surely has no such thing.

    Raises Rejected (final), Retryable (try again; a lost answer too: asking twice does no harm) and
    ConfigError. Their words may quote what we sent, so only the status is kept.
    """
    base = str(config.settings.get("base_url") or base).rstrip("/")
    where = urlsplit(base)
    if where.scheme != "https" and not (config.environment != "production" and where.hostname in _LOOPBACK):
        raise ConfigError("base_url must be https")
    data = b"" if body is None else dumps(body)
    given = {
        "Accept": "application/json",
        "Content-Type": "application/json",
        **headers(method, target, data),
    }
    timeout = int(config.settings.get("timeout_seconds") or DEFAULT_TIMEOUT)
    with requests.Session() as session:
        session.trust_env = False
        try:
            answer = http.send(
                method, base + target, data, headers=given, session=session, read_timeout=timeout
            )
        except (http.NotSent, http.NoAnswer) as exc:
            raise Retryable(f"no answer: {exc}") from None
    return _read(answer)


def _read(answer: http.Answer) -> Any:
    said = f"HTTP {answer.status}"
    if answer.status == requests.codes.not_found:
        return None
    if answer.status in {requests.codes.unauthorized, requests.codes.forbidden}:
        raise ConfigError(f"our key is refused: {said}")
    if answer.status in {requests.codes.too_many_requests, requests.codes.request_timeout}:
        raise Retryable(said)
    if 400 <= answer.status < 500:  # noqa: PLR2004 - 4xx
        raise Rejected(said)
    if not 200 <= answer.status < 300:  # noqa: PLR2004 - 2xx
        raise Retryable(said)
    if not answer.text.strip():
        return {}
    try:
        return json.loads(answer.text, parse_float=Decimal)
    except (ValueError, RecursionError):
        raise Retryable("the answer is no JSON") from None


def inside(value: Any, name: str) -> Mapping[str, Any]:
    """An object inside an answer; {} where there is none."""
    found = value.get(name) if isinstance(value, dict) else None
    return found if isinstance(found, dict) else {}


def reference_in(value: Any, name: str) -> str:
    """The provider's id; Retryable where the answer has none that we could keep."""
    found = value.get(name) if isinstance(value, Mapping) else None
    text = str(found) if isinstance(found, (str, int)) and not isinstance(found, bool) else ""
    if not text or len(text) > LONGEST_REFERENCE:
        raise Retryable(f"the answer has no {name}")
    return text


def share(value: Any) -> Decimal | None:
    """A number from 0 to 1; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, (int, str, Decimal)):
        return None
    try:
        number = Decimal(value)
    except InvalidOperation:
        return None
    if not number.is_finite() or not 0 <= number <= 1:
        return None
    return number.quantize(Decimal("0.0001"))


def secret(config: ScreenerConfig, name: str) -> str:
    """A credential; ConfigError where it is not set."""
    found = config.credentials.get(name, "")
    if not found:
        raise ConfigError(f"{name} is needed")
    return found


def named(config: ScreenerConfig, currency: str, *fields: str) -> Mapping[str, Any]:
    """What the provider calls a currency: the setting ``currencies``. ConfigError where it is not set."""
    given = config.settings.get("currencies")
    found = given.get(currency) if isinstance(given, dict) else None
    if not isinstance(found, dict) or any(name not in found for name in fields):
        raise ConfigError(f"currencies must say {', '.join(fields)} for {currency}")
    return found
