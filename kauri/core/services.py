"""The house's own upkeep: heartbeats, the record of schedules, and the keys to its providers."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta

from django.db import transaction

from kauri.common import clock
from kauri.common.actor import Actor
from kauri.common.errors import KauriError
from kauri.common.locks import lock
from kauri.core import proposals
from kauri.core.again import code_again, operator_code
from kauri.core.audit import audit
from kauri.core.models import Currency, Heartbeat, IdempotencyRecord, Provider, ScheduleRun

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


def credentials_set(
    *, provider_id: int, credentials: Mapping[str, str], reason: str, code: str, actor: Actor
) -> Provider:
    """Store these credentials of a provider in the place of all that it has; asks for the code again.

    Raises ``forbidden``, ``not_found``, ``validation_error`` (no reason), ``totp_required``,
    ``totp_invalid``, ``rate_limited``.
    """
    guard = code_again(actor, code, "credentials_set", object_type="provider", object_id=provider_id)
    with guard, transaction.atomic():
        proposals.require(actor, "core.change_provider")
        if not reason.strip():
            raise KauriError("validation_error", fields={"reason": "required"})
        provider = lock(Provider.objects.filter(pk=provider_id)).first()
        if provider is None:
            raise KauriError("not_found")
        operator_code(actor, code)
        before = sorted(provider.credentials)
        provider.credentials_secret = json.dumps(dict(credentials))
        provider._change_reason = reason.strip()  # type: ignore[attr-defined]
        provider.save(update_fields=["credentials_secret"])
        audit(
            actor,
            "credentials_set",
            object_type="provider",
            object_id=provider.pk,
            label=provider.code,
            before={"credentials": before},
            after={"credentials": sorted(credentials)},
            reason=reason.strip(),
        )
        return provider
