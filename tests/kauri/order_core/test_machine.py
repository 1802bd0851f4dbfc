"""Only listed moves are made, each with a row of history; the database knows it too."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from decimal import Decimal

import pytest
from django.db import DatabaseError, connection, transaction

from kauri.account.models import User
from kauri.common.actor import SYSTEM
from kauri.common.errors import KauriError
from kauri.core.models import Currency, OutboxEvent
from kauri.core.outbox import Event
from kauri.order_core import machine
from kauri.order_core.models import Order, Transition
from kauri.order_core.states import FINAL, MOVES, OrderStatus, OrderType
from tests.moves import as_owner, queued


def body(order: Order) -> dict[str, str]:
    return {"status": order.status}


def unsaved(kind: OrderType, owner: User) -> Order:
    uah = Currency.objects.get(code="UAH")
    return Order(
        type=kind,
        owner=owner,
        currency_in=uah,
        amount_in=Decimal(2),
        currency_out=uah,
        amount_out=Decimal(1),
        fee=Decimal(1),
        fee_currency=uah,
        source=Order.Source.API,
    )


@pytest.fixture
def order(customer: Callable[..., User]) -> Callable[[OrderType], Order]:
    def make(kind: OrderType) -> Order:
        return machine.start(unsaved(kind, customer()), actor=SYSTEM, body=body)

    return make


def test_an_order_may_go_on_at_once_and_each_step_is_history_and_told(customer: Callable[..., User]) -> None:
    row = unsaved(OrderType.INTERNAL_MOVEMENT, customer())
    also = Event("gift.arrived", "order", row.public_id, {"to": "you"})
    machine.start(
        row,
        actor=SYSTEM,
        body=lambda order: {"status": order.status, "finished": order.finished_at is not None},
        through=[OrderStatus.CLOSED],
        also=[lambda order: also],
    )
    moves = list(row.transitions.order_by("id").values_list("from_status", "to_status"))
    assert moves == [("", "NEW"), ("NEW", "CLOSED")]
    told = [(event.kind, json.loads(event.body)) for event in OutboxEvent.objects.order_by("id")]
    assert told == [
        ("internal_movement.new", {"status": "NEW", "finished": False}),
        ("internal_movement.closed", {"status": "CLOSED", "finished": True}),
        ("gift.arrived", {"to": "you"}),
    ]
    row.refresh_from_db()
    assert (row.status, row.finished_at is None) == ("CLOSED", False)
    [task] = queued("kauri.notification.tasks.outbox_dispatch")
    assert list(task) == list(OutboxEvent.objects.order_by("id").values_list("pk", flat=True))


def test_an_unlisted_way_on_leaves_nothing(customer: Callable[..., User]) -> None:
    owner = customer()
    with pytest.raises(KauriError) as caught, transaction.atomic():
        machine.start(
            unsaved(OrderType.WITHDRAWAL, owner), actor=SYSTEM, body=body, through=[OrderStatus.CLOSED]
        )
    assert caught.value.code == "wrong_state"
    assert (Order.objects.count(), Transition.objects.count(), OutboxEvent.objects.count()) == (0, 0, 0)


def put(order: Order, status: OrderStatus) -> None:
    """Bring the order into a state past the machine, as no service does."""
    Transition.objects.create(
        order=order, to_status=status, actor_kind="system", actor_id="0", actor_label="system"
    )
    Order.objects.filter(pk=order.pk).update(status=status)
    order.refresh_from_db()


def test_every_move_that_is_not_listed_is_refused_and_changes_nothing(
    order: Callable[[OrderType], Order],
) -> None:
    refused = 0
    for kind in OrderType:
        row = order(kind)
        for current, to in itertools.product(OrderStatus, OrderStatus):
            if to in MOVES.get(kind, {}).get(current, frozenset()):
                continue
            put(row, current)
            before = (Transition.objects.count(), OutboxEvent.objects.count(), row.updated_at)
            with pytest.raises(KauriError) as caught:
                machine.transition(row, to, actor=SYSTEM, body=body)
            assert caught.value.code == "wrong_state"
            assert row.status == current
            row.refresh_from_db()
            assert row.status == current
            assert (Transition.objects.count(), OutboxEvent.objects.count(), row.updated_at) == before
            refused += 1
    allowed = sum(len(to) for moves in MOVES.values() for to in moves.values())
    assert refused == len(OrderType) * len(OrderStatus) ** 2 - allowed


def test_every_listed_move_is_made_recorded_and_told(order: Callable[[OrderType], Order]) -> None:
    for kind, moves in MOVES.items():
        for current, targets in moves.items():
            for to in targets:
                row = order(kind)
                put(row, current)
                machine.transition(row, to, actor=SYSTEM, body=body, reason="because")
                row.refresh_from_db()
                last = row.transitions.last()
                assert last is not None
                assert (row.status, last.from_status, last.to_status, last.reason) == (
                    to,
                    current,
                    to,
                    "because",
                )
                assert (row.finished_at is not None) == (to in FINAL)
                told = OutboxEvent.objects.order_by("id").last()
                assert told is not None
                assert (told.kind, told.subject_id) == (f"{kind.lower()}.{to.lower()}", row.public_id)


def test_final_states_lead_nowhere() -> None:
    for moves in MOVES.values():
        assert FINAL & set(moves) == set()


@pytest.mark.parametrize(
    ("sql", "state"),
    [
        ("update order_core_order set status = 'CLOSED' where id = %s", "KA409"),
        ("update order_core_order set status = 'WHATEVER' where id = %s", "23514"),
        ("update order_core_order set amount_out = 7 where id = %s", "KA403"),
        ("update order_core_order set owner_id = owner_id + 1 where id = %s", "KA403"),
        ("update order_core_order set fee = 0 where id = %s", "KA403"),
        ("delete from order_core_order where id = %s", "KA403"),
        ("update order_core_transition set reason = 'x' where order_id = %s", "KA403"),
        ("delete from order_core_transition where order_id = %s", "KA403"),
    ],
)
def test_the_database_refuses_it_too(order: Callable[[OrderType], Order], sql: str, state: str) -> None:
    row = order(OrderType.WITHDRAWAL)
    with pytest.raises(DatabaseError) as caught, transaction.atomic(), as_owner() as cursor:
        cursor.execute(sql, [row.pk])
        cursor.execute("set constraints all immediate")
    assert caught.value.__cause__.sqlstate == state  # type: ignore[union-attr]
    row.refresh_from_db()
    assert (row.status, row.amount_out) == ("NEW", 1)


@pytest.mark.parametrize("table", ["order_core_transition", "order_core_approvalvote", "order_core_order"])
def test_the_application_may_not_even_try(order: Callable[[OrderType], Order], table: str) -> None:
    order(OrderType.WITHDRAWAL)
    tries = [f"delete from {table}"] + (
        [f"update {table} set id = id"] if table != "order_core_order" else []
    )
    for sql in tries:
        with pytest.raises(DatabaseError) as caught, transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(sql)
        assert caught.value.__cause__.sqlstate == "42501"  # type: ignore[union-attr]


def test_an_order_without_any_history_is_refused(customer: Callable[..., User]) -> None:
    uah = Currency.objects.get(code="UAH")
    row = Order(
        type="WITHDRAWAL",
        owner=customer(),
        currency_in=uah,
        amount_in=2,
        currency_out=uah,
        amount_out=1,
        fee=1,
        fee_currency=uah,
        source="api",
    )
    with pytest.raises(DatabaseError) as caught, transaction.atomic(), connection.cursor() as cursor:
        row.save()
        cursor.execute("set constraints all immediate")
    assert caught.value.__cause__.sqlstate == "KA409"  # type: ignore[union-attr]
