"""JSON with exact numbers: Decimals written from their own digits, never an exponent or a float."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import simplejson

from kauri.common.money import plain


def dumps(data: Any, *, as_strings: bool = False) -> bytes:
    """``data`` as compact UTF-8 JSON; amounts as numbers, or as strings on request."""

    def number(value: Any) -> Any:
        if isinstance(value, Decimal):
            return plain(value) if as_strings else simplejson.RawJSON(plain(value))
        if isinstance(value, dict):
            return {key: number(item) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            return [number(item) for item in value]
        return value

    text: str = simplejson.dumps(
        number(data), use_decimal=False, ensure_ascii=False, separators=(",", ":"), default=str
    )
    return text.encode()
