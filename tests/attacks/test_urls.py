"""Addresses that we are asked to call: of every field of the API that takes one, and once more when they are called."""

from __future__ import annotations

import uuid
from collections.abc import Callable

import pytest

from kauri.account.models import User
from kauri.core.outbox import emit
from kauri.notification import services
from kauri.notification.models import Delivery
from tests.attacks.bodies import BODIES, Scene
from tests.attacks.document import posts
from tests.attacks.rows import every_row
from tests.kauri.common.test_urls import FORBIDDEN

FIELDS = [
    ("deposit_address", {}, "callback_url"),
    ("internal_movement_create", {}, "callback_url"),
    ("withdrawal_create", {}, "callback_url"),
    ("account_setting_set", {"name": "callback_url"}, "value"),
]


def test_every_address_that_is_called_is_attacked(house: None) -> None:
    found = {
        (operation.name, name) for operation in posts() for name in operation.properties if "url" in name
    }
    # These are where the customer's own browser goes; nothing of ours calls them.
    pages = {("deposit_address", f"{when}_url") for when in ("success", "fail", "processing")}
    assert found - pages == {(name, field) for name, _, field in FIELDS if field != "value"}


@pytest.mark.parametrize(("name", "more", "field"), FIELDS)
def test_refused_when_given(name: str, more: dict[str, str], field: str, scene: Scene) -> None:
    [operation] = [operation for operation in posts() if operation.name == name]
    body = {**BODIES[name](scene), **more}
    before = every_row()
    for url in FORBIDDEN:
        answer = scene.send(operation, {**body, field: url})
        assert (answer.status_code, answer.json()["code"]) == (400, "validation_error"), url
    assert every_row() == before


#: PostgreSQL keeps no text with a NUL.
KEPT = [url for url in FORBIDDEN if "\x00" not in url]


@pytest.mark.parametrize("url", KEPT)
def test_not_called_even_when_it_stands_in_the_database(url: str, customer: Callable[..., User]) -> None:
    """By whatever way it came there: judged again at the moment of the call, and no socket is opened."""
    event = emit(
        "withdrawal.closed",
        subject_type="order",
        subject_id=uuid.uuid4(),
        payload={},
        owner_id=customer().pk,
        callback_url=url,
    )
    services.outbox_dispatch(event.pk)
    delivery = Delivery.objects.get(event=event)
    services.delivery_send(delivery.pk)
    [tried] = delivery.tries.all()
    assert tried.status is None
    assert tried.error
    assert not tried.error.endswith("Error"), "refused before anything was connected to"
