"""Row locks, taken in one order: the order row first, ledger accounts after it and last.

What may be tried again, and how often, is said here too (:func:`retried`).
"""

from __future__ import annotations

import hashlib
import random
import time
from collections.abc import Callable
from typing import Final

from django.db import DatabaseError, InterfaceError, OperationalError, connection, models

#: Deadlock, serialization failure, lock time-out: the transaction was rolled back whole.
_ROLLED_BACK: Final = frozenset({"40P01", "40001", "55P03"})
_PAUSE_SECONDS: Final = (0.02, 0.1)


def retried[T](run: Callable[[], T], tries: int = 3) -> T:
    """Call ``run`` again when its transaction was lost to a deadlock, a lock time-out or a dead connection.

    ``run`` opens the outermost transaction itself and must be idempotent by a key of its own: after
    a connection lost in COMMIT nobody knows whether it took effect, and the second call finds out.
    Nothing else is tried again: the last error goes to the caller as it came. Inside somebody's
    transaction ``run`` runs once: only the outermost may be tried again.
    """
    if connection.in_atomic_block:
        return run()
    for left in reversed(range(tries)):
        try:
            return run()
        except DatabaseError as exc:
            if not left or not _may_pass(exc):
                raise
        except InterfaceError:
            # Django's own word for a connection that is gone.
            if not left:
                raise
        if connection.errors_occurred or not connection.is_usable():
            connection.close()
        # Not a secret: only so that two who met once do not meet again.
        time.sleep(random.uniform(*_PAUSE_SECONDS))  # noqa: S311
    raise AssertionError("the last try returns or raises")


def _may_pass(exc: DatabaseError) -> bool:
    state = getattr(exc.__cause__, "sqlstate", None)
    if state in _ROLLED_BACK:
        return True
    lost = state is None or state.startswith(("08", "57P"))
    return isinstance(exc, OperationalError) and lost


def lock[M: models.Model](queryset: models.QuerySet[M]) -> models.QuerySet[M]:
    """``queryset`` with ``FOR NO KEY UPDATE OF self`` in primary key order; needs a transaction.

    No-key locks do not block the foreign key checks of other transactions.
    """
    return queryset.select_for_update(of=("self",), no_key=True).order_by("pk")


def claim[M: models.Model](queryset: models.QuerySet[M], limit: int = 1) -> list[M]:
    """Lock up to ``limit`` rows that nobody else holds (``SKIP LOCKED``); needs a transaction."""
    return list(queryset.select_for_update(of=("self",), no_key=True, skip_locked=True)[:limit])


def advisory(*parts: object) -> None:
    """Wait for the transaction-long advisory lock named by ``parts``."""
    digest = hashlib.sha256(":".join(str(part) for part in parts).encode()).digest()
    with connection.cursor() as cursor:
        cursor.execute("select pg_advisory_xact_lock(%s)", [int.from_bytes(digest[:8], "big", signed=True)])


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
