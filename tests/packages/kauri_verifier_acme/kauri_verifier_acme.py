"""A verification provider of an installation's own choice, as its package would bring it."""

from __future__ import annotations

import hmac
import json
from datetime import timedelta
from typing import ClassVar

from kauri.account.verifier import (
    Entrance,
    EntranceKind,
    Health,
    Hint,
    Invalid,
    RawWebhook,
    Started,
    StartRequest,
    StatusReport,
    Verdict,
    Verifier,
    WebhookMeaning,
)
from kauri.common import clock

#: What Acme's people have found out, by our reference.
FOUND: dict[str, Verdict] = {}


class Acme(Verifier):
    """Verifies by looking at people."""

    code: ClassVar[str] = "acme"

    def levels(self) -> tuple[int, ...]:
        return (1, 2)

    def check_health(self) -> Health:
        return Health(ok=True, detail="open")

    def start(self, request: StartRequest) -> Started:
        url = f"https://acme.example/look/{request.reference}"
        entrance = Entrance(EntranceKind.LINK, url, clock.now() + timedelta(hours=1))
        return Started(f"acme-{request.reference}", entrance)

    def fetch_status(self, request: StartRequest, provider_reference: str) -> StatusReport:
        verdict = FOUND.get(request.reference, Verdict.WAITING)
        return StatusReport(verdict, provider_reference, answer={"looked": True})

    def parse_webhook(self, raw: RawWebhook) -> WebhookMeaning:
        given = raw.headers.get("x-acme-key", "")
        if not hmac.compare_digest(given.encode(), self.config.credentials["key"].encode()):
            return Invalid("not Acme's key")
        return Hint(str(json.loads(raw.body)["who"]))


class Impostor(Acme):
    """Calls itself by the name of an adapter of the house."""

    code: ClassVar[str] = "impostor"


NOT_A_CLASS = "acme"
