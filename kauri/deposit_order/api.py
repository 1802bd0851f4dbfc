"""Where customers pay in, and what came."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from ninja import Query, Router, Schema
from pydantic import ConfigDict, Field

from kauri.common.api import Amount, AmountIn, Moment, errors, language_of, require_scope
from kauri.deposit_order import addresses
from kauri.deposit_order.addresses import AddressRequest
from kauri.deposit_order.body import deposit_object, with_chain_height
from kauri.order_core import selectors
from kauri.order_core.api.orders import utc
from kauri.order_core.api.shapes import OrderBody
from kauri.order_core.money_call import caller
from kauri.order_core.states import OrderStatus, OrderType

router = Router(tags=["Deposits"])

_PAGE = "https://shop.example/paid"
_LINK = "0a6282ec-f63d-4a15-a16c-a128b46eb7eb"
_ADDRESS = "0x9858EfFD232B4033E47d90003D41EC34EcaEda94"


class DepositInfo(Schema):
    """What a client says of its own customer. Other names are kept too."""

    model_config = ConfigDict(extra="allow")

    client_ip: str | None = Field(None, max_length=45, examples=["203.0.113.9"])
    customer_id: str | int | None = Field(
        None, examples=["user-17"], description="Told again in the deposit's webhook."
    )
    deposit_email: str | None = Field(
        None, max_length=254, description="This or the phone is needed of business accounts, for links."
    )
    deposit_phone: str | None = Field(None, max_length=32, examples=["+380501234567"])


class DepositAddressIn(Schema):
    """The old call's fields; ``payment_method`` names the network where a currency has several."""

    currency: str = Field(..., max_length=12, examples=["USDT"])
    payment_type: str = Field("P2P", max_length=20)
    payment_method: str | None = Field(None, max_length=24, examples=["ERC20"])
    amount_to_spend: AmountIn | None = Field(
        None, examples=["100.00"], description="What the payer pays: the fee is inside."
    )
    amount_to_receive: AmountIn | None = Field(
        None, description="What the balance gets: the fee comes on top. Links only; one of the two."
    )
    currency_convert_to: str | None = Field(
        None,
        max_length=500,
        examples=["USDT"],
        description="A wish. Until exchange exists the deposit is credited in its own currency, and the wish is "
        "kept on its order as `details.currency_convert_to`.",
    )
    callback_url: str | None = Field(None, max_length=500, examples=["https://shop.example/kauri"])
    success_url: str | None = Field(None, max_length=500, examples=[_PAGE])
    fail_url: str | None = Field(None, max_length=500)
    processing_url: str | None = Field(None, max_length=500)
    comment: str | None = Field(None, max_length=500, examples=["Order 17"])
    external_id: str = Field("", max_length=128, examples=["cart-0001"])
    additional_info: DepositInfo | None = None


class DepositAddressOut(Schema):
    """``addr`` and ``qr`` (base64 PNG) for crypto, ``url`` for fiat."""

    status: str = "success"
    currency: str = Field(..., examples=["USDT"])
    network: str | None = Field(None, examples=["erc20"])
    addr: str | None = Field(None, examples=[_ADDRESS])
    qr: str | None = None
    url: str | None = None
    external_id: str | None = None
    confirmations: int | None = Field(None, examples=[12])


class PlaceQuery(Schema):
    """One of the three; a currency alone means the newest address in it."""

    external_id: str = Field(
        "", max_length=128, examples=[_LINK], description="As the address call answered."
    )
    address: str = Field("", max_length=128)
    currency: str = Field("", max_length=12)


class PlaceIn(Schema):
    """Which link or address: one of the two."""

    external_id: str = Field(
        "", max_length=128, examples=[_LINK], description="As the address call answered."
    )
    address: str = Field("", max_length=128)


class Received(Schema):
    """Money that came. Without an order a person looks for its home."""

    order_id: str | None = None
    status: OrderStatus | None = Field(None, examples=["CLOSED"])
    currency: str = Field(..., examples=["USDT"])
    amount: Amount = Field(..., examples=[100])
    tr_hash: str
    seen_at: str = Field(..., examples=["2026-11-22T12:00:00Z"])


class AddressDetailsOut(DepositAddressOut):
    """A place to pay to, what came there, and the terms of a deposit there."""

    state: str = Field(..., examples=["open"], description="open, paid or cancelled.")
    client_external_id: str | None = None
    amount: Amount | None = Field(None, examples=[100], description="What the link asks the payer for.")
    fee: Amount | None = Field(None, examples=[1], description="Agreed when the fee comes on top.")
    currency_convert_to: str | None = None
    callback_url: str | None = None
    success_url: str | None = None
    fail_url: str | None = None
    processing_url: str | None = None
    comment: str = ""
    created_at: str = Field(..., examples=["2026-11-22T12:00:00Z"])
    received: list[Received]
    limits: dict[str, Any]
    fees: dict[str, Any]
    processing_rules: dict[str, Any]


class DepositsQuery(Schema):
    """By page or by cursor, newest first."""

    currency: str = Field("", max_length=12, examples=["USDT"])
    order_status: OrderStatus | None = Field(None, examples=["CLOSED"])
    address: str = Field("", max_length=128)
    from_timestamp: Moment | None = Field(None, examples=["2026-11-01T00:00:00Z"])
    till_timestamp: Moment | None = Field(None, examples=["2026-12-01T00:00:00Z"])
    page: int = Field(1, ge=1, le=1000)
    limit: int = Field(10, ge=1, le=100)
    limits: int | None = Field(None, ge=1, le=100, description="The old clients' spelling of limit.")
    cursor: str = Field("", max_length=200)


class DepositsOut(Schema):
    """``pages_count`` is exact up to 1,000 pages; ``next_cursor`` is null on the last page."""

    status: str = "success"
    deposits: list[OrderBody]
    pages_count: int | None = None
    next_cursor: str | None = None


class CancelledOut(Schema):
    status: str = "success"


@router.get(
    "/deposit",
    response={200: DepositsOut, **errors("unauthenticated", "validation_error", "forbidden", "rate_limited")},
    operation_id="deposit_list",
)
def deposit_list(request: HttpRequest, query: Query[DepositsQuery]) -> dict[str, Any]:
    """The caller's deposits, newest first. One appears when its money does."""
    require_scope(request, "read")
    asked = selectors.Filters(
        order_type=OrderType.DEPOSIT,
        order_status=query.order_status or "",
        currency=query.currency.upper(),
        address=query.address,
        from_timestamp=utc(query.from_timestamp),
        till_timestamp=utc(query.till_timestamp),
    )
    limit = query.limits or query.limit
    page = selectors.page(
        [asked.apply(selectors.for_owner(request.auth.pk))],  # type: ignore[attr-defined]
        lambda rows: with_chain_height(rows.select_related("deposit__payin", "deposit__convert_to")),
        limit=limit,
        number=query.page,
        cursor=query.cursor,
    )
    return {
        "deposits": [deposit_object(order) for order in page.orders],
        "pages_count": None if page.total is None else -(-page.total // limit),
        "next_cursor": page.cursor,
    }


@router.post(
    "/deposit/address",
    response={
        200: DepositAddressOut,
        **errors(
            "unauthenticated",
            "validation_error",
            "invalid_amount",
            "operation_disabled",
            "currency_disabled",
            "provider_unavailable",
            "rate_limited",
        ),
    },
    operation_id="deposit_address",
)
def deposit_address(request: HttpRequest, data: DepositAddressIn) -> dict[str, Any]:
    """The caller's own deposit address (always the same one), or a payment link for fiat."""
    require_scope(request, "read")
    info = data.additional_info
    return addresses.address_give(
        request.auth,  # type: ignore[attr-defined]
        AddressRequest(
            currency=data.currency,
            network=data.payment_method or "",
            amount_to_spend=data.amount_to_spend,
            amount_to_receive=data.amount_to_receive,
            convert_to=data.currency_convert_to or "",
            callback_url=data.callback_url or "",
            success_url=data.success_url or "",
            fail_url=data.fail_url or "",
            processing_url=data.processing_url or "",
            external_id=data.external_id,
            comment=data.comment or "",
            additional_info={} if info is None else info.model_dump(exclude_none=True),
        ),
    )


@router.get(
    "/deposit/address/details",
    response={
        200: AddressDetailsOut,
        **errors("unauthenticated", "validation_error", "forbidden", "not_found", "rate_limited"),
    },
    operation_id="deposit_address_details",
)
def deposit_address_details(request: HttpRequest, query: Query[PlaceQuery]) -> dict[str, Any]:
    """One of the caller's addresses or links: what came there, and the limits, fees and switches there."""
    require_scope(request, "read")
    return addresses.address_details(
        request.auth,  # type: ignore[attr-defined]
        external_id=query.external_id,
        address=query.address,
        currency=query.currency,
        language=language_of(request),
    )


@router.post(
    "/deposit/cancel",
    response={
        200: CancelledOut,
        **errors(
            "unauthenticated", "validation_error", "forbidden", "not_found", "wrong_state", "rate_limited"
        ),
    },
    operation_id="deposit_cancel",
)
def deposit_cancel(request: HttpRequest, data: PlaceIn) -> dict[str, Any]:
    """Cancel a payment link that nobody has paid. An address takes money for ever: `wrong_state`."""
    require_scope(request, "trade")
    addresses.deposit_cancel(
        request.auth,  # type: ignore[attr-defined]
        external_id=data.external_id,
        address=data.address,
        actor=caller(request),
    )
    return {}


@router.post(
    "/deposit/repeat",
    response={
        200: DepositAddressOut,
        **errors(
            "unauthenticated",
            "validation_error",
            "forbidden",
            "not_found",
            "wrong_state",
            "operation_disabled",
            "currency_disabled",
            "rate_limited",
        ),
    },
    operation_id="deposit_repeat",
)
def deposit_repeat(request: HttpRequest, data: PlaceIn) -> dict[str, Any]:
    """The same link or address again. A link that was paid or cancelled is not given out again."""
    require_scope(request, "read")
    return addresses.deposit_repeat(
        request.auth,  # type: ignore[attr-defined]
        external_id=data.external_id,
        address=data.address,
    )
