"""From events to messages, and from messages to attempts: claimed, tried, kept."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any, Final

from django.conf import settings
from django.db import transaction
from django.db.models import Exists, OuterRef, Q

from kauri.account.selectors import require_permission, require_scope
from kauri.common import clock, crypto
from kauri.common.actor import Actor
from kauri.common.errors import KauriError
from kauri.common.locks import claim, lock
from kauri.common.tasks import enqueue
from kauri.core.audit import audit
from kauri.core.models import OutboxEvent
from kauri.notification.alerts import alert_text
from kauri.notification.channel import Result, Verdict
from kauri.notification.channels import email, letters, telegram, webhook
from kauri.notification.models import Delivery, DeliveryAttempt

logger = logging.getLogger(__name__)

SEND_TASK: Final = "kauri.notification.tasks.delivery_send"
LEASE: Final = timedelta(seconds=60)
#: Three tries five minutes apart, as old clients know it; then growing up to three days in all.
DELAYS: Final = (
    *(timedelta(minutes=5),) * 2,
    timedelta(minutes=15),
    timedelta(minutes=30),
    timedelta(hours=1),
    timedelta(hours=2),
    timedelta(hours=4),
    timedelta(hours=8),
    *(timedelta(hours=12),) * 4,
)

SENDERS: Final[dict[str, Callable[[Delivery], Result]]] = {
    Delivery.Channel.WEBHOOK: webhook.send,
    Delivery.Channel.TELEGRAM: telegram.send,
    Delivery.Channel.EMAIL: email.send,
}


#: What an event means to floors above, as rows of :class:`Delivery`; said once, at the start.
Also = Callable[[OutboxEvent], list[dict[str, Any]]]
_ALSO: Final[dict[str, Also]] = {}


def tell_also(makers: Mapping[str, Also]) -> None:
    """Hand in, by the event's kind, who makes messages beside the house's own. Called in the transaction that
    dispatches the event, which happens once."""
    _ALSO.clear()
    _ALSO.update(makers)


def outbox_dispatch(event_id: int) -> int:
    """Turn one event into its messages, once; returns how many were made.

    What happened to the same subject before it, and whose task was lost or waits, goes first: messages are sent in
    the order of their rows.
    """
    with transaction.atomic():
        event = OutboxEvent.objects.filter(pk=event_id, dispatched_at__isnull=True).first()
        if event is None:
            return 0
        due = OutboxEvent.objects.filter(
            subject_type=event.subject_type,
            subject_id=event.subject_id,
            pk__lte=event.pk,
            dispatched_at__isnull=True,
        )
        return sum(_dispatched(row) for row in lock(due))


def _dispatched(event: OutboxEvent) -> int:
    made = [
        Delivery.objects.get_or_create(dedupe_key=wanted.pop("dedupe_key"), defaults=wanted)
        for wanted in _messages(event)
    ]
    event.dispatched_at = clock.now()
    event.save(update_fields=["dispatched_at"])
    fresh = [delivery for delivery, created in made if created]
    for delivery in fresh:
        enqueue(SEND_TASK, delivery.pk)
    return len(fresh)


def delivery_send(delivery_id: int) -> None:
    """Try one message: claim, commit, call out, record. In order per subject and target."""
    delivery = _claimed(delivery_id)
    if delivery is None:
        return
    started = time.monotonic()
    try:
        result = SENDERS[delivery.channel](delivery)
    except Exception as exc:
        # A message that breaks its channel is tried and given up like any other, not for ever.
        logger.exception("delivery %s broke its channel", delivery.public_id)
        result = Result(Verdict.RETRY, error=type(exc).__name__)
    elapsed = int((time.monotonic() - started) * 1000)
    with transaction.atomic():
        row = lock(Delivery.objects.filter(pk=delivery.pk)).get()
        DeliveryAttempt.objects.create(
            delivery=row,
            status=result.status,
            latency_ms=elapsed,
            answer=result.answer[:500],
            error=result.error[:300],
        )
        _record(row, result)
        follower = _next_in_line(row) if row.state != Delivery.State.WAITING else None
        if follower is not None:
            enqueue(SEND_TASK, follower)


@transaction.atomic
def delivery_redeliver(*, delivery_id: int, actor: Actor) -> Delivery:
    """Send a message again by hand: the same id and body, a new count of tries."""
    require_permission(actor, "notification.redeliver_delivery")
    row = lock(Delivery.objects.filter(pk=delivery_id)).first()
    if row is None:
        raise KauriError("not_found")
    require_scope(actor, row)
    audit(
        actor,
        "delivery_redeliver",
        object_type="delivery",
        object_id=row.public_id,
        label=row.target,
        before={"state": row.state, "attempts": row.attempts},
    )
    row.state = Delivery.State.WAITING
    row.attempts = 0
    row.next_attempt_at = clock.now()
    row.lease_until = None
    row.finished_at = None
    row.save(update_fields=["state", "attempts", "next_attempt_at", "lease_until", "finished_at"])
    enqueue(SEND_TASK, row.pk)
    return row


def outbox_sweep() -> int:
    """Enqueue events whose task was lost."""
    waiting = OutboxEvent.objects.filter(
        dispatched_at__isnull=True, created_at__lt=clock.now() - timedelta(seconds=5)
    ).order_by("id")
    ids = list(waiting.values_list("pk", flat=True)[:500])
    for pk in ids:
        enqueue("kauri.notification.tasks.outbox_dispatch", pk)
    return len(ids)


def deliveries_sweep() -> int:
    """Enqueue messages whose next try is due."""
    ids = list(_due().values_list("pk", flat=True).order_by("next_attempt_at")[:200])
    for pk in ids:
        enqueue(SEND_TASK, pk)
    return len(ids)


def _messages(event: OutboxEvent) -> list[dict[str, Any]]:
    """What is to be sent because of ``event``, as rows."""
    common = {
        "event": event,
        "subject_type": event.subject_type,
        "subject_id": event.subject_id,
        "owner_id": event.owner_id,
        "title": event.kind,
    }
    messages: list[dict[str, Any]] = []
    if event.callback_url and event.subject_type == "order":
        messages.append(
            {
                **common,
                "channel": Delivery.Channel.WEBHOOK,
                "target": event.callback_url,
                "body": event.body,
                "dedupe_key": f"webhook:{event.pk}",
            }
        )
    text = alert_text(event.kind, event.payload, settings.KAURI.public_url)
    if text is not None and settings.KAURI.telegram_alert_chat:
        messages.append(
            {
                **common,
                "channel": Delivery.Channel.TELEGRAM,
                "target": settings.KAURI.telegram_alert_chat,
                "body": text,
                "dedupe_key": f"telegram:{event.pk}",
            }
        )
    if event.kind == "letter":
        channel = event.payload.get("channel", "email")
        sealed = {
            "letter": event.payload["letter"],
            "language": event.payload["language"],
            "params": json.loads(crypto.decrypt(event.payload["sealed"])),
        }
        messages.append(
            {
                **common,
                "title": event.payload["letter"],
                "channel": Delivery.Channel(channel),
                "target": event.payload["to"],
                "body": f"{letters.MARK if channel == 'telegram' else ''}{crypto.encrypt(json.dumps(sealed))}",
                "dedupe_key": f"{channel}:{event.pk}",
            }
        )
    also = _ALSO.get(event.kind)
    if also is not None:
        messages += [{**common, **wanted} for wanted in also(event)]
    return messages


def _due() -> Any:
    now = clock.now()
    return Delivery.objects.filter(state=Delivery.State.WAITING, next_attempt_at__lte=now).exclude(
        lease_until__gt=now
    )


def _claimed(delivery_id: int) -> Delivery | None:
    """Take a due message, unless an earlier one to the same target about the same order still waits."""
    earlier = Delivery.objects.filter(
        subject_type=OuterRef("subject_type"),
        subject_id=OuterRef("subject_id"),
        channel=OuterRef("channel"),
        target=OuterRef("target"),
        state=Delivery.State.WAITING,
        id__lt=OuterRef("id"),
    )
    with transaction.atomic():
        rows = claim(_due().filter(pk=delivery_id).filter(Q(subject_id__isnull=True) | ~Exists(earlier)))
        if not rows:
            return None
        row: Delivery = rows[0]
        if row.attempts > len(DELAYS):
            # Its worker died at the last try: nobody recorded that it was the last.
            row.state, row.finished_at, row.lease_until = Delivery.State.DEAD, clock.now(), None
            row.save(update_fields=["state", "finished_at", "lease_until"])
            return None
        row.attempts += 1
        row.lease_until = clock.now() + LEASE
        row.save(update_fields=["attempts", "lease_until"])
        return row


def _record(row: Delivery, result: Result) -> None:
    now = clock.now()
    row.lease_until = None
    if result.verdict is Verdict.DELIVERED:
        row.state, row.finished_at = Delivery.State.DELIVERED, now
        row.receipt = result.receipt or row.receipt
    elif result.verdict is Verdict.GONE:
        row.state, row.finished_at = Delivery.State.GONE, now
    elif result.verdict is Verdict.REFUSED or row.attempts > len(DELAYS):
        row.state, row.finished_at = Delivery.State.DEAD, now
    else:
        row.next_attempt_at = now + max(DELAYS[row.attempts - 1], result.retry_after or timedelta(0))
    row.save(update_fields=["state", "lease_until", "next_attempt_at", "finished_at", "receipt"])


def _next_in_line(row: Delivery) -> int | None:
    """The next message about the same subject to the same target, which waited for this one."""
    if row.subject_id is None:
        return None
    return (
        Delivery.objects.filter(
            subject_type=row.subject_type,
            subject_id=row.subject_id,
            channel=row.channel,
            target=row.target,
            state=Delivery.State.WAITING,
            id__gt=row.pk,
        )
        .order_by("id")
        .values_list("pk", flat=True)
        .first()
    )
