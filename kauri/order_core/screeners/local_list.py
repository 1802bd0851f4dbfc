"""Our own list: addresses that the house deals with only after a look, or never.

The list comes in by the provider's settings, which are versioned with author and reason; an adapter
knows no tables. ``addresses`` maps an address to ``{"category": "sanctions", "score": "1"}``. An
address on the list scores what it says (1 where it says nothing), any other 0. Chains whose addresses
differ by case alone do not exist among ours, so case is not looked at.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, ClassVar, Final

from kauri.order_core.screener import ConfigError, Finding, Incoming, Level, Outgoing, Screener
from kauri.order_core.screeners import calls

_STEPS: Final = (
    (Decimal("0.9"), Level.SEVERE),
    (Decimal("0.7"), Level.HIGH),
    (Decimal("0.3"), Level.MEDIUM),
)


class LocalList(Screener):
    """Looks into the list; asks nobody."""

    code: ClassVar[str] = "local_list"
    screens_outgoing: ClassVar[bool] = True

    def screen_incoming(self, question: Incoming) -> Finding:
        return self._look(question.sender)

    def screen_outgoing(self, question: Outgoing) -> Finding:
        return self._look(question.destination)

    def _look(self, address: str) -> Finding:
        found = self._list().get(address.strip().lower()) if address else None
        if found is None:
            return Finding(ready=True, reference="list", score=Decimal(0), level=Level.LOW)
        score = calls.share(found.get("score", 1))
        if score is None:
            raise ConfigError("a score of the list is from 0 to 1")
        category = str(found.get("category") or "listed")[:64]
        level = next((name for bound, name in _STEPS if score >= bound), Level.LOW)
        return Finding(
            ready=True,
            reference="list",
            score=score,
            level=level,
            signals={category: score},
            answer={"address": address, "category": category},
        )

    def _list(self) -> dict[str, Mapping[str, Any]]:
        given = self.config.settings.get("addresses")
        if not isinstance(given, dict) or not all(isinstance(row, dict) for row in given.values()):
            raise ConfigError("addresses must map an address to its category and score")
        return {str(address).strip().lower(): row for address, row in given.items()}
