"""The ledger's view of money that comes in, with a home or without."""

from __future__ import annotations

from decimal import Decimal

from kauri.balance import ledger
from kauri.balance.chart import AccountKind, TransferKind
from kauri.balance.ledger import Leg, Posted
from kauri.common.actor import Actor
from kauri.common.ids import ledger_key
from kauri.order_core.models import Order
from kauri.payment_provider.models import Payin


def credit(order: Order, payin: Payin, *, actor: Actor) -> Posted:
    """The customer is owed it, less the fee: from outside, or from suspense where the books know it already."""
    currency = order.currency_out
    source = (
        _arrival(payin)
        if payin.booked_at is None
        else [Leg(AccountKind.SUSPENSE, currency, -order.amount_in)]
    )
    return ledger.post(
        ledger_key("payin", payin.public_id, "credit"),
        TransferKind.DEPOSIT,
        [
            *source,
            Leg(AccountKind.CUSTOMER_AVAILABLE, currency, order.amount_out, customer_id=order.owner_id),
            Leg(AccountKind.FEE_INCOME, currency, order.fee),
        ],
        actor=actor,
        order_id=order.public_id,
        reference=payin.transaction,
    )


def suspend(payin: Payin, *, actor: Actor) -> Posted:
    """It is ours to keep safe, and nobody's yet."""
    return ledger.post(
        ledger_key("payin", payin.public_id, "suspense"),
        TransferKind.SUSPENSE,
        [*_arrival(payin), Leg(AccountKind.SUSPENSE, payin.currency, payin.amount)],
        actor=actor,
        order_id=payin.order_id,
        reference=payin.transaction,
    )


def send_back(payin: Payin, *, evidence: str, actor: Actor) -> Posted:
    """It left the provider again; what the provider took of it on the way in stays our cost."""
    return ledger.post(
        ledger_key("payin", payin.public_id, "returned"),
        TransferKind.SUSPENSE_RETURN,
        [
            Leg(AccountKind.SUSPENSE, payin.currency, -payin.amount),
            Leg(AccountKind.PROVIDER_FLOAT, payin.currency, payin.amount, provider_id=payin.provider_id),
        ],
        actor=actor,
        order_id=payin.order_id,
        reference=evidence,
    )


def keep(payin: Payin, *, actor: Actor) -> Posted:
    """It is the house's."""
    return ledger.post(
        ledger_key("payin", payin.public_id, "kept"),
        TransferKind.SUSPENSE_INCOME,
        [
            Leg(AccountKind.SUSPENSE, payin.currency, -payin.amount),
            Leg(AccountKind.ADJUSTMENT, payin.currency, payin.amount),
        ],
        actor=actor,
        order_id=payin.order_id,
        reference=payin.transaction,
    )


def _arrival(payin: Payin) -> list[Leg]:
    """The provider holds more for us, less what it took for itself."""
    kept: Decimal = payin.amount - payin.cost
    return [
        Leg(AccountKind.PROVIDER_FLOAT, payin.currency, -kept, provider_id=payin.provider_id),
        Leg(AccountKind.PROVIDER_COST, payin.currency, -payin.cost),
    ]
