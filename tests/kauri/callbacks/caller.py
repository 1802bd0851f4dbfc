"""What a payment system says, and how it says it."""

from __future__ import annotations

import json
import time
from typing import Any

from django.test import Client

from kauri.callbacks import services
from kauri.callbacks.models import InboundCallback
from kauri.common import clock
from kauri.core.models import Provider
from kauri.payment_provider.gateways.sandbox import sign_callback
from tests.moves import (
    SANDBOX_SECRET,
)

PATH = "/callbacks/sandbox"


def message(reference: object, **fields: Any) -> bytes:
    body = {
        "event": "payin",
        "reference": str(reference),
        "provider_reference": "sbx-1",
        "status": "success",
        "currency": "UAH",
        "amount": "150.00",
        "timestamp": int(time.time()),
        **fields,
    }
    return json.dumps(body).encode()


def tell(http: Client, body: bytes, path: str = PATH, **headers: str) -> Any:
    try:
        stamp = json.loads(body)["timestamp"]
    except (ValueError, KeyError):
        stamp = 0
    signed = {"X-Sandbox-Signature": sign_callback(SANDBOX_SECRET, body, stamp), **headers}
    return http.generic("POST", path, body, content_type="application/json", headers=signed)


def only() -> InboundCallback:
    return InboundCallback.objects.get()


def process_until_left(row: InboundCallback) -> list[int]:
    """Try as the sweeper does; the seconds waited between tries."""
    Provider.objects.filter(code="sandbox").update(settings={"max_callback_age_seconds": 10**6})
    waits = []
    moment = clock.now()
    for _ in range(20):
        with clock.standing_at(moment):
            if services.callbacks_sweep() == 0:
                break
            services.callback_process(row.pk)
        row.refresh_from_db()
        if row.state != "stored":
            break
        waits.append(int((row.next_attempt_at - moment).total_seconds()))
        moment = row.next_attempt_at
    return waits
