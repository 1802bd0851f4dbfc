"""What enters the house: stored raw, answered, and processed later, with at most one effect."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from django.db import transaction

from kauri.account.selectors import require_permission, require_scope
from kauri.callbacks import dispatch
from kauri.callbacks.models import InboundCallback
from kauri.common import clock
from kauri.common.actor import Actor
from kauri.common.effects import EffectKind
from kauri.common.errors import KauriError
from kauri.common.locks import claim, lock
from kauri.common.tasks import enqueue
from kauri.core.audit import audit
from kauri.core.models import Provider
from kauri.core.outbox import emit
from kauri.payment_provider.gateway import GatewayError, Invalid, RawCallback, Reply

logger = logging.getLogger(__name__)

TASK: Final = "kauri.callbacks.tasks.callback_process"
LEASE: Final = timedelta(seconds=60)
MAX_ATTEMPTS: Final = 8
#: Headers that are kept: what signatures and people need, no cookies or proxy secrets.
DROPPED_HEADERS: Final = frozenset({"cookie", "proxy-authorization"})


_STATES: Final = {
    EffectKind.DONE: InboundCallback.State.PROCESSED,
    EffectKind.REPEATED: InboundCallback.State.DUPLICATE,
    EffectKind.NOTHING: InboundCallback.State.IGNORED,
}


@dataclass(frozen=True, slots=True)
class Incoming:
    """One HTTP call as it came."""

    provider_code: str
    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes
    remote_addr: str


def callback_store(incoming: Incoming) -> Reply:
    """Keep the call for good, then say what to answer. The answer never depends on the effect.

    An unknown provider's call is kept too, apart, and answered 404. A call that our own code can't
    read now is kept and tried again; its sender hears 503.
    """
    provider = Provider.objects.filter(code=incoming.provider_code, kind__in=dispatch.KINDS).first()
    with transaction.atomic():
        row = InboundCallback.objects.create(
            provider_code=incoming.provider_code[:32],
            method=incoming.method[:8],
            path=incoming.path[:300],
            query=incoming.query,
            headers={k.lower(): v for k, v in incoming.headers.items() if k.lower() not in DROPPED_HEADERS},
            body=incoming.body,
            remote_addr=incoming.remote_addr or None,
            state=InboundCallback.State.INVALID if provider is None else InboundCallback.State.STORED,
            outcome="unknown provider" if provider is None else "",
            reply_status=404 if provider is None else 503,
        )
        if provider is None:
            return Reply(status=404, body='{"status":"error"}')
        enqueue(TASK, row.pk)
    # Stored for good: from here on nothing that breaks can lose it.
    try:
        reply, fault = dispatch.answer(provider, raw_of(row))
    except Exception:
        logger.exception("a callback of %s could not be read", provider.code)
        return Reply(status=503, body='{"status":"error"}')
    changes: dict[str, object] = {"reply_status": reply.status}
    if fault:
        changes |= {"state": InboundCallback.State.INVALID, "outcome": fault[:300]}
    InboundCallback.objects.filter(pk=row.pk).update(**changes)
    return reply


def callback_process(callback_id: int) -> None:
    """Give a stored call its effect, at most once; a failure is kept and tried again, then left."""
    row = _claimed(callback_id)
    if row is None:
        return
    provider = Provider.objects.filter(code=row.provider_code).first()
    if provider is None:
        _finish(row, InboundCallback.State.INVALID, "unknown provider")
        return
    try:
        effect = dispatch.process(provider, raw_of(row))
    except Exception as exc:
        # Whatever broke: the call is kept, tried again, and shown to a person in the end.
        if not isinstance(exc, (KauriError, GatewayError, *dispatch.EXPECTED)):
            logger.exception("a callback of %s failed", row.provider_code)
        _retry_or_leave(row, f"{type(exc).__name__}: {exc}")
        return
    if isinstance(effect, Invalid):
        _finish(row, InboundCallback.State.INVALID, effect.reason)
    else:
        _finish(row, _STATES[effect.kind], effect.text)


@transaction.atomic
def callback_replay(*, callback_id: int, actor: Actor) -> InboundCallback:
    """Process a stored call again from the back office; effects stay at most one."""
    require_permission(actor, "callbacks.replay_inboundcallback")
    row = lock(InboundCallback.objects.filter(pk=callback_id)).first()
    if row is None:
        raise KauriError("not_found")
    require_scope(actor, row)
    audit(
        actor,
        "callback_replay",
        object_type="callback",
        object_id=row.public_id,
        label=row.provider_code,
        before={"state": row.state, "outcome": row.outcome},
    )
    row.state = InboundCallback.State.STORED
    row.attempts = 0
    row.next_attempt_at = clock.now()
    row.lease_until = None
    row.save(update_fields=["state", "attempts", "next_attempt_at", "lease_until"])
    enqueue(TASK, row.pk)
    return row


def callbacks_sweep() -> int:
    """Enqueue stored calls whose time has come."""
    now = clock.now()
    due = (
        InboundCallback.objects.filter(state=InboundCallback.State.STORED, next_attempt_at__lte=now)
        .exclude(lease_until__gt=now)
        .values_list("pk", flat=True)[:200]
    )
    for pk in due:
        enqueue(TASK, pk)
    return len(due)


def raw_of(row: InboundCallback) -> RawCallback:
    """The stored call in the form that adapters read."""
    return RawCallback(
        method=row.method,
        path=row.path,
        query=row.query,
        headers=row.headers,
        body=bytes(row.body),
        remote_addr=row.remote_addr or "",
        received_at=row.received_at,
    )


def _claimed(callback_id: int) -> InboundCallback | None:
    with transaction.atomic():
        now = clock.now()
        rows = claim(
            InboundCallback.objects.filter(
                pk=callback_id, state=InboundCallback.State.STORED, next_attempt_at__lte=now
            ).exclude(lease_until__gt=now)
        )
        if not rows:
            return None
        row = rows[0]
        if row.attempts >= MAX_ATTEMPTS:
            _retry_or_leave(row, "its worker died at every try")
            return None
        row.attempts += 1
        row.lease_until = now + LEASE
        row.save(update_fields=["attempts", "lease_until"])
        return row


def _finish(row: InboundCallback, state: InboundCallback.State, outcome: str) -> None:
    row.state = state
    row.outcome = outcome[:300]
    row.processed_at = clock.now()
    row.lease_until = None
    row.save(update_fields=["state", "outcome", "processed_at", "lease_until"])


def _retry_or_leave(row: InboundCallback, error: str) -> None:
    row.outcome = error[:300]
    row.lease_until = None
    row.next_attempt_at = clock.now() + timedelta(seconds=5 * 2**row.attempts)
    with transaction.atomic():
        if row.attempts >= MAX_ATTEMPTS:
            row.state = InboundCallback.State.FAILED
            emit(
                "callback.failed",
                subject_type="callback",
                subject_id=row.public_id,
                payload={"provider": row.provider_code, "error": row.outcome},
            )
        row.save(update_fields=["state", "outcome", "lease_until", "next_attempt_at"])
