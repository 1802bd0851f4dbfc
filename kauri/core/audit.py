"""The audit trail's only writer."""

from __future__ import annotations

from typing import Any

from kauri.common import clock
from kauri.common.actor import Actor, request_id
from kauri.core.models import AuditEntry


def audit(
    actor: Actor,
    verb: str,
    *,
    object_type: str,
    object_id: object,
    label: str = "",
    before: dict[str, Any] | None = None,
    after: dict[str, Any] | None = None,
    reason: str = "",
) -> AuditEntry:
    """Write one entry in the caller's transaction. ``before``/``after`` hold no secrets."""
    entry = AuditEntry(
        at=clock.now(),
        verb=verb,
        object_type=object_type,
        object_id=str(object_id),
        object_label=label,
        before=before,
        after={**(after or {}), "via": actor.via} if actor.via else after,
        reason=reason,
        ip=actor.ip or None,
    )
    entry.stamp(actor, request_id.get())
    entry.save(force_insert=True)
    return entry
