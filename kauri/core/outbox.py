"""Events leave the house through one table, written in the causing transaction."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import batched
from typing import Any, Final

from kauri.common import clock
from kauri.common.exact_json import dumps
from kauri.common.tasks import enqueue
from kauri.core.models import OutboxEvent

#: Events of one task: a worker that dies takes no more with it until the sweep.
_AT_A_TIME: Final = 100


@dataclass(frozen=True, slots=True)
class Event:
    """Something to tell: to ``owner_id`` at ``callback_url``, and to whoever listens to ``kind``."""

    kind: str
    subject_type: str
    subject_id: uuid.UUID
    payload: dict[str, Any]
    owner_id: int | None = None
    callback_url: str = ""


def emit(
    kind: str,
    *,
    subject_type: str,
    subject_id: uuid.UUID,
    payload: dict[str, Any],
    owner_id: int | None = None,
    callback_url: str = "",
) -> OutboxEvent:
    """Record one event and wake the dispatcher; both vanish if the caller rolls back."""
    return emit_all([Event(kind, subject_type, subject_id, payload, owner_id, callback_url)])[0]


def emit_all(events: Sequence[Event]) -> list[OutboxEvent]:
    """Record events in their order, in one statement, and wake the dispatcher for so many at a time."""
    rows = OutboxEvent.objects.bulk_create(
        OutboxEvent(
            kind=event.kind,
            owner_id=event.owner_id,
            subject_type=event.subject_type,
            subject_id=event.subject_id,
            callback_url=event.callback_url,
            body=dumps(event.payload).decode(),
            created_at=clock.now(),
        )
        for event in events
    )
    for some in batched(rows, _AT_A_TIME):
        enqueue("kauri.notification.tasks.outbox_dispatch", *(row.pk for row in some))
    return rows
