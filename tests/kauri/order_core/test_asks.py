"""The laws of dialogues in the database, attacked by raw SQL."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.db import IntegrityError, ProgrammingError, connection, transaction

from kauri.account.models import User
from kauri.common.actor import Actor
from kauri.notification.models import Delivery
from kauri.order_core.models import DecisionAsk, Order
from tests.moves import give, sandbox_on, withdraw


@pytest.fixture
def asks(customer: Callable[..., User], operator: Callable[..., Actor]) -> list[DecisionAsk]:
    """One operator, asked about two orders."""
    sandbox_on()
    who, made = operator(), []
    for _ in range(2):
        user = customer()
        give(user, "UAH", "10000")
        order: Order = withdraw(user, "4000", currency="UAH", to="sandbox:success")
        made.append(
            DecisionAsk.objects.create(approval=order.approval, operator_id=int(who.id), shown="0" * 64)
        )
    return made


def refused(statement: str, *values: object, by: type[Exception] = IntegrityError) -> str:
    with pytest.raises(by) as caught, transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement, values)
    return str(caught.value)


def test_an_operator_has_one_dialogue_at_a_time(asks: list[DecisionAsk]) -> None:
    first, second = asks
    start = "update order_core_decisionask set step = 'code', decision = 'approve', answer_until = now() where id = %s"
    with connection.cursor() as cursor:
        cursor.execute(start, [first.pk])
    assert "decision_ask_one_dialogue" in refused(start, second.pk)


def test_an_operator_is_asked_once_about_an_order(asks: list[DecisionAsk]) -> None:
    move = "update order_core_decisionask set approval_id = %s where id = %s"
    assert "decision_ask_once" in refused(move, asks[0].approval_id, asks[1].pk)
    token = "update order_core_decisionask set token = %s where id = %s"
    assert "token" in refused(token, asks[0].token, asks[1].pk)


@pytest.mark.parametrize(
    ("step", "decision", "reason", "until"),
    [
        ("shown", "", "", "now()"),
        ("ended", "approve", "", "now()"),
        ("reason", "reject", "", "null"),
        ("reason", "approve", "", "now()"),
        ("code", "approve", "", "null"),
        ("code", "approve", "other", "now()"),
        ("code", "reject", "", "now()"),
        ("code", "", "", "now()"),
        ("else", "", "", "null"),
    ],
)
def test_a_step_has_what_it_needs(
    asks: list[DecisionAsk], step: str, decision: str, reason: str, until: str
) -> None:
    change = (
        f"update order_core_decisionask set step = %s, decision = %s, reason = %s, answer_until = {until}"
    )
    assert "decision_ask_step" in refused(change, step, decision, reason)


def test_what_was_asked_is_never_deleted(asks: list[DecisionAsk]) -> None:
    said = refused("delete from order_core_decisionask where id = %s", asks[0].pk, by=ProgrammingError)
    assert "permission denied" in said


def test_only_telegrams_messages_have_buttons_and_replace_others(asks: list[DecisionAsk]) -> None:
    del asks
    row = Delivery.objects.create(
        channel="webhook", target="https://x.example", title="t", body="{}", dedupe_key="k"
    )
    for change in ('buttons = \'[[["a", "b"]]]\'', f"replaces_id = {row.pk}"):
        said = refused(f"update notification_delivery set {change} where id = %s", row.pk)
        assert "delivery_telegram_only" in said
