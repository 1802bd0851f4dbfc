"""Fields that nobody asked for, beside a whole request: of every operation that takes a JSON object."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from kauri.account.models import ApiKey, User
from kauri.order_core.models import Order
from tests.attacks.bodies import BODIES, REFUSED, Scene
from tests.attacks.document import Operation, posts
from tests.attacks.rows import rows_of, tables_with
from tests.moves import give

FORGED_UUID = "f0f0f0f0-f0f0-4f0f-8f0f-f0f0f0f0f0f0"
#: Columns of our tables, with values that would be seen.
FORGED: dict[str, Any] = {
    "is_staff": True,
    "is_superuser": True,
    "is_active": False,
    "email_verified_at": "2001-02-03T04:05:06Z",
    "created_at": "2001-02-03T04:05:06Z",
    "finished_at": "2001-02-03T04:05:06Z",
    "verification_level": 3,
    "account_type": "business",
    "token_epoch": 9,
    "public_id": FORGED_UUID,
    "number": "KAforged",
    "email": "forged@example.com",
    "username": "forged",
    "disabled_reason": "forged",
    "webhook_secret": "whsec_forged",
    "telegram_id": 31337313373,
    "telegram_username": "forged",
    "secret": "forged",
    "key": "forged",
    "state": "active",
    "scopes": ["read", "trade", "withdraw"],
    "status": "CLOSED",
    "order_status": "CLOSED",
    "type": "DEPOSIT",
    "source": "forged",
    "fee": "0",
    "amount_in": "0.01",
    "amount_out": "999999",
    "available": "999999",
    "explanation": {"forged": True},
    "second_factor": FORGED_UUID,
    "user_agent": "forged",
    "__class__": {"forged": "forged"},
    "__proto__": {"is_staff": True},
    "constructor": {"prototype": {"is_staff": True}},
}


def forged_fields(operation: Operation, victim: User) -> dict[str, Any]:
    whose = {
        **dict.fromkeys(("id", "pk", "user_id", "owner_id", "customer_id", "user", "owner"), victim.pk),
        "group": victim.group_id,
        "recipient_id": victim.pk,
    }
    return {name: value for name, value in {**FORGED, **whose}.items() if name not in operation.properties}


def test_every_operation_is_attacked(house: None) -> None:
    assert {operation.name for operation in posts()} == set(BODIES)


@pytest.mark.parametrize("name", BODIES)
def test_extra_fields_do_nothing(name: str, scene: Scene, customer: Callable[..., User]) -> None:
    [operation] = [operation for operation in posts() if operation.name == name]
    victim = customer()
    give(victim, "UAH", "500")
    body = BODIES[name](scene)
    before = rows_of(victim.pk)
    answer = scene.send(operation, {**forged_fields(operation, victim), **body})
    # The request was whole: what it asked for is done, unless it lacks a proof that only others make.
    assert (answer.status_code in {200, 201}) is (name not in REFUSED), answer.content
    assert rows_of(victim.pk) == before
    assert [tables_with(text) for text in ("forged", FORGED_UUID, "2001-02-03", "31337313373")] == [[]] * 4
    assert "forged" not in answer.content.decode()
    everybody = User.objects.exclude(pk=victim.pk)
    assert not everybody.filter(is_staff=True).exists()
    assert not everybody.filter(is_superuser=True).exists()
    assert set(everybody.values_list("is_active", "account_type")) == {(True, "personal")}
    assert set(everybody.values_list("verification_level", flat=True)) <= {0, 1}
    assert set(Order.objects.values_list("owner_id", flat=True)) <= {scene.user.pk}
    assert not Order.objects.filter(type="DEPOSIT").exists()
    assert {scope for key in ApiKey.objects.all() for scope in key.scopes} <= {"read"}
    if name in {"api_key_create", "withdrawal_create"}:
        states = [
            *ApiKey.objects.values_list("state", flat=True),
            *Order.objects.values_list("status", flat=True),
        ]
        assert not {"active", "CLOSED"} & set(states)
