"""An API call that moves money: done once, answered the same, tried again where that is safe."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from django.http import HttpRequest, HttpResponse

from kauri.account.api.once import IDEMPOTENCY_HEADER, caller, once_call
from kauri.account.second_factor import CODES_SECONDS, WRONG_CODES, codes_name
from kauri.common import throttle
from kauri.common.errors import KauriError

#: Refusals of every call that makes an order: the door's, the amount's, the policy's, the balance's.
ORDER_CODES: Final = (
    "validation_error",
    "invalid_amount",
    "below_minimum",
    "above_maximum",
    "insufficient_funds",
    "limit_exceeded",
    "operation_disabled",
    "currency_disabled",
    "verification_required",
    "account_disabled",
    "totp_required",
    "totp_invalid",
    "conflict",
    "idempotency_mismatch",
    "rate_unavailable",
)


def money_call(
    request: HttpRequest,
    *,
    endpoint: str,
    external_id: str | None,
    totp_code: str | None,
    run: Callable[[], dict[str, Any]],
    body: bytes | None = None,
) -> HttpResponse:
    """:func:`once_call`, with the one-time code that the amount may ask for.

    Wrong codes are counted here, outside the transaction that they undo; after some of them the next is
    not looked at.
    """
    codes = codes_name(request.auth.pk)  # type: ignore[attr-defined]
    if totp_code and (window := throttle.peek(codes, WRONG_CODES, CODES_SECONDS)).remaining <= 0:
        request.rate_window = window  # type: ignore[attr-defined]
        raise KauriError("rate_limited")
    try:
        return once_call(request, endpoint=endpoint, external_id=external_id, run=run, body=body)
    except KauriError as error:
        if error.code == "totp_invalid":
            throttle.hit(codes, WRONG_CODES, CODES_SECONDS)
        raise


__all__ = ["IDEMPOTENCY_HEADER", "ORDER_CODES", "caller", "money_call"]
