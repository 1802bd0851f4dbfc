"""A withdrawal as clients see it."""

from __future__ import annotations

from typing import Any

from kauri.order_core.models import Order
from kauri.order_core.selectors import order_object
from kauri.payment_provider.models import Payout


def withdrawal_object(order: Order) -> dict[str, Any]:
    """The old order object of a withdrawal, in answers and webhooks alike."""
    detail = order.withdrawal
    payout = detail.payout
    return order_object(
        order,
        {
            "wallet_to": detail.destination,
            "payment_method": detail.network.code if detail.network else None,
            "amount_to_withdrawal": order.amount_out,
            "withdrawal_transactions": [_transaction(payout)] if payout else [],
            "additional_info": order.additional_info,
        },
    )


def _transaction(payout: Payout) -> dict[str, Any]:
    return {
        "transaction_id": str(payout.public_id),
        "tr_hash": payout.provider_reference or None,
        "amount": payout.amount,
        "status": payout.state,
        "confirmations_count": payout.confirmations,
    }
