"""What the ``deposit_order`` queue does."""

from __future__ import annotations

from kauri.deposit_order import services
from kauri.payment_provider import routing


def deposits_scan() -> None:
    """Follow every chain that a provider of ours scans."""
    for provider in routing.scanning_providers():
        services.deposits_scan(provider.pk)


def deposits_expire() -> None:
    """Close deposits that the chain dropped for good."""
    services.deposits_expire()


def screenings_sweep() -> None:
    """Ask about money that waits for its analysis, and settle what was answered."""
    services.screenings_sweep()
