"""The ledger's view of a withdrawal: hold, then capture part by part, and release what was not paid."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal

from kauri.balance import ledger
from kauri.balance.chart import AccountKind, TransferKind
from kauri.balance.ledger import Leg, Posted
from kauri.common.actor import Actor
from kauri.order_core.models import Order
from kauri.payment_provider.models import Payout
from kauri.withdrawal_order.models import WithdrawalPart


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


def capture(order: Order, part: WithdrawalPart, *, actor: Actor, only: bool, ends: bool) -> Posted:
    """The part's money has gone: the hold pays the provider's float and our fee; the network's cost is ours.

    ``only``: the order has no other part. ``ends``: nothing is left to release, so that what failed
    tries have cost is booked here.
    """
    currency, payout = order.currency_in, part.payout
    given = part.amount + part.fee
    return ledger.capture(
        order.public_id,
        TransferKind.WITHDRAWAL_CAPTURE,
        [
            Leg(AccountKind.CUSTOMER_HELD, currency, -given, customer_id=order.owner_id),
            Leg(AccountKind.PROVIDER_FLOAT, currency, part.amount, provider_id=payout.provider_id),
            Leg(AccountKind.FEE_INCOME, currency, part.fee),
            *_costs([payout, *(_failed_tries(order) if ends else [])]),
        ],
        amount=given,
        actor=actor,
        step="capture" if only else f"capture:{payout.public_id}",
        reference=payout.provider_reference,
    )


def release(order: Order, parts: Sequence[WithdrawalPart], *, actor: Actor, reason: str) -> Posted:
    """Back to the customer what these parts should have paid; all of it where there are none.

    Failed tries may still have cost us.
    """
    amount = sum((part.amount + part.fee for part in parts), Decimal(0)) if parts else order.amount_in
    return ledger.release(
        order.public_id,
        TransferKind.WITHDRAWAL_RELEASE,
        customer_id=order.owner_id,
        currency=order.currency_in,
        amount=amount,
        actor=actor,
        reference=reason[:254],
        extra_legs=_costs(_failed_tries(order)) if parts else [],
    )


def _failed_tries(order: Order) -> list[Payout]:
    tries = Payout.objects.filter(order_id=order.public_id, state=Payout.State.FAILED, cost__gt=0)
    return list(tries.select_related("cost_currency"))


def _costs(payouts: Iterable[Payout]) -> list[Leg]:
    legs = []
    for payout in payouts:
        if payout.cost is None or payout.cost_currency is None or payout.cost == 0:
            continue
        currency, provider = payout.cost_currency, payout.provider_id
        legs.append(Leg(AccountKind.PROVIDER_FLOAT, currency, payout.cost, provider_id=provider))
        legs.append(Leg(AccountKind.PROVIDER_COST, currency, -payout.cost))
    return legs
