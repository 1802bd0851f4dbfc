"""What happened first is told first, whichever task comes first."""

from __future__ import annotations

import random
import uuid
from collections.abc import Callable

import pytest

from kauri.account.models import User
from kauri.core.models import OutboxEvent
from kauri.core.outbox import emit
from kauri.notification import services
from kauri.notification.models import Delivery
from tests.kauri.notification.receiver import Receiver
from tests.moves import forget_queue, together

Drain = Callable[..., int]
STEPS = 5


def happened(user: User, receiver: Receiver, order: uuid.UUID) -> list[int]:
    events = [
        emit(
            "withdrawal.closed",
            subject_type="order",
            subject_id=order,
            payload={"step": step},
            owner_id=user.pk,
            callback_url=receiver.url,
        )
        for step in range(STEPS)
    ]
    forget_queue()
    return [event.pk for event in events]


def told(receiver: Receiver) -> list[bytes]:
    return [receiver.body(number) for number in range(len(receiver.requests))]


def test_an_event_takes_along_what_came_before_it(
    customer: Callable[..., User], receiver: Receiver, drain: Drain
) -> None:
    """The tasks of the first three are lost with their worker; the fourth's comes."""
    order = uuid.uuid4()
    events = happened(customer(), receiver, order)
    other = happened(customer(), receiver, uuid.uuid4())
    assert services.outbox_dispatch(events[3]) == 4
    drain()
    assert told(receiver) == [b'{"step":%d}' % step for step in range(4)]
    waiting = OutboxEvent.objects.filter(dispatched_at__isnull=True).order_by("pk")
    assert list(waiting.values_list("pk", flat=True)) == [events[4], *other], (
        "a later one, and other orders', wait"
    )
    assert [services.outbox_dispatch(event) for event in events] == [0, 0, 0, 0, 1]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("seed", range(3))
def test_dispatchers_at_once_keep_the_order(
    customer: Callable[..., User], receiver: Receiver, drain: Drain, seed: int
) -> None:
    events = happened(customer(), receiver, uuid.uuid4())
    tasks = events * 2
    random.Random(seed).shuffle(tasks)
    made = together(len(tasks), lambda number: services.outbox_dispatch(tasks[number]))
    assert sum(made) == STEPS
    rows = Delivery.objects.order_by("pk").values_list("event_id", flat=True)
    assert list(rows) == events
    drain()
    assert told(receiver) == [b'{"step":%d}' % step for step in range(STEPS)]
