"""What the workers ask for: the same steps for the same seed, however often a worker is started again."""

from __future__ import annotations

import random
from dataclasses import dataclass

PEOPLE = 6
KINDS = {"move": 27, "post": 25, "chain": 33, "withdraw": 8, "roll": 7}
#: Of a real withdrawal: more than its policy's minimum.
LEAST_WITHDRAWAL = 50_00


@dataclass(frozen=True, slots=True)
class Step:
    """One request of a client. ``name`` is its key, and what its order or transfer is known by."""

    name: str
    kind: str
    who: int = 0
    to: int = 0
    cents: int = 0
    #: The step that made the hold or the order that this one ends.
    of: str = ""


def scenario(seed: int, worker: int, number: int) -> list[Step]:
    """Steps that follow each other; the first one's refusal ends them."""
    chance = random.Random(f"{seed}:{worker}:{number}")
    kind = chance.choices(list(KINDS), weights=list(KINDS.values()))[0]
    name = f"{kind}-{worker}-{number}"
    who = chance.randrange(PEOPLE)
    if kind == "move":
        to = (who + chance.randrange(1, PEOPLE)) % PEOPLE
        return [Step(name, "move", who, to, chance.randrange(10_00, 90_00))]
    if kind == "post":
        return [Step(name, "post", who, cents=chance.choice((-30_00, 40_00, 100_00)) + chance.randrange(99))]
    if kind == "withdraw":
        steps = [Step(name, "withdraw", who, cents=LEAST_WITHDRAWAL + chance.randrange(10_00))]
        if chance.random() < 2 / 3:
            steps.append(Step(f"{name}-no", "reject", who, of=name))
        return steps
    if kind == "chain":
        whole = chance.randrange(2_00, 80_00)
        part = chance.choice((whole, chance.randrange(1_00, whole)))
        steps = [Step(name, "hold", who, cents=whole), Step(f"{name}-1", "capture", who, cents=part, of=name)]
        if part < whole:
            last = chance.choice(("capture", "release"))
            steps.append(Step(f"{name}-2", last, who, cents=whole - part, of=name))
        return steps
    return [Step(name, "roll")]
