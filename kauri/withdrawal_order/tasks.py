"""What the ``withdrawal_order`` queue does."""

from __future__ import annotations

from kauri.withdrawal_order import confirming, paying, screened


def payout_advance(payout_id: int) -> None:
    """The next step of one payout."""
    paying.payout_advance(payout_id)


def payouts_sweep() -> None:
    """Enqueue what is due."""
    paying.payouts_sweep()


def withdrawal_screen(detail_pk: int) -> None:
    """Ask analysis about one withdrawal's destination."""
    screened.withdrawal_screen(detail_pk)


def screens_sweep() -> None:
    """Enqueue the withdrawals whose analysis is due."""
    screened.screens_sweep()


def confirmations_sweep() -> None:
    """Enqueue what nobody confirmed in time."""
    confirming.confirmations_sweep()


def confirmation_expire(detail_pk: int) -> None:
    """End a withdrawal that nobody confirmed in time."""
    confirming.confirmation_expire(detail_pk)
