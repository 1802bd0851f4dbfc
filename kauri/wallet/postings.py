"""The ledger's view of money that moves between addresses of ours: only the network's cost is booked."""

from __future__ import annotations

from kauri.balance import ledger
from kauri.balance.chart import AccountKind, TransferKind
from kauri.balance.ledger import Leg
from kauri.common.actor import Actor
from kauri.common.ids import ledger_key
from kauri.payment_provider.models import Outgoing


def network_cost(sweep: Outgoing, *, actor: Actor) -> None:
    """The provider's float pays it, the house bears it. Nothing where nothing was taken."""
    if not sweep.cost or sweep.cost_currency is None:
        return
    ledger.post(
        ledger_key("sweep", sweep.public_id, "cost"),
        TransferKind.NETWORK_COST,
        [
            Leg(AccountKind.PROVIDER_FLOAT, sweep.cost_currency, sweep.cost, provider_id=sweep.provider_id),
            Leg(AccountKind.PROVIDER_COST, sweep.cost_currency, -sweep.cost),
        ],
        actor=actor,
        reference=sweep.provider_reference,
    )
