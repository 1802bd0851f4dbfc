"""A call that is done once: the actor behind it, and the stored answer for who asks again."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any, Final

from django.http import HttpRequest, HttpResponse

from kauri.common.actor import Actor, ActorKind
from kauri.common.api import idempotency_key, wants_strings
from kauri.common.exact_json import dumps
from kauri.common.locks import retried
from kauri.core import idempotency

#: What OpenAPI says of the header.
IDEMPOTENCY_HEADER: Final[dict[str, Any]] = {
    "parameters": [
        {
            "in": "header",
            "name": "Idempotency-Key",
            "schema": {"type": "string", "maxLength": 202, "pattern": r"^[\x21-\x7e]*$"},
            "example": "payout-0001",
            "description": "Same key and body: the stored answer. external_id in the body works alike.",
        }
    ]
}


def caller(request: HttpRequest) -> Actor:
    """Who acts: the customer, or their API key by name."""
    user = request.auth  # type: ignore[attr-defined]
    ip = request.client_ip  # type: ignore[attr-defined]
    key = getattr(request, "api_key", None)
    if key is None:
        return user.as_actor(ip=ip)  # type: ignore[no-any-return]
    return Actor(ActorKind.API_KEY, str(key.public_id), f"{user.email} ({key.name})", ip)


def once_call(
    request: HttpRequest,
    *,
    endpoint: str,
    external_id: str | None,
    run: Callable[[], dict[str, Any]],
    body: bytes | None = None,
) -> HttpResponse:
    """Run ``run`` once per key and answer with its body; a repeat gets the stored answer, byte for byte.

    A request signed by version 1 is named by its signature too, for a while: nothing else in it says that it
    is new. A call without a key of the client's gets one of ours, so that a transaction lost to a deadlock
    or a dead connection can be tried again without doing anything twice. ``body`` stands for the request's own
    where even a digest of that must not be kept.
    """
    keys = [f"key:{key}"] if (key := idempotency_key(request)) else []
    if external_id:
        keys.append(f"external_id:{external_id}")

    def answer() -> idempotency.StoredAnswer:
        return idempotency.StoredAnswer(
            200, "application/json", dumps(run(), as_strings=wants_strings(request))
        )

    passing: idempotency.PassingKey | None = getattr(request, "passing_key", None)
    names = keys if keys or passing else [f"request:{uuid.uuid4()}"]
    stored = retried(
        lambda: idempotency.once(
            owner_id=request.auth.pk,  # type: ignore[attr-defined]
            endpoint=endpoint,
            keys=names,
            body=request.body if body is None else body,
            run=answer,
            passing=passing,
        )
    )
    response = HttpResponse(stored.body, status=stored.status, content_type=stored.content_type)
    if stored.replayed and (keys or passing):
        response["Idempotency-Replayed"] = "true"
    return response
