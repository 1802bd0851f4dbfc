"""Crystal (Expert API): a transaction is added to the monitor and read again until it is ready.

Settings: ``currencies`` (ours to ``{"currency": "eth", "token_id": 0}``), ``base_url``,
``timeout_seconds``. Credential: ``api_key``. Crystal's ``riskscore`` is 0 to 1 already; it is null
until the status is ``ready``.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any, ClassVar, Final

from kauri.order_core.screener import (
    Finding,
    Incoming,
    Level,
    Outgoing,
    Question,
    Rejected,
    Retryable,
    Screener,
)
from kauri.order_core.screeners import calls

BASE_URL: Final = "https://apiexpert.crystalblockchain.com"
_GRADES: Final = {"low": Level.LOW, "medium": Level.MEDIUM, "high": Level.HIGH, "severe": Level.SEVERE}
_KEPT: Final = (
    "id",
    "status",
    "riskscore",
    "alert_grade",
    "alert_type",
    "flagged",
    "created_at",
    "updated_at",
)


class Crystal(Screener):
    """Speaks Crystal's Expert API."""

    code: ClassVar[str] = "crystal"
    screens_outgoing: ClassVar[bool] = True

    def screen_incoming(self, question: Incoming) -> Finding:
        """Add the transaction; adding it again gives the same look another id, and no other effect."""
        coin = calls.named(self.config, question.currency, "currency", "token_id")
        body = {
            "direction": "deposit",
            "address": question.address,
            "tx": question.transaction,
            "name": question.customer,
            "currency": coin["currency"],
            "token_id": coin["token_id"],
        }
        return self._finding(self._call("/monitor/tx/add", body))

    def screen_outgoing(self, question: Outgoing) -> Finding:
        coin = calls.named(self.config, question.currency, "currency")
        body = {"address": question.destination, "currency": coin["currency"]}
        return self._finding(self._call("/monitor/one-time-check", body))

    def fetch(self, reference: str, question: Question) -> Finding:
        if isinstance(question, Outgoing):
            # A one-time check is no part of the monitor: it is asked anew.
            return self.screen_outgoing(question)
        return self._finding(self._call("/monitor/batch/txs", {"filter": {"id": reference}}))

    def _call(self, path: str, body: dict[str, Any]) -> Any:
        key = calls.secret(self.config, "api_key")
        answer = calls.call(self.config, BASE_URL, "POST", path, lambda *_: {"X-Auth-Apikey": key}, body)
        code = calls.inside(answer, "meta").get("error_code", 0)
        if code:
            raise Rejected(f"error {code}" if isinstance(code, int) else "an error without a number")
        data = answer.get("data") if isinstance(answer, dict) else None
        row = data[0] if isinstance(data, list) and data else data
        if not isinstance(row, dict):
            raise Retryable("the answer has no data")
        return row

    def _finding(self, row: dict[str, Any]) -> Finding:
        reference = calls.reference_in(row, "id")
        kept: dict[str, Any] = {name: row[name] for name in _KEPT if name in row}
        score = calls.share(row.get("riskscore"))
        if row.get("status") != "ready" or score is None:
            return Finding(ready=False, reference=reference, answer=kept)
        signals = {
            str(name)[:64]: found
            for name, value in calls.inside(row, "signals").items()
            if (found := calls.share(value)) is not None
        }
        level = _GRADES.get(str(row.get("alert_grade")))
        return Finding(True, reference, score, level or _by_score(score), signals, kept)


def _by_score(score: Decimal) -> Level:
    """Where Crystal gives no grade."""
    steps = ((Decimal("0.75"), Level.SEVERE), (Decimal("0.5"), Level.HIGH), (Decimal("0.25"), Level.MEDIUM))
    return next((level for bound, level in steps if score >= bound), Level.LOW)
