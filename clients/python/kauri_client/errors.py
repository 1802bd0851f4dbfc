"""What can go wrong, by what the caller may conclude from it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class KauriClientError(Exception):
    """The base of all of them."""


class Refused(KauriClientError):
    """The API said no, and nothing was done. ``code`` is stable (``insufficient_funds``, …)."""

    def __init__(self, status: int, body: Mapping[str, Any]) -> None:
        self.status = status
        self.code = str(body.get("code", ""))
        self.detail = str(body.get("detail") or body.get("error") or "")
        self.field_errors = dict(body.get("field_errors") or {})
        self.request_id = str(body.get("request_id", ""))
        super().__init__(f"{status} {self.code}: {self.detail}")


class Unavailable(KauriClientError):
    """No answer to a call that changes nothing, after all tries."""


class OutcomeUnknown(KauriClientError):
    """No answer to a call that may have been done. Ask again with the same ``idempotency_key`` to learn it."""

    def __init__(self, idempotency_key: str, reason: str) -> None:
        self.idempotency_key = idempotency_key
        super().__init__(f"no answer ({reason}); ask again with the idempotency key {idempotency_key}")


class InvalidWebhook(KauriClientError):
    """Not signed by this secret, too old, or no JSON: don't act on it."""
