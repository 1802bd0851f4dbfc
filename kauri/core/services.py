"""The house's own upkeep: heartbeats, and the record of schedules."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta

from django.db import transaction

from kauri.common import clock
from kauri.common.errors import KauriError
from kauri.common.locks import lock
from kauri.core.models import Currency, Heartbeat, IdempotencyRecord, ScheduleRun

#: Longer than any client retries; the orders themselves remember their external ids for ever.
IDEMPOTENCY_LIFE = timedelta(days=7)


def heartbeat(cluster: str) -> None:
    """A worker of ``cluster`` is alive: it ran this."""
    now = clock.now()
    Heartbeat.objects.update_or_create(cluster=cluster, defaults={"at": now})
    ScheduleRun.objects.filter(name=f"heartbeat:{cluster}").update(finished_at=now)


def schedule_due(name: str, interval: timedelta, now: datetime) -> bool:
    """Mark ``name`` as enqueued when its time has come and its last run has ended.

    A run that never ended (its task was lost) is given up after ten intervals, at least 2 minutes.
    """
    with transaction.atomic():
        ScheduleRun.objects.get_or_create(name=name)
        run = lock(ScheduleRun.objects.filter(name=name)).get()
        if run.enqueued_at is not None:
            if now < run.enqueued_at + interval:
                return False
            running = run.finished_at is None or run.finished_at < run.enqueued_at
            if running and now < run.enqueued_at + max(interval * 10, timedelta(minutes=2)):
                return False
        run.enqueued_at = now
        run.save(update_fields=["enqueued_at"])
        return True


@contextmanager
def schedule_run(name: str) -> Iterator[None]:
    """Record how a scheduled run ended; the error goes on to the caller."""
    try:
        yield
    except Exception as exc:
        ScheduleRun.objects.filter(name=name).update(
            finished_at=clock.now(), error=f"{type(exc).__name__}: {exc}"[:2000]
        )
        raise
    ScheduleRun.objects.filter(name=name).update(finished_at=clock.now(), error="")


def idempotency_forget() -> int:
    """Delete stored answers that nobody asks for any more."""
    deleted, _ = IdempotencyRecord.objects.filter(created_at__lt=clock.now() - IDEMPOTENCY_LIFE).delete()
    return deleted


def currency_by_code(code: str) -> Currency:
    """The currency, or ``validation_error`` naming the field."""
    currency = Currency.objects.filter(code=code.strip().upper()).first()
    if currency is None:
        raise KauriError("validation_error", fields={"currency": "unknown currency"})
    return currency
