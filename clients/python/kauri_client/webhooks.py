"""Webhooks: signed as Standard Webhooks says."""

from __future__ import annotations

import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from kauri_client.errors import InvalidWebhook


def read_webhook(body: bytes, headers: Mapping[str, str], secret: str) -> dict[str, Any]:
    """The event in ``body``, the bytes as they came; amounts are Decimal.

    ``secret`` is the account's ``whsec_…``. The header ``webhook-id`` stays the same when a delivery
    is repeated: keep it to handle each event once. Raises :class:`InvalidWebhook`.
    """
    try:
        Webhook(secret).verify(body, {name.lower(): value for name, value in headers.items()})
        event = json.loads(body, parse_float=Decimal)
    except (WebhookVerificationError, ValueError) as exc:
        raise InvalidWebhook(str(exc)) from None
    if not isinstance(event, dict):
        raise InvalidWebhook("the body is no JSON object")
    return event
