"""The only writer of an order's status: one table of moves, one row of history for each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kauri.common import clock
from kauri.common.actor import Actor, request_id
from kauri.common.errors import KauriError
from kauri.core.outbox import emit
from kauri.order_core.models import Order, Transition
from kauri.order_core.states import FINAL, MOVES, OrderStatus, OrderType

#: Builds the body that clients see, from the order as it stands after the move.
Body = Callable[[Order], dict[str, Any]]


def start(order: Order, *, actor: Actor, body: Body, reason: str = "") -> Order:
    """Save a new order in status NEW with the first row of its history."""
    order.status = OrderStatus.NEW
    order.save(force_insert=True)
    _record(order, "", OrderStatus.NEW, actor, reason)
    _tell(order, body)
    return order


def transition(order: Order, to: OrderStatus, *, actor: Actor, body: Body, reason: str = "") -> None:
    """Move a locked order. Raises ``wrong_state`` for a move that the table does not list."""
    current = OrderStatus(order.status)
    if to not in MOVES.get(OrderType(order.type), {}).get(current, frozenset()):
        raise KauriError(
            "wrong_state", f"{order.type} {order.public_id}: {current.value} may not become {to.value}"
        )
    now = clock.now()
    order.status = to
    order.updated_at = now
    if to in FINAL:
        order.finished_at = now
    order.save(update_fields=["status", "updated_at", "finished_at"])
    _record(order, current, to, actor, reason)
    _tell(order, body)


def _record(order: Order, before: str, after: OrderStatus, actor: Actor, reason: str) -> None:
    row = Transition(order=order, from_status=before, to_status=after, reason=reason, at=clock.now())
    row.stamp(actor, request_id.get())
    row.save(force_insert=True)


def _tell(order: Order, body: Body) -> None:
    emit(
        f"{order.type.lower()}.{order.status.lower()}",
        subject_type="order",
        subject_id=order.public_id,
        payload=body(order),
        owner_id=order.owner_id,
        callback_url=order.callback_url or order.owner.callback_url,
    )
