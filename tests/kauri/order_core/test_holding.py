"""A hold that lasts too long is told of: once a period, to the very moment, by one worker only."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

import pytest
from django.db import IntegrityError, transaction
from django.test import override_settings

from backoffice.schedules import SCHEDULES
from kauri.account.models import User
from kauri.common import clock
from kauri.common.actor import Actor
from kauri.notification.alerts import alert_text
from kauri.order_core import holding
from kauri.order_core.models import Approval, Order
from kauri.withdrawal_order import services, waiting
from tests.moves import events, give, sandbox_on, together, withdraw

DAY = timedelta(hours=24)
TICK = timedelta(microseconds=1)


@pytest.fixture
def order(customer: Callable[..., User]) -> Order:
    """100 UAH to a new destination: an operator must look."""
    sandbox_on()
    user = customer()
    give(user, "UAH", "200")
    return withdraw(user, "100", currency="UAH", to="sandbox:success")


@pytest.fixture
def since(order: Order, operator: Callable[..., Actor]) -> datetime:
    """The moment from which the order is on hold."""
    waiting.withdrawal_hold(order_id=order.public_id, reason="until Monday", actor=operator())
    found = Approval.objects.get().held_at
    assert found is not None
    return found


def told_at(moment: datetime) -> int:
    with clock.standing_at(moment):
        return holding.holds_sweep()


def test_exactly_a_day_is_not_yet_too_long(since: datetime) -> None:
    assert told_at(since + DAY - TICK) == 0
    assert told_at(since + DAY) == 0
    assert Approval.objects.get().held_told_to is None
    assert told_at(since + DAY + TICK) == 1
    assert Approval.objects.get().held_told_to == since + DAY
    assert told_at(since + DAY + TICK) == 0
    assert len(events("approval.held_long")) == 1


def test_it_is_told_again_after_each_further_day_and_never_twice(since: datetime) -> None:
    moments = [DAY + timedelta(hours=5), 2 * DAY, 2 * DAY + TICK, 3 * DAY, 3 * DAY + TICK]
    assert [told_at(since + moment) for moment in moments] == [1, 0, 1, 0, 1]
    # Nobody ran for long: what was missed is told together, and the next one comes in its own time.
    assert told_at(since + 6 * DAY + timedelta(hours=1)) == 1
    assert Approval.objects.get().held_told_to == since + 6 * DAY
    assert [told_at(since + 7 * DAY), told_at(since + 7 * DAY + TICK)] == [0, 1]


def test_the_alert_has_the_facts_and_a_link(order: Order, since: datetime) -> None:
    assert told_at(since + timedelta(hours=25, minutes=59)) == 1
    [event] = events("approval.held_long")
    approval = Approval.objects.select_related("held_by").get()
    assert approval.held_by is not None
    assert alert_text(event.kind, event.payload, "https://office.example") == (
        "⏰ Withdrawal on hold for 25 hours: 100 UAH\n"
        f"Customer: {order.owner.email}\n"
        f"By {approval.held_by.email} since {since:%Y-%m-%d %H:%M} UTC: until Monday\n"
        f"https://office.example/order_core/order/{order.public_id}/"
    )


def test_put_back_and_put_aside_anew_begins_anew(
    order: Order, since: datetime, operator: Callable[..., Actor]
) -> None:
    assert told_at(since + DAY + TICK) == 1
    waiting.withdrawal_unhold(order_id=order.public_id, actor=operator())
    assert Approval.objects.get().held_told_to is None
    assert told_at(since + 9 * DAY) == 0
    with clock.standing_at(since + 2 * DAY):
        waiting.withdrawal_hold(order_id=order.public_id, reason="again", actor=operator())
    assert [told_at(since + 3 * DAY), told_at(since + 3 * DAY + TICK)] == [0, 1]


def test_what_its_customer_took_back_is_told_no_more(order: Order, since: datetime) -> None:
    assert told_at(since + DAY + TICK) == 1
    services.withdrawal_cancel(order_id=order.public_id, user_id=order.owner.pk, actor=order.owner.as_actor())
    assert Approval.objects.get().held_told_to is None
    assert told_at(since + 9 * DAY) == 0


def test_the_setting_says_how_long(settings: object, since: datetime) -> None:
    house = settings.KAURI.model_copy(update={"hold_alarm_hours": 2})  # type: ignore[attr-defined]
    with override_settings(KAURI=house):
        assert [told_at(since + timedelta(hours=2)), told_at(since + timedelta(hours=2) + TICK)] == [0, 1]


@pytest.mark.django_db(transaction=True)
def test_of_workers_at_once_one_tells(since: datetime) -> None:
    assert sorted(together(4, lambda _number: told_at(since + DAY + TICK))) == [0, 0, 0, 1]
    assert len(events("approval.held_long")) == 1


def test_nothing_is_told_of_what_is_not_on_hold(since: datetime) -> None:
    for held_told_to, held_at in ((since, None), (since, since)):
        with pytest.raises(IntegrityError), transaction.atomic():
            Approval.objects.update(
                held_told_to=held_told_to,
                held_at=held_at,
                **({} if held_at else {"held_by": None, "held_reason": ""}),
            )


def test_the_clock_runs_it() -> None:
    [found] = [row for row in SCHEDULES if row.name == "holds_sweep"]
    assert found.task == "kauri.order_core.tasks.holds_sweep"
