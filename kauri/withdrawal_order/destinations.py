"""The one place where a destination as a customer writes it becomes the one that is kept and paid."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from kauri.common.errors import KauriError
from kauri.core.models import Currency, Network
from kauri.payment_provider import routing
from kauri.payment_provider.gateway import Direction, Rejected


@dataclass(frozen=True, slots=True)
class Kept:
    """A destination in its provider's spelling, and the network that it is on."""

    text: str
    network: Network | None


def planned(currency: Currency, amount: Decimal, network: str, text: str) -> routing.Plan:
    """Who pays ``amount`` there, and the destination's kept spelling (``routing.plan``'s refusals)."""
    return routing.plan(currency, amount, network, text)


def kept(currency: Currency, network: str, text: str) -> Kept:
    """The destination as :func:`planned` would keep it, without an amount.

    ``operation_disabled``, ``provider_unavailable``, ``invalid_destination``.
    """
    _provider, gateway, home = routing.route(currency, Direction.OUT, network)
    try:
        return Kept(gateway.validate_destination(currency.code, text), home)
    except Rejected as exc:
        raise KauriError("invalid_destination", str(exc), fields={"address": str(exc)}) from None
