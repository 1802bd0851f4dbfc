"""Saved destinations, and the switch that pays nowhere else."""

from __future__ import annotations

import uuid
from typing import Any

from django.http import HttpRequest
from ninja import Router, Schema
from pydantic import Field, StrictBool

from kauri.account.api.caller import by_token
from kauri.common import clock
from kauri.common.api import errors, require_scope
from kauri.order_core.money_call import caller
from kauri.withdrawal_order import address_book
from kauri.withdrawal_order.known import saved_destinations
from kauri.withdrawal_order.models import SavedDestination

router = Router()

TOTP_CODE = Field(
    None, max_length=16, examples=["287082"], description="Where the account has an authenticator."
)
CODE = Field(None, max_length=16, examples=["12345678"], description="From the letter: eight digits.")


class SavedAddress(Schema):
    """``pending`` waits for a code, ``cooling`` for ``usable_from``; ``active`` is paid by the whitelist too."""

    address_id: str = Field(..., examples=["0a6282ec-f63d-4a15-a16c-a128b46eb7eb"])
    currency: str = Field(..., examples=["USDT"])
    network: str | None = Field(..., examples=["erc20"])
    address: str = Field(..., examples=["0x9858EfFD232B4033E47d90003D41EC34EcaEda94"])
    label: str = Field(..., examples=["Cold wallet"])
    state: str = Field(..., examples=["pending", "cooling", "active", "deleted"])
    confirmed_at: str | None = Field(..., examples=["2026-11-26T18:00:00Z", None])
    usable_from: str | None = Field(..., examples=["2026-11-27T18:00:00Z", None])


class AddressOut(Schema):
    status: str = "success"
    address: SavedAddress


class WhitelistState(Schema):
    enabled: bool = Field(..., description="Money goes to `active` addresses only.")
    off_from: str | None = Field(..., examples=[None], description="It was turned off, and ends then.")


class AddressesOut(Schema):
    status: str = "success"
    whitelist: WhitelistState
    addresses: list[SavedAddress]


class AddressIn(Schema):
    currency: str = Field(..., max_length=12, examples=["USDT"])
    network: str | None = Field(None, max_length=24, examples=["ERC20"])
    address: str = Field(
        ..., min_length=1, max_length=128, examples=["0x9858EfFD232B4033E47d90003D41EC34EcaEda94"]
    )
    label: str | None = Field(None, max_length=64, examples=["Cold wallet"])
    totp_code: str | None = TOTP_CODE


class AddressConfirmIn(Schema):
    address_id: uuid.UUID
    code: str = Field(..., max_length=16, examples=["12345678"], description="From the letter: eight digits.")


class AddressDeleteIn(Schema):
    address_id: uuid.UUID


class WhitelistIn(Schema):
    enabled: StrictBool = Field(..., examples=[True])
    totp_code: str | None = TOTP_CODE
    code: str | None = CODE


class WhitelistOut(Schema):
    """``pending`` waits for the code of a letter: nothing was turned yet."""

    status: str = "success"
    state: str = Field(..., examples=["pending", "done"])
    whitelist: WhitelistState


@router.get(
    "/withdrawal/addresses",
    response={200: AddressesOut, **errors("unauthenticated", "forbidden")},
    operation_id="withdrawal_addresses",
)
def withdrawal_addresses(request: HttpRequest) -> dict[str, Any]:
    """The saved addresses, the newest first, and whether money goes to them only."""
    require_scope(request, "read")
    user_id: int = request.auth.pk  # type: ignore[attr-defined]
    return {
        "whitelist": _switch(address_book.whitelist_of(user_id)),
        "addresses": [_address(row) for row in saved_destinations(user_id)],
    }


@router.post(
    "/withdrawal/addresses/create",
    response={
        200: AddressOut,
        **errors(
            "validation_error",
            "invalid_destination",
            "operation_disabled",
            "provider_unavailable",
            "limit_exceeded",
            "rate_limited",
            "confirmation_unavailable",
            "totp_required",
            "totp_invalid",
            "conflict",
        ),
    },
    operation_id="withdrawal_address_create",
)
def withdrawal_address_create(request: HttpRequest, data: AddressIn) -> dict[str, Any]:
    """Save an address: with `totp_code`, or with the code of a letter in `withdrawal/addresses/confirm`.

    One that is saved already is answered as it is; one that waits for its code gets another letter.
    """
    row = address_book.destination_save(
        user_id=by_token(request).pk,
        currency_code=data.currency.strip().upper(),
        network=data.network or "",
        address=data.address,
        label=(data.label or "").strip(),
        totp_code=data.totp_code or "",
        actor=caller(request),
    )
    return {"address": _address(row)}


@router.post(
    "/withdrawal/addresses/confirm",
    response={200: AddressOut, **errors("validation_error", "not_found", "wrong_code", "conflict")},
    operation_id="withdrawal_address_confirm",
)
def withdrawal_address_confirm(request: HttpRequest, data: AddressConfirmIn) -> dict[str, Any]:
    """Confirm a saved address with the code of its letter; five tries a letter."""
    row = address_book.destination_confirm(
        user_id=by_token(request).pk, saved_id=data.address_id, code=data.code, actor=caller(request)
    )
    return {"address": _address(row)}


@router.post(
    "/withdrawal/addresses/delete",
    response={200: AddressOut, **errors("validation_error", "not_found", "conflict")},
    operation_id="withdrawal_address_delete",
)
def withdrawal_address_delete(request: HttpRequest, data: AddressDeleteIn) -> dict[str, Any]:
    """Forget a saved address."""
    row = address_book.destination_remove(
        user_id=by_token(request).pk, saved_id=data.address_id, actor=caller(request)
    )
    return {"address": _address(row)}


@router.post(
    "/withdrawal/whitelist",
    response={
        200: WhitelistOut,
        **errors(
            "validation_error",
            "wrong_code",
            "rate_limited",
            "confirmation_unavailable",
            "totp_required",
            "totp_invalid",
            "conflict",
        ),
    },
    operation_id="withdrawal_whitelist_set",
)
def withdrawal_whitelist_set(request: HttpRequest, data: WhitelistIn) -> dict[str, Any]:
    """Pay out to saved addresses only, or to any again: on at once, off after the cooling-off.

    With `totp_code`, or in two calls, the second with the `code` of a letter.
    """
    found = address_book.whitelist_set(
        user_id=by_token(request).pk,
        is_on=data.enabled,
        totp_code=data.totp_code or "",
        code=data.code or "",
        actor=caller(request),
    )
    return {"state": "pending" if found.asked else "done", "whitelist": _switch(found)}


def _switch(found: address_book.Whitelist) -> dict[str, Any]:
    return {"enabled": found.is_on, "off_from": clock.iso(found.off_from)}


def _address(row: SavedDestination) -> dict[str, Any]:
    return {
        "address_id": str(row.public_id),
        "currency": row.currency.code,
        "network": row.network.code if row.network else None,
        "address": row.destination,
        "label": row.label,
        "state": _state(row),
        "confirmed_at": clock.iso(row.confirmed_at),
        "usable_from": clock.iso(row.usable_from),
    }


def _state(row: SavedDestination) -> str:
    if row.removed_at is not None:
        return "deleted"
    if row.usable_from is None:
        return "pending"
    return "active" if row.usable_from <= clock.now() else "cooling"
