"""Which coins pay: branch and bound for a sum without change, else the smallest coin that is enough,
else the largest ones. Whole satoshi throughout.

Branch and bound as Bitcoin Core does it (Erhardt, "An Evaluation of Coin Selection Strategies"): of the
sets whose surplus is smaller than what a change output costs, the one with the least surplus.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from kauri.payment_provider.gateways.btc_settings import KILO

#: Virtual bytes, in quarters: an input of a P2WPKH coin with the longest signature, a P2WPKH output.
INPUT_WEIGHT: Final = 41 * 4 + 1 + 73 + 34
CHANGE_WEIGHT: Final = 31 * 4
#: Version, locktime and two counts (four times), segwit's marker and flag.
FRAME_WEIGHT: Final = (4 + 4 + 3 + 3) * 4 + 2
MAX_INPUTS: Final = 300
_TRIES: Final = 50_000


@dataclass(frozen=True, slots=True)
class Choice:
    """Indexes of the chosen amounts, and whether there is change."""

    indexes: tuple[int, ...]
    change: bool


def fee_for(weight: int, rate: int) -> int:
    """The fee of a transaction of ``weight`` at ``rate`` (satoshi per 1000 virtual bytes), rounded up."""
    return -(-virtual_size(weight) * rate // KILO)


def virtual_size(weight: int) -> int:
    return -(-weight // 4)


def choose(amounts: Sequence[int], target: int, outputs_weight: int, rate: int, dust: int) -> Choice | None:
    """Coins that pay ``target`` and the fee; None when all of them are not enough.

    ``outputs_weight``: of the outputs asked for. Change below ``dust`` is not made: it goes to the fee.
    Coins that cost more to spend than they hold are never taken.
    """
    input_fee = fee_for(INPUT_WEIGHT, rate)
    # Largest first; an input's fee is rounded up for each, so the sum is never below the true fee.
    worth = sorted(
        ((amount - input_fee, index) for index, amount in enumerate(amounts) if amount > input_fee),
        reverse=True,
    )
    need = target + fee_for(FRAME_WEIGHT + outputs_weight, rate)
    change_cost = fee_for(CHANGE_WEIGHT, rate)
    exact = _branch_and_bound([value for value, _ in worth], need, change_cost + dust - 1)
    if exact is not None:
        return Choice(tuple(worth[place][1] for place in exact), change=False)
    enough = need + change_cost + dust
    single = [index for value, index in worth if value >= enough]
    if single:
        return Choice((single[-1],), change=True)
    total, taken = 0, []
    for value, index in worth[:MAX_INPUTS]:
        total += value
        taken.append(index)
        if total >= enough:
            return Choice(tuple(taken), change=True)
    return Choice(tuple(taken), change=False) if total >= need else None


def _branch_and_bound(values: Sequence[int], need: int, surplus: int) -> tuple[int, ...] | None:
    """Places in ``values`` (descending) whose sum is from ``need`` to ``need + surplus``, least surplus first."""
    rest = [0] * (len(values) + 1)  # the sum of all from a place on
    for place in reversed(range(len(values))):
        rest[place] = rest[place + 1] + values[place]
    best: tuple[int, ...] | None = None
    best_surplus = surplus + 1
    chosen: list[int] = []
    total = place = 0
    for _ in range(_TRIES):
        over = total - need
        if 0 <= over < best_surplus:
            best, best_surplus = tuple(chosen), over
        if over >= 0 or total + rest[place] < need or len(chosen) == MAX_INPUTS:
            if not chosen or not best_surplus:
                break
            # Back to the coin taken last, and on without it.
            place = chosen.pop()
            total -= values[place]
        else:
            total += values[place]
            chosen.append(place)
        place += 1
    return best
