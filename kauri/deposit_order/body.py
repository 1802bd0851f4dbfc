"""A deposit as clients see it."""

from __future__ import annotations

from typing import Any

from kauri.order_core.models import Order
from kauri.order_core.selectors import order_object
from kauri.payment_provider.models import ChainBlock, Payin


def confirmations(payin: Payin) -> int:
    """How deep the payin is in the chain that we have followed; 0 off the chain."""
    if payin.block_height is None or payin.state == Payin.State.ORPHANED:
        return 0
    cursor = ChainBlock.objects.filter(provider_id=payin.provider_id).first()
    return max(cursor.height - payin.block_height + 1, 0) if cursor else 0


def deposit_object(order: Order) -> dict[str, Any]:
    """A deposit as clients see it, in answers and webhooks alike (flat, and it says order_id)."""
    payin = order.deposit.payin
    details = {
        "address": payin.address,
        "tr_hash": payin.transaction,
        "received_amount": order.amount_in,
        "confirmations_count": confirmations(payin),
        "confirmations_needed": order.deposit.confirmations_needed,
    }
    body = order_object(order, details)
    return {**body, **details, "order_id": body["external_id"]}
