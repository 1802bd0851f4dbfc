"""What the ``balance`` queue does."""

from __future__ import annotations

from kauri.balance import ledger, services


def roll() -> None:
    """Fold the hot accounts' queued changes."""
    ledger.roll()


def self_check() -> None:
    """Prove the books."""
    services.self_check_run()
