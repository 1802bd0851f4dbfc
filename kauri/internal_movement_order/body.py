"""An internal movement as each side sees it."""

from __future__ import annotations

from typing import Any

from kauri.common import clock
from kauri.common.money import ZERO, exact
from kauri.order_core.approvals import as_shown
from kauri.order_core.models import Order, Policy
from kauri.order_core.selectors import old_time, order_object


def movement_object(order: Order) -> dict[str, Any]:
    """The sender's view: ``amount`` is what left the balance, the recipient as the sender named them."""
    detail = order.movement
    return order_object(
        order,
        {
            "direction": "out",
            "addressed_by": detail.addressed_by,
            "destination": detail.addressed_to,
            "destination_account_email": detail.addressed_to if detail.addressed_by == "email" else None,
            "amount_to_receive": order.amount_out,
            "fee_payer": detail.fee_payer,
            "message": detail.message,
        },
    )


def movement_shown(order: Order) -> str:
    """What an operator decides on: the order as it stands, and who would get the money."""
    return as_shown(order, order.movement.recipient.number)


def received_object(order: Order) -> dict[str, Any]:
    """The recipient's view: what came, from whom. Nothing of the sender's own (ids, callback, comment)."""
    detail = order.movement
    scale = order.currency_out.scale
    is_theirs = detail.fee_payer == Policy.FeePayer.RECIPIENT
    return {
        "external_id": str(order.public_id),
        "client_external_id": None,
        "order_type": order.type,
        "order_sub_type": order.sub_type,
        "status": order.status,
        "currency": order.currency_out.code,
        "amount": exact(order.amount_out, scale),
        "fee": exact(order.fee if is_theirs else ZERO, scale),
        "dt": old_time(order.created_at),
        "created_at": clock.iso(order.created_at),
        "finished_at": clock.iso(order.finished_at),
        "comment": "",
        "details": {
            "direction": "in",
            "sender_account_email": order.owner.email,
            "sender_account_number": order.owner.number,
            "fee_payer": detail.fee_payer,
            "message": detail.message,
        },
    }
