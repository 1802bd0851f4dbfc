"""What a message from outside did to our rows."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class EffectKind(enum.StrEnum):
    DONE = "done"  # it changed something
    REPEATED = "repeated"  # it had been done before
    NOTHING = "nothing"  # there was nothing to do


@dataclass(frozen=True, slots=True)
class Effect:
    """The kind of effect, and the same in words for people."""

    kind: EffectKind
    text: str
