"""Reading what providers' rows say."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation

from kauri.core.models import Network, Provider

MOST_CONFIRMATIONS = 10_000


def confirmations_needed(provider: Provider, network: Network | None, amount: Decimal) -> int:
    """How deep a transfer of ``amount`` must lie in the chain before it counts.

    The provider's setting ``confirmations_by_amount`` lists ``[amount, confirmations]``, amounts rising:
    the first line whose amount is not below ours counts; ``null`` stands for any amount. Without the
    setting, or a line that fits, it is the network's figure; 1 without a network. A list that can't be
    read counts as its strictest legible line, and never less than the network's figure.
    """
    usual = network.confirmations if network else 1
    lines = provider.settings.get("confirmations_by_amount")
    if not lines:
        return usual
    try:
        table = [(None if top is None else Decimal(str(top)), _depth(depth)) for top, depth in lines]
    except (TypeError, ValueError, InvalidOperation):
        return max([usual, *_legible(lines)])
    for top, depth in table:
        if top is None or amount <= top:
            return depth
    return max([usual, *(depth for _, depth in table)])


def _depth(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MOST_CONFIRMATIONS:
        raise ValueError("confirmations are a whole number from 1")
    return value


def _legible(lines: object) -> list[int]:
    found = []
    for line in lines if isinstance(lines, list) else []:
        value = line[-1] if isinstance(line, list) and line else None
        if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= MOST_CONFIRMATIONS:
            found.append(value)
    return found
