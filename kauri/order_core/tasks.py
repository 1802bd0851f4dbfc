"""What the ``order_core`` queue does."""

from __future__ import annotations

from kauri.order_core import holding, services


def self_check() -> None:
    """Prove what was written since the last proof."""
    services.books_check(full=False)


def self_check_full() -> None:
    """Prove everything ever written."""
    services.books_check(full=True)


def holds_sweep() -> None:
    """Tell operators of orders that are on hold for too long."""
    holding.holds_sweep()
