"""Events leave the house through one table, written in the causing transaction."""

from __future__ import annotations

import uuid
from typing import Any

from kauri.common import clock
from kauri.common.exact_json import dumps
from kauri.common.tasks import enqueue
from kauri.core.models import OutboxEvent


def emit(
    kind: str,
    *,
    subject_type: str,
    subject_id: uuid.UUID,
    payload: dict[str, Any],
    owner_id: int | None = None,
    callback_url: str = "",
) -> OutboxEvent:
    """Record the event and wake the dispatcher; both vanish if the caller rolls back."""
    event = OutboxEvent.objects.create(
        kind=kind,
        owner_id=owner_id,
        subject_type=subject_type,
        subject_id=subject_id,
        callback_url=callback_url,
        body=dumps(payload).decode(),
        created_at=clock.now(),
    )
    enqueue("kauri.notification.tasks.outbox_dispatch", event.pk)
    return event
