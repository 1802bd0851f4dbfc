"""The channel port: what sending one message can come to."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from datetime import timedelta


class Verdict(enum.StrEnum):
    DELIVERED = "delivered"
    RETRY = "retry"
    GONE = "gone"  # the receiver asks never to be called again
    REFUSED = "refused"  # final: another try would end alike


@dataclass(frozen=True, slots=True)
class Result:
    """What one try came to. ``answer`` is the first bytes of what came back, ``receipt`` the message's name there."""

    verdict: Verdict
    status: int | None = None
    answer: str = ""
    error: str = ""
    retry_after: timedelta | None = None
    receipt: str = ""
