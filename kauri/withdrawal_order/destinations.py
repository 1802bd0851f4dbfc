"""The one place where a destination as a customer writes it becomes the one that is kept, shown and paid.

An address is kept in its provider's spelling. A card is kept by its token; a card's number that a customer
writes by itself is kept sealed and named by its fingerprint: nothing that is shown or logged has it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Final

from kauri.common.errors import KauriError
from kauri.core.models import Currency, Network
from kauri.payment_card import numbers
from kauri.payment_card.fingerprints import fingerprints
from kauri.payment_card.selectors import ban_on, card_destination, is_token, masked
from kauri.payment_provider import routing
from kauri.payment_provider.gateway import Direction, Rejected

NUMBER_PREFIX: Final = "pan_"


@dataclass(frozen=True, slots=True)
class Target:
    """``kept`` is stored, ``told`` goes to the provider only; a card has a ``mask``, a bare number is ``sealed``."""

    kept: str
    told: str
    mask: str = ""
    sealed: str = ""


@dataclass(frozen=True, slots=True)
class Kept:
    """A destination in its provider's spelling, and the network that it is on."""

    text: str
    network: Network | None


def target(user_id: int, text: str) -> Target:
    """What a customer's words name. Raises ``not_found``, ``card_banned``, ``card_disabled``, ``card_expired``."""
    if is_token(text):
        return Target(text, card_destination(user_id, text), masked(text))
    digits = numbers.digits_of(text)
    if digits is None or not numbers.luhn(digits) or numbers.scheme_of(digits) is None:
        return Target(text, text)
    number = numbers.parse(digits)
    return Target(
        NUMBER_PREFIX + _allowed(number.digits), number.digits, f"{number.first6}******{number.last4}", digits
    )


def told(user_id: int, kept: str, sealed: str) -> str:
    """What a provider is told of a kept destination, as things stand now. :func:`target`'s refusals."""
    if is_token(kept):
        return card_destination(user_id, kept)
    if kept.startswith(NUMBER_PREFIX):
        _allowed(sealed)
        return sealed
    return kept


def is_hidden(kept: str) -> bool:
    """Whether a kept destination only names what the provider is told."""
    return is_token(kept) or kept.startswith(NUMBER_PREFIX)


def planned(currency: Currency, amount: Decimal, network: str, wanted: Target) -> routing.Plan:
    """Who pays ``amount`` there, with the destination as it is kept (``routing.plan``'s refusals)."""
    plan = routing.plan(currency, amount, network, wanted.told)
    return replace(plan, destination=wanted.kept) if wanted.mask else plan


def kept(currency: Currency, network: str, text: str, user_id: int) -> Kept:
    """The destination as an address book keeps it. A card is saved by its token, never by its number.

    ``operation_disabled``, ``provider_unavailable``, ``invalid_destination``, and :func:`target`'s.
    """
    _provider, gateway, home = routing.route(currency, Direction.OUT, network)
    wanted = target(user_id, text)
    if wanted.sealed:
        why = "a card is saved among the cards, and named by its token"
        raise KauriError("invalid_destination", why, fields={"address": why})
    try:
        spelling = gateway.validate_destination(currency.code, wanted.told)
    except Rejected as exc:
        raise KauriError("invalid_destination", str(exc), fields={"address": str(exc)}) from None
    return Kept(wanted.kept if wanted.mask else spelling, home)


def _allowed(digits: str) -> str:
    """The fingerprint of a number that may be paid to; ``card_banned``."""
    found = fingerprints(digits)
    if ban_on(found) is not None:
        raise KauriError("card_banned")
    return found.number
