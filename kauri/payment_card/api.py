"""Cards that customers are paid out to: named by a token, shown masked."""

from __future__ import annotations

from typing import Any, Final

from django.http import HttpRequest, HttpResponse
from ninja import Router, Schema
from pydantic import Field, StrictBool, StrictInt

from kauri.account.api.once import IDEMPOTENCY_HEADER, caller, once_call
from kauri.common import clock, throttle
from kauri.common.api import errors, require_scope
from kauri.common.errors import KauriError
from kauri.payment_card import selectors, services
from kauri.payment_card.fingerprints import request_digest
from kauri.payment_card.models import PaymentCard
from kauri.payment_card.states import CardState, Scheme

router = Router(tags=["Cards"])

#: Cards that an account may try to add in an hour: enough for typing errors, not for finding out which numbers
#: are good and which are banned.
ADDED_AN_HOUR: Final = 20

_HEADER: Final = {
    "parameters": [
        {
            **IDEMPOTENCY_HEADER["parameters"][0],
            "example": "card-0001",
            "description": "Same key and body: the stored answer.",
        }
    ]
}
_TOKEN: Final = "card_0f4c2a9b9d0c4c5e8a3b6d1e2f3a4b5c"  # noqa: S105 - an example
CARD_ID = Field(..., max_length=64, examples=[_TOKEN], description="One's own card, by its token.")


class CardIn(Schema):
    """The number goes in here and never comes out again."""

    number: str = Field(
        ...,
        min_length=1,
        max_length=40,
        examples=["4111 1111 1111 1111"],
        description="16 to 19 digits, with or without spaces: " + ", ".join(Scheme.labels) + ".",
    )
    owner_name: str = Field(..., min_length=1, max_length=64, examples=["TARAS SHEVCHENKO"])
    expiry_month: StrictInt | None = Field(None, ge=1, le=12, examples=[7])
    expiry_year: StrictInt | None = Field(
        None, ge=2000, le=2100, examples=[2032], description="Month and year together, or neither."
    )


class CardIdIn(Schema):
    card_id: str = CARD_ID


class CardSwitchIn(Schema):
    card_id: str = CARD_ID
    is_enabled: StrictBool = Field(..., examples=[False])


class CardBody(Schema):
    """A card as it is shown. ``card_id`` is what a withdrawal names it by."""

    card_id: str = Field(..., examples=[_TOKEN])
    mask: str = Field(..., examples=["411111******1111"])
    scheme: Scheme = Field(..., examples=["visa"])
    owner_name: str = Field(..., examples=["TARAS SHEVCHENKO"])
    expiry_month: int | None = Field(None, examples=[7])
    expiry_year: int | None = Field(None, examples=[2032])
    is_enabled: bool = Field(..., examples=[True], description="The owner's own switch.")
    state: CardState = Field(..., examples=["active"], description="Only an active card is paid to.")
    created_at: str = Field(..., examples=["2026-11-22T12:00:00Z"])


class CardOut(CardBody):
    status: str = "success"


class CardsOut(Schema):
    status: str = "success"
    cards: list[CardBody]


@router.get(
    "/card",
    response={200: CardsOut, **errors("unauthenticated", "forbidden", "rate_limited")},
    operation_id="card_list",
)
def card_list(request: HttpRequest) -> dict[str, Any]:
    """The caller's cards, the newest first."""
    require_scope(request, "read")
    cards = selectors.cards_of(request.auth.pk)  # type: ignore[attr-defined]
    return {"cards": [card_object(card) for card in cards]}


@router.post(
    "/card",
    response={
        200: CardOut,
        **errors(
            "validation_error",
            "card_banned",
            "limit_exceeded",
            "conflict",
            "idempotency_mismatch",
            "ip_not_allowed",
            "rate_limited",
        ),
    },
    operation_id="card_create",
    openapi_extra=_HEADER,
)
def card_create(request: HttpRequest, data: CardIn) -> HttpResponse:
    """Add a card to be paid out to. The owner is told by letter; the number is kept sealed."""
    require_scope(request, "withdraw")
    window = throttle.hit(f"cards:{request.auth.pk}", ADDED_AN_HOUR, 3600)  # type: ignore[attr-defined]
    if window.exceeded:
        request.rate_window = window  # type: ignore[attr-defined]
        raise KauriError("rate_limited")

    def run() -> dict[str, Any]:
        card = services.card_create(
            user_id=request.auth.pk,  # type: ignore[attr-defined]
            request=services.CardRequest(
                number=data.number,
                owner_name=data.owner_name,
                expiry_month=data.expiry_month,
                expiry_year=data.expiry_year,
            ),
            actor=caller(request),
        )
        return {"status": "success", **card_object(card)}

    return once_call(
        request,
        endpoint="card_create",
        external_id=None,
        run=run,
        body=request_digest(request.body),
    )


@router.post(
    "/card/delete",
    response={200: CardOut, **errors("validation_error", "not_found", "ip_not_allowed", "rate_limited")},
    operation_id="card_delete",
)
def card_delete(request: HttpRequest, data: CardIdIn) -> dict[str, Any]:
    """Remove a card for ever: its number is forgotten. A second time changes nothing."""
    require_scope(request, "withdraw")
    card = services.card_delete(
        user_id=request.auth.pk,  # type: ignore[attr-defined]
        token=data.card_id,
        actor=caller(request),
    )
    return card_object(card)


@router.post(
    "/card/switch",
    response={200: CardOut, **errors("validation_error", "not_found", "ip_not_allowed", "rate_limited")},
    operation_id="card_switch",
)
def card_switch(request: HttpRequest, data: CardSwitchIn) -> dict[str, Any]:
    """Let nothing be paid to a card for a while, and let it again. What the house has stopped stays stopped."""
    require_scope(request, "withdraw")
    card = services.card_switch(
        user_id=request.auth.pk,  # type: ignore[attr-defined]
        token=data.card_id,
        is_enabled=data.is_enabled,
        actor=caller(request),
    )
    return card_object(card)


def card_object(card: PaymentCard) -> dict[str, Any]:
    """A card as clients see it: nothing of it tells the number."""
    return {
        "card_id": card.token,
        "mask": card.mask,
        "scheme": card.scheme,
        "owner_name": card.owner_name,
        "expiry_month": card.expiry_month,
        "expiry_year": card.expiry_year,
        "is_enabled": card.is_enabled,
        "state": selectors.state_of(card).value,
        "created_at": clock.iso(card.created_at),
    }
