"""Row locks, taken in one order: the order row first, ledger accounts after it and last."""

from __future__ import annotations

import hashlib

from django.db import connection, models


def lock[M: models.Model](queryset: models.QuerySet[M]) -> models.QuerySet[M]:
    """``queryset`` with ``FOR NO KEY UPDATE OF self`` in primary key order; needs a transaction.

    No-key locks do not block the foreign key checks of other transactions.
    """
    return queryset.select_for_update(of=("self",), no_key=True).order_by("pk")


def claim[M: models.Model](queryset: models.QuerySet[M], limit: int = 1) -> list[M]:
    """Lock up to ``limit`` rows that nobody else holds (``SKIP LOCKED``); needs a transaction."""
    return list(queryset.select_for_update(of=("self",), no_key=True, skip_locked=True)[:limit])


def try_advisory(*parts: object) -> bool:
    """Take a transaction-long advisory lock named by ``parts``; False if another session has it."""
    digest = hashlib.sha256(":".join(str(part) for part in parts).encode()).digest()
    with connection.cursor() as cursor:
        cursor.execute(
            "select pg_try_advisory_xact_lock(%s)",
            [int.from_bytes(digest[:8], "big", signed=True)],
        )
        row = cursor.fetchone()
    return bool(row and row[0])
