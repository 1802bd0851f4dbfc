"""What OpenAPI says of the objects whose shape is older than this house: orders, and an account's terms."""

from __future__ import annotations

from typing import Annotated, Any, Final

from pydantic import WithJsonSchema

from kauri.common.api import AMOUNT, component
from kauri.order_core.states import OrderStatus, OrderType

Shape = dict[str, Any]


def _object(required: Shape, optional: Shape | None = None, **more: Any) -> Shape:
    return {
        "type": "object",
        "required": list(required),
        "properties": {**required, **(optional or {})},
        **more,
    }


def _or_null(shape: Shape) -> Shape:
    return {"anyOf": [shape, {"type": "null"}]}


_TEXT: Final[Shape] = {"type": "string"}
_COUNT: Final[Shape] = {"type": "integer"}
_YES_NO: Final[Shape] = {"type": "boolean"}
_MOMENT: Final[Shape] = {"type": "string", "format": "date-time"}
_STATUS: Final = component("OrderStatus", {"type": "string", "enum": list(OrderStatus.values)})

_TRANSACTION: Final = _object(
    {
        "transaction_id": {"type": "string", "format": "uuid"},
        "tr_hash": _or_null(_TEXT),
        "amount": AMOUNT,
        "status": _TEXT,
        "confirmations_count": _COUNT,
    }
)
_DEPOSIT: Final[Shape] = {
    "address": _TEXT,
    "tr_hash": _TEXT,
    "received_amount": AMOUNT,
    "confirmations_count": _COUNT,
    "confirmations_needed": _COUNT,
    "customer_id": {**_or_null(_TEXT), "description": "As the address or link was asked with."},
    "currency_convert_to": {
        **_or_null(_TEXT),
        "description": "The wish to have the deposit converted. Until exchange exists the deposit is credited in its own "
        "currency, and the wish stands here.",
    },
}
_WITHDRAWAL: Final[Shape] = {
    "wallet_to": {**_TEXT, "description": "A card is masked: first six and last four digits."},
    "card_token": {**_or_null(_TEXT), "description": "Names the card that it goes to, where it goes to one."},
    "payment_method": _or_null(_TEXT),
    "amount_to_withdrawal": AMOUNT,
    "withdrawal_transactions": {"type": "array", "items": _TRANSACTION},
    "unpaid_rest_of": {
        "type": ["string", "null"],
        "format": "uuid",
        "description": "The withdrawal that was paid in part and closed; this order is what stayed unpaid.",
    },
    "additional_info": {"type": "object"},
}
_MOVEMENT: Final[Shape] = {
    "direction": {"type": "string", "enum": ["in", "out"]},
    "fee_payer": {"type": "string", "enum": ["sender", "recipient"]},
    "message": _TEXT,
}
_SENT: Final[Shape] = {
    "addressed_by": _TEXT,
    "destination": _TEXT,
    "destination_account_email": _or_null(_TEXT),
    "amount_to_receive": AMOUNT,
}
_RECEIVED: Final[Shape] = {"sender_account_email": _TEXT, "sender_account_number": _TEXT}

_ORDER: Final[Shape] = {
    "external_id": {"type": "string", "format": "uuid", "description": "The order's id."},
    "client_external_id": {**_or_null(_TEXT), "description": "The client's own external_id."},
    "order_type": {"type": "string", "enum": list(OrderType.values)},
    "order_sub_type": _TEXT,
    "status": _STATUS,
    "currency": _TEXT,
    "amount": AMOUNT,
    "fee": AMOUNT,
    "dt": {
        **_or_null(_TEXT),
        "description": "The old form of created_at: `2026-11-22 12:00:00.000000`, UTC.",
    },
    "created_at": _MOMENT,
    "finished_at": _or_null(_MOMENT),
    "comment": _TEXT,
    "details": component(
        "OrderDetails",
        {
            "description": "What the order type adds.",
            "anyOf": [
                _object(_DEPOSIT, title="Deposit"),
                _object(_WITHDRAWAL, title="Withdrawal"),
                _object({**_MOVEMENT, **_SENT}, title="Movement sent"),
                _object({**_MOVEMENT, **_RECEIVED}, title="Movement received"),
            ],
        },
    ),
}
#: A deposit's body is flat, as clients of the old platform read it.
_FLAT: Final[Shape] = {**_DEPOSIT, "order_id": {"type": "string", "format": "uuid"}}

ORDER_EXAMPLE: Final[Shape] = {
    "external_id": "0a6282ec-f63d-4a15-a16c-a128b46eb7eb",
    "client_external_id": "payout-0001",
    "order_type": "WITHDRAWAL",
    "order_sub_type": "GATEWAY",
    "status": "CLOSED",
    "currency": "USDT",
    "amount": 25,
    "fee": 0.5,
    "dt": "2026-11-22 12:00:00.000000",
    "created_at": "2026-11-22T12:00:00Z",
    "finished_at": "2026-11-22T12:05:00Z",
    "comment": "",
    "details": {
        "wallet_to": "0x9858EfFD232B4033E47d90003D41EC34EcaEda94",
        "card_token": None,
        "payment_method": "erc20",
        "amount_to_withdrawal": 24.5,
        "withdrawal_transactions": [
            {
                "transaction_id": "5b0e6a3c-8e52-4a5c-9a52-1d6f7f7c3f11",
                "tr_hash": "0x6d3f0c6a1f6f7d2f8f2c0a6a4d0a2b1c3d4e5f60718293a4b5c6d7e8f9012345",
                "amount": 24.5,
                "status": "paid",
                "confirmations_count": 12,
            }
        ],
        "unpaid_rest_of": None,
        "additional_info": {},
    },
}
_STEP: Final = _object({"from": _or_null(_STATUS), "to": _STATUS, "at": _MOMENT})
_ENTRY: Final = _object(
    {"currency": _TEXT, "account": {"type": "string", "enum": ["available", "held"]}, "amount": AMOUNT}
)
_TRANSFER: Final = _object(
    {
        "transfer_id": {"type": "string", "format": "uuid"},
        "kind": _TEXT,
        "at": _MOMENT,
        "entries": {"type": "array", "items": _ENTRY},
    }
)

#: An order in a list.
OrderBody = Annotated[
    dict[str, Any], WithJsonSchema(component("Order", _object(_ORDER, _FLAT, examples=[ORDER_EXAMPLE])))
]
#: An order on its own: with its history, and the caller's entries of its ledger transfers.
OrderInFull = Annotated[
    dict[str, Any],
    WithJsonSchema(
        component(
            "OrderInFull",
            _object(
                {
                    **_ORDER,
                    "history": {"type": "array", "items": _STEP},
                    "transfers": {"type": "array", "items": _TRANSFER},
                },
                _FLAT,
                examples=[
                    {
                        **ORDER_EXAMPLE,
                        "history": [{"from": None, "to": "NEW", "at": "2026-11-22T12:00:00Z"}],
                        "transfers": [
                            {
                                "transfer_id": "0d5f9b5e-7f7d-4a0c-8f57-0b8a3d1e2c4f",
                                "kind": "Withdrawal hold",
                                "at": "2026-11-22T12:00:00Z",
                                "entries": [
                                    {"currency": "USDT", "account": "available", "amount": -25},
                                    {"currency": "USDT", "account": "held", "amount": 25},
                                ],
                            }
                        ],
                    }
                ],
            ),
        )
    ),
]


def _by_currency(name: str, leaf: Shape) -> Shape:
    """Under a currency: sub type, for some a second one, and the network where there are several."""
    leaf = found = component(name, leaf)
    for _ in range(3):
        found = {"anyOf": [leaf, {"type": "object", "additionalProperties": found}]}
    return component(
        f"{name}ByCurrency",
        {"type": "object", "additionalProperties": {"type": "object", "additionalProperties": found}},
    )


_BOUND: Final = _or_null(AMOUNT)
_BOUNDS: Final = ("min_amount", "max_amount", "daily_amount", "monthly_amount")

Limits = Annotated[
    dict[str, Any],
    WithJsonSchema(
        _by_currency(
            "Limits",
            _object(
                {"daily_count": _or_null(_COUNT), **dict.fromkeys(_BOUNDS, _BOUND)},
                {f"{name}_usd": _BOUND for name in _BOUNDS},
            ),
        )
    ),
]
Fees = Annotated[
    dict[str, Any],
    WithJsonSchema(
        _by_currency(
            "Fees",
            _object(
                {"static_fee": AMOUNT, "percent_fee": AMOUNT, "min_fee": _BOUND, "max_fee": _BOUND},
                {
                    "payment_provider_static_fee": AMOUNT,
                    "parent_currency_static_fee": AMOUNT,
                    "fee_payer": _TEXT,
                },
            ),
        )
    ),
]
Rules = Annotated[
    dict[str, Any],
    WithJsonSchema(
        _by_currency(
            "Rules",
            _object(
                {"disable_description": _TEXT, "is_repeat_enabled": _YES_NO, "required_level": _COUNT},
                {
                    "is_deposit_enabled": _YES_NO,
                    "is_withdrawal_enabled": _YES_NO,
                    "is_enabled": _YES_NO,
                    "is_cancel_enabled": _YES_NO,
                    "confirmations_count": _or_null(_COUNT),
                },
            ),
        )
    ),
]
