"""The ledger's view of a deposit."""

from __future__ import annotations

from kauri.balance import ledger
from kauri.balance.chart import AccountKind, TransferKind
from kauri.balance.ledger import Leg, Posted
from kauri.common.actor import Actor
from kauri.common.ids import ledger_key
from kauri.order_core.models import Order
from kauri.payment_provider.models import Payin


def credit(order: Order, payin: Payin, *, actor: Actor) -> Posted:
    """The provider holds more for us; the customer is owed it, less the fee."""
    currency = order.currency_out
    return ledger.post(
        ledger_key("payin", payin.public_id, "credit"),
        TransferKind.DEPOSIT,
        [
            Leg(AccountKind.PROVIDER_FLOAT, currency, -order.amount_in, provider_id=payin.provider_id),
            Leg(AccountKind.CUSTOMER_AVAILABLE, currency, order.amount_out, customer_id=order.owner_id),
            Leg(AccountKind.FEE_INCOME, currency, order.fee),
        ],
        actor=actor,
        order_id=order.public_id,
        reference=payin.transaction,
    )
