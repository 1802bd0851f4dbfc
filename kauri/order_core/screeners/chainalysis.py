"""Chainalysis KYT, version 2: a transfer is registered, processed for some seconds, then its alerts are read.

Settings: ``currencies`` (ours to ``{"network": "Ethereum", "asset": "USDT"}``), ``base_url``,
``timeout_seconds``. Credential: ``token``. Chainalysis gives alerts with levels instead of a score:
the worst of them makes ours (SEVERE 1, HIGH 0.75, MEDIUM 0.5, LOW 0.25, none 0). An alert with a
level that we do not know counts as the worst.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any, ClassVar, Final
from urllib.parse import quote

from kauri.common import clock
from kauri.order_core.screener import (
    Finding,
    Incoming,
    Level,
    Outgoing,
    Question,
    Retryable,
    Screener,
)
from kauri.order_core.screeners import calls

BASE_URL: Final = "https://api.chainalysis.com/api/kyt"
_SCORES: Final = {
    "LOW": (Decimal("0.25"), Level.LOW),
    "MEDIUM": (Decimal("0.5"), Level.MEDIUM),
    "HIGH": (Decimal("0.75"), Level.HIGH),
    "SEVERE": (Decimal(1), Level.SEVERE),
}
_WORST: Final = _SCORES["SEVERE"]
_KEPT: Final = ("alertLevel", "category", "service", "externalId", "exposureType")


class Chainalysis(Screener):
    """Speaks the KYT API."""

    code: ClassVar[str] = "chainalysis"
    screens_outgoing: ClassVar[bool] = True

    def screen_incoming(self, question: Incoming) -> Finding:
        coin = calls.named(self.config, question.currency, "network", "asset")
        body = {
            "network": coin["network"],
            "asset": coin["asset"],
            "transferReference": f"{question.transaction}:{question.address}",
            "direction": "received",
            "transferTimestamp": clock.iso(question.at),
            "assetAmount": question.amount,
            **_worth(question),
        }
        answer = self._call("POST", f"/v2/users/{quote(question.customer, safe='')}/transfers", body)
        return Finding(ready=False, reference=calls.reference_in(answer, "externalId"))

    def screen_outgoing(self, question: Outgoing) -> Finding:
        coin = calls.named(self.config, question.currency, "network", "asset")
        body = {
            "network": coin["network"],
            "asset": coin["asset"],
            "address": question.destination,
            "attemptIdentifier": question.reference,
            "assetAmount": question.amount,
            "attemptTimestamp": clock.iso(question.at),
            **_worth(question),
        }
        customer = quote(question.customer, safe="")
        answer = self._call("POST", f"/v2/users/{customer}/withdrawal-attempts", body)
        return Finding(ready=False, reference=calls.reference_in(answer, "externalId"))

    def fetch(self, reference: str, question: Question) -> Finding:
        kind = "transfers" if isinstance(question, Incoming) else "withdrawal-attempts"
        path = f"/v2/{kind}/{quote(reference, safe='')}"
        state = self._call("GET", path)
        if not (isinstance(state, dict) and state.get("updatedAt")):
            return Finding(ready=False, reference=reference)
        alerts = self._call("GET", f"{path}/alerts")
        rows = alerts.get("alerts") if isinstance(alerts, dict) else None
        if not isinstance(rows, list):
            raise Retryable("the answer has no alerts")
        return _finding(reference, [row for row in rows if isinstance(row, dict)])

    def _call(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        token = calls.secret(self.config, "token")
        return calls.call(self.config, BASE_URL, method, path, lambda *_: {"Token": token}, body)


def _worth(question: Question) -> dict[str, Any]:
    if question.price is None:
        return {}
    return {"assetPrice": question.price, "assetDenomination": "USD"}


def _finding(reference: str, alerts: list[dict[str, Any]]) -> Finding:
    signals: dict[str, Decimal] = {}
    worst = (Decimal(0), Level.LOW)
    for alert in alerts:
        found = _SCORES.get(str(alert.get("alertLevel")).upper(), _WORST)
        worst = max(worst, found, key=lambda pair: pair[0])
        name = str(alert.get("category") or "alert").lower()[:64]
        signals[name] = max(signals.get(name, Decimal(0)), found[0])
    kept = [{name: alert[name] for name in _KEPT if name in alert} for alert in alerts[:20]]
    return Finding(True, reference, worst[0], worst[1], signals, {"alerts": kept})
