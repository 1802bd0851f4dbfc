"""A whole internal movement: name known once, rules, order, history, posting, events."""

from __future__ import annotations

import json
import random
import secrets
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

from bench import cases, twin
from bench.clients import WARM_CALLS, Work
from bench.door import Overheard
from bench.house import House
from bench.measure import Case, interleaved
from bench.row import Row, cpu, rate, rows
from bench.settings import HAS_PEERS
from kauri.account.models import User
from kauri.common.actor import Actor, ActorKind
from kauri.common.exact_json import dumps
from kauri.common.locks import retried
from kauri.core import idempotency
from kauri.internal_movement_order.models import MovementDetail
from kauri.internal_movement_order.services import MovementRequest, movement_create

CLIENTS = 8
SHARE = 0.25
ROUND_TRIPS = 5
OVER = 5
CPU = 0.25


@rows()
def movement(house: House) -> Iterator[Row]:
    """The service as the API calls it, beside the limit and beside its twins."""
    emails = dict(User.objects.filter(pk__in=house.customers).values_list("pk", "email"))

    def between_two(move: Callable[[int, dict[str, Any]], object]) -> Work:
        def work() -> None:
            source, target = house.two()
            move(source, _asked(emails[target]))

        return work

    def ours(source: int, asked: dict[str, Any]) -> None:
        _movement(source, emails[source], asked)

    calls = {"ours": between_two(ours), **{name: between_two(move) for name, move in _twins().items()}}
    heard = {}
    for name, call in calls.items():
        for _ in range(WARM_CALLS):  # the first calls also prepare their statements
            call()
        with Overheard() as heard[name]:
            call()
    known: dict[str, Case] = {"limit": cases.limit()}
    result = interleaved({**known, **{name: cases.ours(call) for name, call in calls.items()}}, CLIENTS)
    yield rate("internal movement / limit, 8 clients", result, "ours", "limit", least=SHARE)
    yield cpu("CPU of an internal movement / limit, 8 clients", result, "ours", "limit")
    for name, overheard in heard.items():
        title = "internal movement" if name == "ours" else f"the {name}"
        yield Row(
            f"{title}: round trips",
            "round trips",
            overheard.round_trips,
            most=ROUND_TRIPS if name == "ours" else None,
            other={"statements": overheard.statements},
        )
    for name in _twins():
        is_goal = name == "DRF + ORM twin"
        title = f"internal movement / {name}, 8 clients"
        yield rate(title, result, "ours", name, least=OVER if is_goal else None)
        yield cpu(f"CPU: {title}", result, "ours", name, most=CPU if is_goal else None)


def _asked(email: str) -> dict[str, Any]:
    return {
        "currency": "UAH",
        "amount": f"{random.randint(1000, 2000) / 100:.2f}",
        "destination_account_email": email,
        "external_id": secrets.token_hex(12),
    }


def _movement(source: int, email: str, asked: dict[str, Any]) -> None:
    """What the API does once it knows who asks for what."""
    actor = Actor(ActorKind.CUSTOMER, str(source), email)
    request = MovementRequest(
        user_id=source,
        currency=asked["currency"],
        amount=asked["amount"],
        addressed_by=MovementDetail.AddressedBy.EMAIL,
        addressed_to=asked["destination_account_email"],
        external_id=asked["external_id"],
    )

    def answer() -> idempotency.StoredAnswer:
        order = movement_create(request=request, actor=actor)
        if order.status != "CLOSED":
            raise RuntimeError(f"the movement stands {order.status}")
        body = {"order_id": str(order.public_id), "order_status": order.status, "amount": order.amount_in}
        return idempotency.StoredAnswer(200, "application/json", dumps(body))

    retried(
        lambda: idempotency.once(
            owner_id=source,
            endpoint="internal_movement_create",
            keys=[f"external_id:{asked['external_id']}"],
            body=json.dumps(asked).encode(),
            run=answer,
        )
    )


def _twins() -> dict[str, Callable[[int, dict[str, Any]], object]]:
    found: dict[str, Callable[[int, dict[str, Any]], object]] = {"ORM twin": _orm_twin}
    if HAS_PEERS:
        from bench import drf  # noqa: PLC0415 - it may not be installed

        found["DRF + ORM twin"] = drf.call
    return found


def _orm_twin(source: int, asked: dict[str, Any]) -> None:
    twin.move(User.objects.get(pk=source), {**asked, "amount": Decimal(asked["amount"])})
