"""What the ``withdrawal_order`` queue does."""

from __future__ import annotations

from kauri.withdrawal_order import paying


def payout_advance(payout_id: int) -> None:
    """The next step of one payout."""
    paying.payout_advance(payout_id)


def payouts_sweep() -> None:
    """Enqueue what is due."""
    paying.payouts_sweep()
