"""A deposit as clients see it."""

from __future__ import annotations

from typing import Any

from django.db.models import OuterRef, QuerySet, Subquery

from kauri.order_core.models import Order
from kauri.order_core.selectors import order_object
from kauri.payment_provider.models import ChainBlock, Payin


def with_chain_height(orders: QuerySet[Order]) -> QuerySet[Order]:
    """Orders that know how high their deposit's chain is: a page of them needs no query for each."""
    blocks = ChainBlock.objects.filter(provider=OuterRef("deposit__payin__provider")).order_by("-height")
    return orders.annotate(chain_height=Subquery(blocks.values("height")[:1]))


def confirmations(payin: Payin, order: Order) -> int:
    """How deep the payin is in the chain that we have followed; 0 off the chain."""
    if payin.block_height is None or payin.state == Payin.State.ORPHANED:
        return 0
    if "chain_height" in vars(order):
        height: int | None = vars(order)["chain_height"]
    else:
        cursor = ChainBlock.objects.filter(provider_id=payin.provider_id).first()
        height = cursor.height if cursor else None
    return 0 if height is None else max(height - payin.block_height + 1, 0)


def deposit_object(order: Order) -> dict[str, Any]:
    """A deposit as clients see it, in answers and webhooks alike (flat, and it says order_id)."""
    payin = order.deposit.payin
    details = {
        "address": payin.address,
        "tr_hash": payin.transaction,
        "received_amount": order.amount_in,
        "confirmations_count": confirmations(payin, order),
        "confirmations_needed": order.deposit.confirmations_needed,
        "customer_id": order.additional_info.get("customer_id"),
        "currency_convert_to": order.deposit.convert_to.code if order.deposit.convert_to else None,
    }
    body = order_object(order, details)
    return {**body, **details, "order_id": body["external_id"]}
