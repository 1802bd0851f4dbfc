"""What the ``wallet`` queue does."""

from __future__ import annotations

from kauri.payment_provider import routing, sending
from kauri.payment_provider import services as payouts
from kauri.wallet import foreign, reconciling, services, sweeping
from kauri.wallet.models import Sweep


def pool_fill() -> None:
    """Make spare addresses ahead for every scanning provider."""
    for provider in routing.scanning_providers():
        services.pool_fill(provider.pk)


def reconcile() -> None:
    """Compare every chain with rows and books."""
    for provider in routing.scanning_providers():
        reconciling.reconcile(provider.pk)


def foreign_watch() -> None:
    """Look for tokens that are none of ours, where a provider asks for it."""
    for provider in routing.scanning_providers():
        foreign.foreign_watch(provider.pk)


def sweeps_run() -> None:
    """Plan what is to be emptied, and go on with what is under way."""
    for provider in routing.scanning_providers():
        sweeping.hot_watch(provider.pk)
        sweeping.sweeps_plan(provider.pk)
    for pk in sending.due_ids(Sweep):
        sweeping.sweep_advance(pk)
    for pk in payouts.due_payouts(own=True):
        sweeping.cold_advance(pk)
