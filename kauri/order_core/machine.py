"""The only writer of an order's status: one table of moves, one row of history for each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal
from itertools import pairwise
from typing import Any

from kauri.common import clock
from kauri.common.actor import Actor, request_id
from kauri.common.errors import KauriError
from kauri.core.outbox import Event, emit_all
from kauri.order_core.models import Order, Transition
from kauri.order_core.states import FINAL, MOVES, OrderStatus, OrderType

#: Builds the body that clients see, from the order as it stands after the move.
Body = Callable[[Order], dict[str, Any]]


def start(
    order: Order,
    *,
    actor: Actor,
    body: Body,
    reason: str = "",
    through: Sequence[OrderStatus] = (),
    also: Sequence[Callable[[Order], Event]] = (),
    detail: Callable[[Order], None] | None = None,
) -> Order:
    """Save a new order with the first row of its history; ``detail`` then saves its type's own row.

    ``through``: moves that it makes at once, each with its row of history and its event; the order
    itself is written once, as it stands after them. ``also`` makes further events to tell then.
    """
    start_all([order], actor=actor, body=body, reason=reason, through=through, also=also, detail=detail)
    return order


def start_all(
    orders: Sequence[Order],
    *,
    actor: Actor,
    body: Body,
    reason: str = "",
    through: Sequence[OrderStatus] = (),
    also: Sequence[Callable[[Order], Event]] = (),
    detail: Callable[[Order], None] | None = None,
) -> None:
    """The same for many orders, in as few statements as for one: all of them, or none."""
    path = [OrderStatus.NEW, *through]
    last = path[-1]
    finished = clock.now() if last in FINAL else None
    for order in orders:
        for current, following in pairwise(path):
            _must_be_listed(order, current, following)
        order.status, order.finished_at = last, finished
    Order.objects.bulk_create(orders)
    if detail is not None:
        for order in orders:
            detail(order)
    rows, events = [], []
    for order in orders:
        for before, after in pairwise(["", *path]):
            # Each event tells the order as it stood then.
            order.status = status = OrderStatus(after)
            order.finished_at = finished if status is last else None
            rows.append(_row(order, before, status, actor, reason))
            events.append(_event(order, body))
        events += [make(order) for make in also]
    Transition.objects.bulk_create(rows)
    emit_all(events)


def transition(order: Order, to: OrderStatus, *, actor: Actor, body: Body, reason: str = "") -> None:
    """Move a locked order. Raises ``wrong_state`` for a move that the table does not list."""
    current = OrderStatus(order.status)
    _must_be_listed(order, current, to)
    now = clock.now()
    order.status = to
    order.updated_at = now
    if to in FINAL:
        order.finished_at = now
    order.save(update_fields=["status", "updated_at", "finished_at"])
    _row(order, current, to, actor, reason).save(force_insert=True)
    emit_all([_event(order, body)])


def split_off(
    order: Order,
    *,
    amount_out: Decimal,
    fee: Decimal,
    actor: Actor,
    body: Body,
    reason: str,
    detail: Callable[[Order], None],
) -> Order:
    """A locked order was paid in part: the rest becomes an order that ends ERROR, and this one closes without it.

    ``amount_out`` and ``fee`` are the rest's. The database lets an order's amounts fall by exactly these.
    """
    path = [OrderStatus.NEW, OrderStatus(order.status), OrderStatus.ERROR]
    for current, following in [*pairwise(path), (OrderStatus(order.status), OrderStatus.CLOSED)]:
        _must_be_listed(order, current, following)
    now = clock.now()
    rest = Order(
        type=order.type,
        sub_type=order.sub_type,
        owner=order.owner,
        status=OrderStatus.ERROR,
        currency_in=order.currency_in,
        amount_in=amount_out + fee,
        currency_out=order.currency_out,
        amount_out=amount_out,
        fee=fee,
        fee_currency=order.fee_currency,
        callback_url=order.callback_url,
        comment=order.comment,
        additional_info=order.additional_info,
        source=order.source,
        ip=order.ip,
        user_agent=order.user_agent,
        explanation=order.explanation,
        split_from=order,
        finished_at=now,
    )
    rest.save(force_insert=True)
    detail(rest)
    Transition.objects.bulk_create(
        [
            _row(rest, before, OrderStatus(after), actor, f"the unpaid rest of {order.public_id}: {reason}")
            for before, after in pairwise(["", *path])
        ]
    )
    current = OrderStatus(order.status)
    order.amount_in -= rest.amount_in
    order.amount_out -= rest.amount_out
    order.fee -= rest.fee
    order.status, order.updated_at, order.finished_at = OrderStatus.CLOSED, now, now
    order.save(update_fields=["amount_in", "amount_out", "fee", "status", "updated_at", "finished_at"])
    _row(order, current, OrderStatus.CLOSED, actor, f"paid in part; the rest is {rest.public_id}").save(
        force_insert=True
    )
    emit_all([_event(order, body), _event(rest, body)])
    return rest


def _must_be_listed(order: Order, current: OrderStatus, to: OrderStatus) -> None:
    if to not in MOVES.get(OrderType(order.type), {}).get(current, frozenset()):
        raise KauriError(
            "wrong_state", f"{order.type} {order.public_id}: {current.value} may not become {to.value}"
        )


def _row(order: Order, before: str, after: OrderStatus, actor: Actor, reason: str) -> Transition:
    row = Transition(order=order, from_status=before, to_status=after, reason=reason, at=clock.now())
    row.stamp(actor, request_id.get())
    return row


def _event(order: Order, body: Body) -> Event:
    return Event(
        f"{order.type.lower()}.{order.status.lower()}",
        subject_type="order",
        subject_id=order.public_id,
        payload=body(order),
        owner_id=order.owner_id,
        callback_url=order.callback_url or order.owner.callback_url,
    )
