"""Outbound HTTP to providers: time-outs always, TLS verified always, failures sorted by effect."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import requests

CONNECT_TIMEOUT: Final = 5.0
READ_TIMEOUT: Final = 20.0


class NotSent(Exception):
    """The request surely did not reach the other side (no connection)."""


class NoAnswer(Exception):
    """The request may have reached the other side; no usable answer came back."""


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    text: str


def post(
    url: str,
    body: bytes,
    *,
    headers: dict[str, str],
    session: requests.Session,
    proxy: str = "",
    read_timeout: float = READ_TIMEOUT,
) -> Answer:
    """POST ``body`` once; see :func:`send`."""
    return send("POST", url, body, headers=headers, session=session, proxy=proxy, read_timeout=read_timeout)


def send(
    method: str,
    url: str,
    body: bytes,
    *,
    headers: dict[str, str],
    session: requests.Session,
    proxy: str = "",
    read_timeout: float = READ_TIMEOUT,
) -> Answer:
    """Send one request. No redirects, no retries: what a retry means is the caller's to decide.

    Raises :class:`NotSent` when no connection was made, :class:`NoAnswer` when it broke later.
    """
    try:
        response = session.request(
            method,
            url,
            data=body or None,
            headers=headers,
            timeout=(CONNECT_TIMEOUT, read_timeout),
            allow_redirects=False,
            proxies={"http": proxy, "https": proxy} if proxy else None,
        )
    except (
        requests.ConnectTimeout,
        requests.exceptions.InvalidURL,
        requests.exceptions.InvalidSchema,
    ) as exc:
        raise NotSent(type(exc).__name__) from None
    except requests.ConnectionError as exc:
        # A refused or unroutable connection is told apart from one that broke half way: only
        # the former says that nothing was sent.
        if "NewConnectionError" in repr(exc) or "NameResolutionError" in repr(exc):
            raise NotSent(type(exc).__name__) from None
        raise NoAnswer(type(exc).__name__) from None
    except requests.RequestException as exc:
        raise NoAnswer(type(exc).__name__) from None
    return Answer(status=response.status_code, text=response.text)
