"""What every API answer shares: exact numbers, the error envelope, languages, idempotency."""

from __future__ import annotations

import json
import logging
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, Final

from django.http import HttpRequest, HttpResponse
from django.utils.datastructures import MultiValueDict
from ninja import Schema
from ninja.parser import Parser
from ninja.renderers import BaseRenderer
from pydantic import BeforeValidator, Field, WithJsonSchema

from kauri.common.errors import CODES, LANGUAGES, KauriError, text_for
from kauri.common.exact_json import dumps
from kauri.common.money import AMOUNT_TEXT

logger = logging.getLogger(__name__)

PROBLEM_JSON: Final = "application/problem+json"
MAX_DEPTH: Final = 8
#: No number that means anything has more zeros; a million of them would keep a worker busy for minutes.
MAX_EXPONENT: Final = 500


#: Shapes that the API's document names once (:func:`component`).
COMPONENTS: Final[dict[str, dict[str, Any]]] = {}
COMPONENT: Final = "x-component"


def component(name: str, shape: dict[str, Any]) -> dict[str, Any]:
    """``shape`` as a schema of the document's own, by this name, wherever it is used."""
    COMPONENTS[name] = shape
    return {**shape, COMPONENT: name}


#: An amount in an answer, as OpenAPI says it.
AMOUNT: Final = component(
    "Amount",
    {
        "anyOf": [{"type": "number"}, {"type": "string", "pattern": r"^-?[0-9]+(\.[0-9]+)?$"}],
        "description": "A number written from the amount's own digits: read it as a decimal, never as a float. "
        "With `Accept: application/json; decimals=string`, or a key made so, a string.",
        "examples": [24.5],
    },
)
#: An amount as the house computed it. The renderer writes it as :data:`AMOUNT` says.
Amount = Annotated[Decimal, WithJsonSchema(AMOUNT, mode="serialization")]


#: A moment as clients send it.
Moment = Annotated[
    datetime,
    WithJsonSchema(
        component(
            "Moment",
            {
                "anyOf": [
                    {"type": "string", "format": "date-time"},
                    {"type": "string", "format": "date"},
                    {"type": "number"},
                ],
                "description": "ISO 8601, or seconds since 1970 as clients of the old platform send it.",
                "examples": ["2026-11-22T12:00:00Z"],
            },
        )
    ),
]


class ErrorOut(Schema):
    """Every refusal: words for people, a stable code for programs."""

    status: str = Field("error", examples=["error"])
    error: str = Field(..., examples=["The amount is below the minimum."])
    code: str = Field(..., examples=["below_minimum"])
    detail: str = Field("", examples=["the minimum is 5 USDT"])
    field_errors: dict[str, str] = Field(default_factory=dict)
    request_id: str = Field("", examples=["5f0c2a9b9d0c4c5e8a3b6d1e2f3a4b5c"])


class ProblemOut(Schema):
    """The same refusal as RFC 9457 has it, for ``Accept: application/problem+json``."""

    type: str = Field(..., examples=["urn:kauri:error:below_minimum"])
    title: str = Field(..., examples=["The amount is below the minimum."])
    status: int = Field(..., examples=[400])
    detail: str = Field(..., examples=["the minimum is 5 USDT"])
    instance: str = Field(..., examples=["urn:kauri:request:5f0c2a9b9d0c4c5e8a3b6d1e2f3a4b5c"])
    code: str = Field(..., examples=["below_minimum"])
    field_errors: dict[str, str] = Field(default_factory=dict)


#: Where :func:`errors` leaves the codes for the API's document.
CODES_OF: Final = "x-codes"


def errors(*codes: str) -> dict[int, Any]:
    """The ``response=`` entries of an operation that may answer with these codes."""
    found: dict[int, list[str]] = {}
    for code in codes:
        found.setdefault(CODES[code].status, []).append(code)
    return {
        status: Annotated[ErrorOut, Field(json_schema_extra={CODES_OF: list(names)})]
        for status, names in found.items()
    }


class ExactParser(Parser):
    """JSON whose numbers reach the schemas as Decimal, from their own text."""

    def parse_body(self, request: HttpRequest) -> Any:
        try:
            data = json.loads(
                request.body, parse_float=_number, parse_constant=_no_number, object_pairs_hook=_named_once
            )
        except (ValueError, RecursionError):
            raise KauriError("validation_error", "the body is not JSON") from None
        if not isinstance(data, dict):
            raise KauriError("validation_error", "the body must be a JSON object")
        if _depth(data) > MAX_DEPTH:
            raise KauriError("validation_error", "the body is nested too deeply")
        return data

    def parse_querydict(self, data: MultiValueDict, list_fields: list[str], request: HttpRequest) -> Any:
        """A query or a form: text that no database keeps is refused here as in a body."""
        found = super().parse_querydict(data, list_fields, request)
        _depth(dict(found))
        return found


class ExactRenderer(BaseRenderer):
    """JSON whose amounts are written from the Decimal's own digits, or as strings on request."""

    media_type = "application/json"

    def render(self, request: HttpRequest, data: Any, *, response_status: int) -> bytes:
        del response_status
        return dumps(data, as_strings=wants_strings(request))


def wants_strings(request: HttpRequest) -> bool:
    """``Accept: application/json; decimals=string``, or the API key's own setting."""
    accept = request.headers.get("Accept", "").replace(" ", "")
    return "decimals=string" in accept or bool(getattr(request, "decimals_as_strings", False))


def language_of(request: HttpRequest) -> str:
    """The first language of ``Accept-Language`` that we speak; the old ``ua`` reads as ``uk``."""
    for part in request.headers.get("Accept-Language", "").split(","):
        code = part.split(";")[0].strip().lower()[:2]
        if code == "ua" or code in LANGUAGES:
            return "uk" if code == "ua" else code
    return "en"


def error_response(request: HttpRequest, error: KauriError) -> HttpResponse:
    """The error envelope, or RFC 9457 when the caller accepts it."""
    text = text_for(error.code, language_of(request))
    request_id = str(getattr(request, "request_id", ""))
    body: dict[str, Any]
    if PROBLEM_JSON in request.headers.get("Accept", ""):
        content_type = PROBLEM_JSON
        body = {
            "type": f"urn:kauri:error:{error.code}",
            "title": text,
            "status": error.status,
            "detail": error.detail or text,
            "instance": f"urn:kauri:request:{request_id}",
            "code": error.code,
            "field_errors": error.fields,
        }
    else:
        content_type = "application/json"
        body = {
            "status": "error",
            "error": text,
            "code": error.code,
            "detail": error.detail,
            "field_errors": error.fields,
            "request_id": request_id,
        }
    response = HttpResponse(dumps(body), status=error.status, content_type=content_type)
    if error.status == 401:  # noqa: PLR2004 - RFC 9110 asks for the header
        response["WWW-Authenticate"] = "Bearer"
    return response


def _no_bool(value: Any) -> Any:
    """JSON's true is no amount of 1."""
    if isinstance(value, bool):
        raise ValueError("an amount is a number or a text")
    return value


#: An amount as clients send it: text or number, read from its own digits.
AmountIn = Annotated[
    str | int | Decimal,
    BeforeValidator(_no_bool),
    WithJsonSchema(
        component(
            "AmountIn",
            {
                "anyOf": [
                    {"type": "number", "exclusiveMinimum": 0},
                    {"type": "string", "pattern": rf"^\s*{AMOUNT_TEXT}\s*$"},
                ],
                "description": "A string or a number, read from its own digits.",
            },
        )
    ),
]


def require_scope(request: HttpRequest, scope: str) -> None:
    """A key needs ``scope`` for this; an access token may do whatever its account may.

    Raises ``forbidden``, and ``ip_not_allowed`` where money leaves on a signature that says no time.
    """
    key = getattr(request, "api_key", None)
    if key is not None and scope not in key.scopes:
        raise KauriError("forbidden", f"this key lacks the scope {scope}")
    if scope == "withdraw" and getattr(request, "weakly_signed", False):
        raise KauriError("ip_not_allowed", "withdrawals signed by version 1 come from a listed address only")


def idempotency_key(request: HttpRequest) -> str:
    """The header's key, quoted or bare; '' when absent. ``validation_error`` when malformed."""
    value = request.headers.get("Idempotency-Key", "").strip()
    if len(value) >= 2 and value[0] == value[-1] == '"':  # noqa: PLR2004 - two quotes
        value = value[1:-1]
    if len(value) > 200 or any(not 0x21 <= ord(char) <= 0x7E for char in value):  # noqa: PLR2004 - ASCII
        raise KauriError("validation_error", fields={"Idempotency-Key": "at most 200 printable characters"})
    return value


def _number(text: str) -> Decimal:
    """A number with a point or an exponent, from its own digits; ten bytes of it must not become a gigabyte."""
    number = Decimal(text)
    if abs(number.adjusted()) > MAX_EXPONENT:
        raise ValueError("the exponent is too large")
    return number


def _no_number(word: str) -> Any:
    """``NaN`` and ``Infinity`` are no JSON."""
    raise ValueError(word)


def _named_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A name given twice means one thing to us and another to somebody else: neither is done."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name is given twice")
    return found


def _depth(data: Any) -> int:
    """How deep the data goes; refuses text that no database keeps (NUL, half of a character)."""
    deepest, stack = 0, [(data, 1)]
    while stack:
        item, depth = stack.pop()
        deepest = max(deepest, depth)
        if isinstance(item, str) and ("\x00" in item or not _is_unicode(item)):
            raise KauriError("validation_error", "text with a NUL or with half of a character")
        children = (
            [*item, *item.values()] if isinstance(item, dict) else item if isinstance(item, list) else ()
        )
        stack.extend((child, depth + 1) for child in children)
    return deepest


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
