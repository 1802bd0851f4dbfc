"""What the ``payment_provider`` queue does."""

from __future__ import annotations

from kauri.core.models import Provider
from kauri.payment_provider import services


def health_check() -> None:
    """Ask every enabled payment provider how it is."""
    for provider in Provider.objects.filter(kind=Provider.Kind.PAYMENT, is_enabled=True):
        services.health_check(provider.pk)
