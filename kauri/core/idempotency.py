"""The second asker gets the first one's answer, byte for byte."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from django.db import transaction

from kauri.common import clock
from kauri.common.errors import KauriError
from kauri.common.locks import try_advisory
from kauri.core.models import IdempotencyRecord


@dataclass(frozen=True, slots=True)
class StoredAnswer:
    status: int
    content_type: str
    body: bytes
    replayed: bool = False


#: A key that names a request for a while only: the key, and how long.
PassingKey = tuple[str, timedelta]


def once(
    *,
    owner_id: int,
    endpoint: str,
    keys: list[str],
    body: bytes,
    run: Callable[[], StoredAnswer],
    passing: PassingKey | None = None,
) -> StoredAnswer:
    """Run ``run`` once per ``(owner, endpoint, key)``; its effects and its answer commit together.

    ``keys`` holds every name of the request (the header's, the body's external_id); each is
    stored, any one found answers. A failed run leaves nothing behind, so it may be tried again.
    ``passing`` is one more name, which is free again after its time.

    Raises ``idempotency_mismatch`` (same key, other body) and ``conflict`` (still running).
    """
    digest = hashlib.sha256(body).digest()
    keys = sorted([*keys, passing[0]] if passing else keys)
    with transaction.atomic():
        for key in keys:
            if not try_advisory("idempotency", owner_id, endpoint, key):
                raise KauriError("conflict", "the first request with this key is still running")
        if passing:
            IdempotencyRecord.objects.filter(
                owner_id=owner_id, endpoint=endpoint, key=passing[0], created_at__lt=clock.now() - passing[1]
            ).delete()
        found = list(IdempotencyRecord.objects.filter(owner_id=owner_id, endpoint=endpoint, key__in=keys))
        for record in found:
            if bytes(record.body_hash) != digest:
                raise KauriError("idempotency_mismatch")
        known = {record.key for record in found}
        if found:
            first = found[0]
            answer = StoredAnswer(first.status, first.content_type, bytes(first.body), replayed=True)
        else:
            answer = run()
        # Also on a repeat: a name that is new here now belongs to this request and to no other.
        IdempotencyRecord.objects.bulk_create(
            IdempotencyRecord(
                owner_id=owner_id,
                endpoint=endpoint,
                key=key,
                body_hash=digest,
                status=answer.status,
                content_type=answer.content_type,
                body=answer.body,
                created_at=clock.now(),
            )
            for key in keys
            if key not in known
        )
        return answer
