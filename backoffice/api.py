"""The REST API's table of contents, and how every failure is answered."""

from __future__ import annotations

import logging
from typing import Any

from django.core.exceptions import RequestDataTooBig
from django.db import DatabaseError, OperationalError
from django.http import Http404, HttpRequest, HttpResponse
from ninja import NinjaAPI
from ninja.errors import AuthenticationError, HttpError, ValidationError
from ninja.openapi.schema import OpenAPISchema

from backoffice import openapi
from backoffice.auth import AUTH
from kauri.account.api import router as account
from kauri.common.api import ExactParser, ExactRenderer, error_response
from kauri.common.errors import KauriError
from kauri.core.api import router as core
from kauri.deposit_order.api import router as deposit_order
from kauri.deposit_order.body import deposit_object, with_chain_height
from kauri.internal_movement_order.api import router as internal_movement_order
from kauri.internal_movement_order.body import movement_object, received_object
from kauri.order_core.api import OrderView, orders_router
from kauri.order_core.api import router as order_core
from kauri.payment_card.api import router as payment_card
from kauri.withdrawal_order.api import router as withdrawal_order
from kauri.withdrawal_order.body import withdrawal_object
from kauri.withdrawal_order.selectors import WITHDRAWAL_PARTS, without_numbers

logger = logging.getLogger(__name__)

DESCRIPTION = """
Money is exact: amounts are sent as strings or numbers and answered as JSON numbers written from
their own digits; with `Accept: application/json; decimals=string` they are strings.

**Signed requests (version 2)** carry `Key`, `Sign`, `Timestamp` (milliseconds) and `Nonce`.
`Sign` is the hex HMAC-SHA256, under the key's secret, of
`timestamp \\n nonce \\n METHOD \\n path \\n raw query \\n sha256hex(raw body)`. A nonce is used once.

**Signed requests (version 1)**, for clients of the old platform and only where the key was made for them, carry
`Key` and `Sign` alone: the hex HMAC-SHA256 of `METHOD-path-parameters`, where the parameters (a GET's query, a
POST's JSON body with one level of objects flattened to `outer_inner`) are sorted and form-encoded. The same `Sign`
again within some minutes gets the first answer; withdrawals come from an address that the key lists.

**Rates** are counted for the account, the address and the key; `RateLimit` shows the tightest.

**Errors** are `{"status": "error", "error", "code", "detail", "field_errors", "request_id"}`; with
`Accept: application/problem+json` they follow RFC 9457. `code` is stable.

**Idempotency**: calls that move money take `Idempotency-Key` and `external_id`; the same key with
the same body gets the first answer again, byte for byte.
"""


class Api(NinjaAPI):
    """Serves its document with what holds for every call."""

    def get_openapi_schema(
        self, *, path_prefix: str | None = None, path_params: dict[str, Any] | None = None
    ) -> OpenAPISchema:
        document = super().get_openapi_schema(path_prefix=path_prefix, path_params=path_params)
        document["servers"] = [{"url": "/"}]
        openapi.finished(document)
        return document


api = Api(
    title="Kauri API",
    version="1",
    description=DESCRIPTION,
    openapi_url="/openapi.json",
    docs_url="/docs",
    auth=AUTH,
    parser=ExactParser(),
    renderer=ExactRenderer(),
    urls_namespace="api",
)

api.add_router("", core)
api.add_router("", account)
api.add_router("", payment_card)
api.add_router("", deposit_order)
api.add_router("", withdrawal_order)
api.add_router("", internal_movement_order)
api.add_router("", order_core)
api.add_router(
    "",
    orders_router(
        {
            "DEPOSIT": OrderView(
                deposit_object, ("deposit__payin", "deposit__convert_to"), with_chain_height
            ),
            "WITHDRAWAL": OrderView(
                withdrawal_object,
                ("withdrawal__network", "split_from"),
                without_numbers,
                prefetch=(WITHDRAWAL_PARTS,),
            ),
            "INTERNAL_MOVEMENT": OrderView(
                movement_object, ("movement__recipient",), received=received_object
            ),
        }
    ),
)


@api.exception_handler(KauriError)
def on_refusal(request: HttpRequest, exc: KauriError) -> HttpResponse:
    """A refusal with its code."""
    return error_response(request, exc)


@api.exception_handler(ValidationError)
def on_invalid(request: HttpRequest, exc: ValidationError) -> HttpResponse:
    """Name each field that is wrong."""
    fields = {}
    for fault in exc.errors:
        where = [str(part) for part in fault["loc"] if part not in {"body", "query", "data", "path"}]
        fields[".".join(where) or "body"] = str(fault["msg"])
    return error_response(request, KauriError("validation_error", fields=fields))


@api.exception_handler(AuthenticationError)
def on_unauthenticated(request: HttpRequest, exc: AuthenticationError) -> HttpResponse:
    """Neither a token nor a signed key."""
    del exc
    return error_response(request, KauriError("unauthenticated"))


@api.exception_handler(Http404)
def on_not_found(request: HttpRequest, exc: Http404) -> HttpResponse:
    """No such thing."""
    del exc
    return error_response(request, KauriError("not_found"))


@api.exception_handler(HttpError)
def on_http_error(request: HttpRequest, exc: HttpError) -> HttpResponse:
    """What the framework itself refuses."""
    return error_response(request, KauriError("validation_error", str(exc)))


@api.exception_handler(RequestDataTooBig)
def on_too_large(request: HttpRequest, exc: RequestDataTooBig) -> HttpResponse:
    """A body over the limit."""
    del exc
    return error_response(request, KauriError("payload_too_large"))


@api.exception_handler(Exception)
def on_failure(request: HttpRequest, exc: Exception) -> HttpResponse:
    """Our fault: logged with the request id; the client sees neither trace nor internals."""
    code = "internal_error"
    state = getattr(exc.__cause__, "sqlstate", None) if isinstance(exc, DatabaseError) else None
    if isinstance(exc, OperationalError) and state in {"55P03", "40P01", "40001"}:
        code = "conflict"  # somebody else holds the rows: nothing was done, try again
    logger.error("request failed", exc_info=exc)
    return error_response(request, KauriError(code))


def schema() -> dict[str, Any]:
    """The OpenAPI document, as served and as kept in ``fixtures/openapi.json``."""
    return dict(api.get_openapi_schema(path_prefix="/api/v1/"))
