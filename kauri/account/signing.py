"""API request signatures, versions 1 and 2: what exactly is signed.

Version 1 is the old platform's: the method, the path and the parameters, form-encoded as its Python
client writes them. It says neither when nor how often; who accepts it guards against both elsewhere.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode

#: Levels of objects and lists in a body.
DEEPEST: Final = 64


class Unsignable(Exception):
    """Version 1 can't say unambiguously what such a request asks for."""


def string_to_sign(*, timestamp: str, nonce: str, method: str, path: str, query: str, body: bytes) -> bytes:
    """``timestamp\\nnonce\\nMETHOD\\npath\\nraw query\\nsha256hex(raw body)``."""
    digest = hashlib.sha256(body).hexdigest()
    return "\n".join([timestamp, nonce, method.upper(), path, query, digest]).encode()


def string_to_sign_v1(*, method: str, path: str, query: str, body: bytes) -> bytes:
    """``METHOD-path-form(sorted, flattened parameters)``, from the request as it came.

    A GET signs its query, a POST its body. What would go unsigned beside (a POST's query, a GET's
    body, a name given twice) is refused: whoever carries the request could write there.
    Raises :class:`Unsignable`.
    """
    try:
        if method == "GET" and not body:
            params = _once(parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query)))
        elif method == "POST" and not query:
            params = _read(body)
        else:
            raise Unsignable("version 1 signs the query of a GET or the body of a POST")
        return f"{method}-{path}-{urlencode(sorted(_flat(params).items()))}".encode()
    except (ValueError, RecursionError) as exc:
        raise Unsignable(str(exc)) from None


def sign(secret: str, message: bytes) -> str:
    """Lower-case hex HMAC-SHA256."""
    return hmac.new(secret.encode(), message, hashlib.sha256).hexdigest()


def matches(secret: str, message: bytes, signature: str) -> bool:
    """Compare in constant time; anything that is not a hex digest is simply wrong."""
    return hmac.compare_digest(sign(secret, message).encode(), signature.strip().lower().encode())


def _read(body: bytes) -> dict[str, Any]:
    """The body as the old client's own Python values, whose ``str()`` it signed."""
    if not body:
        return {}
    data = json.loads(body, parse_float=_plain_number, parse_constant=_no_number, object_pairs_hook=_once)
    if not isinstance(data, dict):
        raise Unsignable("not a JSON object")
    _require_shallow(data)
    return data


def _require_shallow(data: dict[str, Any]) -> None:
    """Refuse what no client sends and whose ``str()`` would exhaust the stack; not every Python's reader does."""
    level: list[Any] = [data]
    for _ in range(DEEPEST):
        level = [
            inner
            for value in level
            if isinstance(value, dict | list)
            for inner in (value.values() if isinstance(value, dict) else value)
        ]
        if not level:
            return
    raise Unsignable("nested too deeply")


def _flat(params: Mapping[str, Any]) -> dict[str, Any]:
    """One level of objects becomes ``name_inner``; deeper ones, and lists, stay Python values."""
    flat: list[tuple[str, Any]] = []
    for name, value in params.items():
        if isinstance(value, dict):
            flat += [(f"{name}_{inner}", item) for inner, item in value.items()]
        else:
            flat.append((name, value))
    return _once(flat)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise Unsignable("a name is given twice")
    return found


def _plain_number(text: str) -> Any:
    """The binary number whose ``str()`` was signed; digits that it would lose are not signed, so refused."""
    number = json.loads(text)
    if Decimal(repr(number)) != Decimal(text):
        raise ValueError("more digits than the signature covers")
    return number


def _no_number(word: str) -> Any:
    raise ValueError(word)
