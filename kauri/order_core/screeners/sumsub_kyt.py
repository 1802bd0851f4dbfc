"""SumSub's transaction monitoring: a transaction is submitted and read again until its review is completed.

The transaction's ``txnId`` is our own id, so a lost answer is found again by it. Settings:
``currencies`` (ours to ``{"currencyCode": "USDT", "cryptoChain": "ETH"}``), ``level_name``,
``base_url``, ``timeout_seconds``. Credentials: ``app_token``, ``app_secret``. The scale of SumSub's
own ``score`` is not documented: it is kept for people and ours is made of the review alone (GREEN 0,
RED 1). Only money that came is documented, so destinations are not looked at here.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, ClassVar, Final
from urllib.parse import quote

from kauri.common import clock
from kauri.order_core.screener import ConfigError, Finding, Incoming, Level, Question, Screener
from kauri.order_core.screeners import calls

BASE_URL: Final = "https://api.sumsub.com"
_ANSWERS: Final = {"GREEN": (Decimal(0), Level.LOW), "RED": (Decimal(1), Level.SEVERE)}


class SumsubKyt(Screener):
    """Speaks SumSub's REST API for transactions."""

    code: ClassVar[str] = "sumsub_kyt"

    def screen_incoming(self, question: Incoming) -> Finding:
        # A look first, always: whoever asked before us may have lost the answer.
        found = self._call(
            "GET", f"/resources/kyt/txns/-;data.txnId={quote(question.reference, safe='')}/one"
        )
        if found is None:
            level = str(self.config.settings.get("level_name") or "")
            if not level:
                raise ConfigError("level_name is needed")
            path = f"/resources/applicants/-/kyt/txns/-/data?levelName={quote(level, safe='')}"
            found = self._call("POST", path, self._transaction(question))
        return _finding(found)

    def fetch(self, reference: str, question: Question) -> Finding:
        return _finding(self._call("GET", f"/resources/kyt/txns/{quote(reference, safe='')}/one"))

    def _transaction(self, question: Incoming) -> dict[str, Any]:
        coin = calls.named(self.config, question.currency, "currencyCode", "cryptoChain")
        return {
            "txnId": question.reference,
            "txnDate": f"{question.at:%Y-%m-%d %H:%M:%S}+0000",
            "type": "finance",
            "info": {
                "type": "deposit",
                "direction": "in",
                "amount": question.amount,
                "currencyCode": coin["currencyCode"],
                "currencyType": "crypto",
                "paymentTxnId": question.transaction,
                "cryptoParams": {"cryptoChain": coin["cryptoChain"]},
            },
            "applicant": _party(question.customer, question.address),
            "counterparty": _party(question.sender or "unknown", question.sender),
        }

    def _call(self, method: str, target: str, body: dict[str, Any] | None = None) -> Any:
        token = calls.secret(self.config, "app_token")
        if token.startswith("sbx:") != (self.config.environment == "sandbox"):
            raise ConfigError("a sandbox token belongs to the sandbox, and no other does")
        key = calls.secret(self.config, "app_secret")

        def headers(verb: str, path: str, data: bytes) -> dict[str, str]:
            stamp = str(int(clock.now().timestamp()))
            message = stamp.encode() + verb.encode() + path.encode() + data
            signed = hmac.new(key.encode(), message, hashlib.sha256).hexdigest()
            return {"X-App-Token": token, "X-App-Access-Ts": stamp, "X-App-Access-Sig": signed}

        return calls.call(self.config, BASE_URL, method, target, headers, body)


def _party(name: str, address: str) -> dict[str, Any]:
    return {
        "type": "individual",
        "externalUserId": name,
        "fullName": "",
        "paymentMethod": {"type": "crypto", "accountId": address},
    }


def _finding(answer: Any) -> Finding:
    reference = calls.reference_in(answer, "id")
    review: Mapping[str, Any] = calls.inside(answer, "review")
    result = calls.inside(review, "reviewResult")
    kept = {
        "score": answer.get("score"),
        "reviewStatus": review.get("reviewStatus"),
        "reviewAnswer": result.get("reviewAnswer"),
        "rejectLabels": result.get("rejectLabels"),
    }
    if review.get("reviewStatus") != "completed" or result.get("reviewAnswer") not in _ANSWERS:
        return Finding(ready=False, reference=reference, answer=kept)
    score, level = _ANSWERS[str(result["reviewAnswer"])]
    labels = result.get("rejectLabels")
    signals = {str(name)[:64].lower(): Decimal(1) for name in labels} if isinstance(labels, list) else {}
    return Finding(True, reference, score, level, signals, kept)
