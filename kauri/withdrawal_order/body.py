"""A withdrawal as clients see it."""

from __future__ import annotations

from typing import Any, Final

from kauri.order_core.approvals import as_shown
from kauri.order_core.models import Order
from kauri.order_core.selectors import order_object
from kauri.order_core.states import OrderStatus
from kauri.payment_card.selectors import is_token
from kauri.payment_provider.models import Payout

#: Nothing is paid out before it is decided: such orders have no parts.
_UNPAID: Final = frozenset(
    {
        OrderStatus.NEW,
        OrderStatus.WAITING_FOR_CONFIRMATION,
        OrderStatus.WAITING_FOR_OPERATOR_CONFIRMATION,
        OrderStatus.CONFIRMED_BY_OPERATOR,
        OrderStatus.CANCELLED_BY_OPERATOR,
    }
)


def withdrawal_object(order: Order) -> dict[str, Any]:
    """The old order object of a withdrawal, in answers and webhooks alike."""
    detail = order.withdrawal
    parts = [] if OrderStatus(order.status) in _UNPAID else detail.parts.all()
    return order_object(
        order,
        {
            "wallet_to": detail.shown_destination,
            "card_token": detail.destination if is_token(detail.destination) else None,
            "payment_method": detail.network.code if detail.network else None,
            "amount_to_withdrawal": order.amount_out,
            "withdrawal_transactions": [_transaction(part.payout) for part in parts],
            "unpaid_rest_of": str(order.split_from.public_id) if order.split_from else None,
            "additional_info": order.additional_info,
        },
    )


def withdrawal_shown(order: Order) -> str:
    """What an operator decides on: the order as it stands, and where its money would go."""
    detail = order.withdrawal
    network = detail.network.code if detail.network else ""
    return as_shown(order, detail.destination, network, detail.provider.code)


def _transaction(payout: Payout) -> dict[str, Any]:
    return {
        "transaction_id": str(payout.public_id),
        "tr_hash": payout.provider_reference or None,
        "amount": payout.amount,
        "status": payout.state,
        "confirmations_count": payout.confirmations,
    }
