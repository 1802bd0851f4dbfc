"""The one place where a destination as a customer writes it becomes the one that is kept and paid."""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal

from kauri.common.errors import KauriError
from kauri.core.models import Currency, Network
from kauri.payment_card.selectors import card_destination, is_token
from kauri.payment_provider import routing
from kauri.payment_provider.gateway import Direction, Rejected


@dataclass(frozen=True, slots=True)
class Kept:
    """A destination in its provider's spelling, and the network that it is on."""

    text: str
    network: Network | None


def told(user_id: int, text: str) -> str:
    """What a provider is told of a destination: itself, or the number of the customer's card that it names.

    Raises ``not_found``, ``card_banned``, ``card_disabled``, ``card_expired``.
    """
    return card_destination(user_id, text) if is_token(text) else text


def planned(currency: Currency, amount: Decimal, network: str, text: str, user_id: int) -> routing.Plan:
    """Who pays ``amount`` there, and the destination's kept spelling: a card's token stays what it is.

    ``routing.plan``'s refusals, and :func:`told`'s.
    """
    plan = routing.plan(currency, amount, network, told(user_id, text))
    return replace(plan, destination=text) if is_token(text) else plan


def kept(currency: Currency, network: str, text: str, user_id: int) -> Kept:
    """The destination as :func:`planned` would keep it, without an amount.

    ``operation_disabled``, ``provider_unavailable``, ``invalid_destination``, and :func:`told`'s.
    """
    _provider, gateway, home = routing.route(currency, Direction.OUT, network)
    try:
        spelling = gateway.validate_destination(currency.code, told(user_id, text))
    except Rejected as exc:
        raise KauriError("invalid_destination", str(exc), fields={"address": str(exc)}) from None
    return Kept(text if is_token(text) else spelling, home)
