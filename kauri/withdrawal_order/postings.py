"""The ledger's view of a withdrawal: hold, then capture or release."""

from __future__ import annotations

from kauri.balance import ledger
from kauri.balance.chart import AccountKind, TransferKind
from kauri.balance.ledger import Leg, Posted
from kauri.common.actor import Actor
from kauri.order_core.models import Order
from kauri.payment_provider.models import Payout


def hold(order: Order, *, actor: Actor) -> Posted:
    """Set amount and fee aside."""
    return ledger.hold(
        order.public_id,
        TransferKind.WITHDRAWAL_HOLD,
        customer_id=order.owner_id,
        currency=order.currency_in,
        amount=order.amount_in,
        actor=actor,
    )


def capture(order: Order, payout: Payout, *, actor: Actor) -> Posted:
    """The money has gone: the hold pays the provider's float and our fee; the network's cost is ours."""
    currency = order.currency_in
    return ledger.capture(
        order.public_id,
        TransferKind.WITHDRAWAL_CAPTURE,
        [
            Leg(AccountKind.CUSTOMER_HELD, currency, -order.amount_in, customer_id=order.owner_id),
            Leg(AccountKind.PROVIDER_FLOAT, currency, order.amount_out, provider_id=payout.provider_id),
            Leg(AccountKind.FEE_INCOME, currency, order.fee),
            *_cost(payout),
        ],
        amount=order.amount_in,
        actor=actor,
        reference=payout.provider_reference,
    )


def release(order: Order, payout: Payout | None, *, actor: Actor, reason: str) -> Posted:
    """Nothing has gone: all of it back to the customer. A failed try may still have cost us."""
    return ledger.release(
        order.public_id,
        TransferKind.WITHDRAWAL_RELEASE,
        customer_id=order.owner_id,
        currency=order.currency_in,
        amount=order.amount_in,
        actor=actor,
        reference=reason[:254],
        extra_legs=_cost(payout) if payout else [],
    )


def _cost(payout: Payout) -> list[Leg]:
    if payout.cost is None or payout.cost_currency is None or payout.cost == 0:
        return []
    return [
        Leg(AccountKind.PROVIDER_FLOAT, payout.cost_currency, payout.cost, provider_id=payout.provider_id),
        Leg(AccountKind.PROVIDER_COST, payout.cost_currency, -payout.cost),
    ]
