"""What the ``wallet`` queue does."""

from __future__ import annotations

from kauri.payment_provider import routing
from kauri.wallet import services


def pool_fill() -> None:
    """Make spare addresses ahead for every scanning provider."""
    for provider in routing.scanning_providers():
        services.pool_fill(provider.pk)
