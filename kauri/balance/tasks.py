"""What the ``balance`` queue does."""

from __future__ import annotations

from kauri.balance import ledger, services


def roll() -> None:
    """Fold the hot accounts' queued changes."""
    ledger.roll()


def days_close() -> None:
    """Close the days that are over, soon after midnight."""
    services.days_close()
