"""A receiver of webhooks, and events for it."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from kauri.account.models import User
from kauri.core.outbox import emit
from kauri.notification import services
from kauri.notification.models import Delivery
from tests.kauri.notification.receiver import Receiver


@pytest.fixture
def receiver(settings: Any) -> Iterator[Receiver]:
    settings.KAURI = settings.KAURI.model_copy(update={"webhook_allowed_networks": ["127.0.0.1/32"]})
    made = Receiver()
    yield made
    made.close()


@pytest.fixture
def tell(customer: Callable[..., User], receiver: Receiver) -> Callable[..., Delivery]:
    """Makes an event of an order with a webhook and dispatches it."""
    user = customer()

    def make(
        order: uuid.UUID | None = None, number: int = 1, url: str = "", owner: User | None = None
    ) -> Delivery:
        event = emit(
            "withdrawal.closed",
            subject_type="order",
            subject_id=order or uuid.uuid4(),
            payload={"number": number, "text": "ї"},
            owner_id=(owner or user).pk,
            callback_url=url or receiver.url,
        )
        services.outbox_dispatch(event.pk)
        return Delivery.objects.get(event=event)

    return make
