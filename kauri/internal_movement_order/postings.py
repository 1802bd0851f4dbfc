"""The ledger's view of an internal movement: at once, or held and then captured or released."""

from __future__ import annotations

from kauri.balance import ledger
from kauri.balance.chart import AccountKind, TransferKind
from kauri.balance.ledger import Leg, Posted
from kauri.common.actor import Actor
from kauri.common.ids import ledger_key
from kauri.order_core.models import Order


def move(order: Order, *, actor: Actor) -> Posted:
    """From the sender's available money to the recipient's, the fee to us: one transfer."""
    return ledger.post(
        ledger_key(order.public_id, "move"),
        TransferKind.INTERNAL_MOVEMENT,
        [_from(order, AccountKind.CUSTOMER_AVAILABLE), *_to(order)],
        actor=actor,
        order_id=order.public_id,
    )


def hold(order: Order, *, actor: Actor) -> Posted:
    """Set what will leave the sender aside while an operator looks."""
    return ledger.hold(
        order.public_id,
        TransferKind.INTERNAL_MOVEMENT_HOLD,
        customer_id=order.owner_id,
        currency=order.currency_in,
        amount=order.amount_in,
        actor=actor,
    )


def capture(order: Order, *, actor: Actor) -> Posted:
    """Approved: the hold goes to the recipient, the fee to us."""
    return ledger.capture(
        order.public_id,
        TransferKind.INTERNAL_MOVEMENT_CAPTURE,
        [_from(order, AccountKind.CUSTOMER_HELD), *_to(order)],
        amount=order.amount_in,
        actor=actor,
    )


def release(order: Order, *, actor: Actor, reason: str) -> Posted:
    """Rejected: all of it back to the sender."""
    return ledger.release(
        order.public_id,
        TransferKind.INTERNAL_MOVEMENT_RELEASE,
        customer_id=order.owner_id,
        currency=order.currency_in,
        amount=order.amount_in,
        actor=actor,
        reference=reason[:254],
    )


def _from(order: Order, kind: AccountKind) -> Leg:
    return Leg(kind, order.currency_in, -order.amount_in, customer_id=order.owner_id)


def _to(order: Order) -> list[Leg]:
    return [
        Leg(
            AccountKind.CUSTOMER_AVAILABLE,
            order.currency_out,
            order.amount_out,
            customer_id=order.movement.recipient_id,
        ),
        Leg(AccountKind.FEE_INCOME, order.fee_currency, order.fee),
    ]
