"""What a channel lets through: its hours, its pace, its cap of a day; and who is chosen."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, time, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction

from kauri.account.models import User
from kauri.common import clock
from kauri.core.models import Provider
from kauri.order_core.models import Order
from kauri.payment_provider.models import Channel, Payout
from kauri.payment_provider.routing import spent_today
from kauri.withdrawal_order import paying
from tests.kauri.withdrawal_order.conftest import parts_of
from tests.moves import give, together, withdraw

Channels = Callable[..., Channel]
PaidOut = Callable[..., Order]
NOON = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)
SUCCESS = "sandbox:success"


@pytest.mark.parametrize(
    ("opens", "closes", "at", "following"),
    [
        (None, None, NOON, NOON),
        (time(9), time(18), NOON, NOON),
        (time(9), time(18), NOON.replace(hour=9), NOON.replace(hour=9)),
        (time(9), time(18), NOON.replace(hour=18), NOON.replace(hour=9) + timedelta(days=1)),
        (time(13), time(18), NOON, NOON.replace(hour=13)),
        # Over midnight.
        (time(22), time(6), NOON.replace(hour=23), NOON.replace(hour=23)),
        (time(22), time(6), NOON.replace(hour=5), NOON.replace(hour=5)),
        (time(22), time(6), NOON, NOON.replace(hour=22)),
    ],
)
def test_hours(opens: time | None, closes: time | None, at: datetime, following: datetime) -> None:
    assert Channel(opens_at=opens, closes_at=closes).next_opening(at) == following


def step(order: Order) -> Payout:
    [part] = parts_of(order)
    paying.payout_advance(part.payout_id)
    part.payout.refresh_from_db()
    return part.payout


def test_outside_of_its_hours_it_waits_for_them(
    first: Provider, channel: Channels, paid_out: PaidOut
) -> None:
    channel(first, opens_at=time(13), closes_at=time(18))
    with clock.standing_at(NOON):
        order = paid_out("100", to=SUCCESS)
        payout = step(order)
        assert (payout.state, payout.last_error) == ("new", "outside of the channel's hours")
        assert payout.next_attempt_at == NOON.replace(hour=13)
        assert paying.payouts_sweep() == 0
    with clock.standing_at(NOON.replace(hour=13, minute=1)):
        assert paying.payouts_sweep() == 1
        assert step(order).state == "confirmed"
    order.refresh_from_db()
    assert order.status == "CLOSED"


def test_the_pace_keeps_payouts_apart(first: Provider, channel: Channels, paid_out: PaidOut) -> None:
    channel(first, pace_seconds=60)
    with clock.standing_at(NOON):
        one, two = paid_out("100", to=SUCCESS), paid_out("100", to=SUCCESS)
        assert step(one).state == "confirmed"
        payout = step(two)
        assert (payout.state, payout.last_error) == ("new", "the channel's pace")
        assert payout.next_attempt_at == NOON + timedelta(seconds=60)
    with clock.standing_at(NOON + timedelta(seconds=60)):
        assert step(two).state == "confirmed"


def test_the_days_cap_counts_what_has_not_failed(
    first: Provider, channel: Channels, paid_out: PaidOut
) -> None:
    row = channel(first, daily_cap="250", fails_over=False)
    with clock.standing_at(NOON):
        assert step(paid_out("100", to=SUCCESS)).state == "confirmed"
        assert step(paid_out("100", to="sandbox:decline")).state == "failed"
        assert step(paid_out("150", to=SUCCESS)).state == "confirmed"
        assert spent_today(row, NOON) == Decimal(250)
        late = paid_out("50", to=SUCCESS)
        payout = step(late)
        assert (payout.state, payout.last_error) == ("new", "the channel's daily cap")
        assert payout.next_attempt_at == datetime(2026, 3, 11, tzinfo=UTC)
    with clock.standing_at(datetime(2026, 3, 11, 0, 0, 1, tzinfo=UTC)):
        assert step(late).state == "confirmed"
        assert spent_today(row, clock.now()) == Decimal(50)


def test_a_channel_switched_off_holds_what_it_has_and_gets_nothing_new(
    first: Provider, second: Provider, channel: Channels, paid_out: PaidOut
) -> None:
    row = channel(first)
    order = paid_out("100", to=SUCCESS)
    row.is_enabled = False
    row.save()
    payout = step(order)
    assert (payout.state, payout.last_error) == ("new", "the channel is switched off")
    assert step(paid_out("100", to=SUCCESS)).provider_id == second.pk


def test_the_channels_priority_goes_before_the_providers(
    first: Provider, second: Provider, channel: Channels, paid_out: PaidOut
) -> None:
    channel(second, priority=5)
    assert step(paid_out("100", to=SUCCESS)).provider_id == second.pk
    Provider.objects.filter(pk=second.pk).update(health="bad")
    assert step(paid_out("100", to=SUCCESS)).provider_id == first.pk


def test_the_channel_is_chosen_when_it_is_decided_not_when_it_is_asked_for(
    first: Provider, second: Provider, customer: Callable[..., User], operator: Callable[..., Any]
) -> None:
    from kauri.withdrawal_order.services import withdrawal_approve

    user = customer()
    give(user, "UAH", "1000")
    order = withdraw(user, "100", currency="UAH", to=SUCCESS)
    assert order.withdrawal.provider_id == first.pk
    Provider.objects.filter(pk=first.pk).update(health="bad")
    withdrawal_approve(order_id=order.public_id, actor=operator())
    assert step(order).provider_id == second.pk
    order.withdrawal.refresh_from_db()
    assert order.withdrawal.provider_id == second.pk


@pytest.mark.django_db(transaction=True)
def test_workers_at_once_do_not_pass_the_cap_or_the_pace(
    first: Provider, channel: Channels, paid_out: PaidOut, customer: Callable[..., User]
) -> None:
    channel(first, daily_cap="250")
    user = customer()
    give(user, "UAH", "5000")
    rows = [parts_of(paid_out("100", to=SUCCESS, user=user))[0].payout_id for _ in range(4)]
    together(4, lambda number: paying.payout_advance(rows[number]))
    states = sorted(Payout.objects.filter(pk__in=rows).values_list("state", flat=True))
    assert states == ["confirmed", "confirmed", "new", "new"]


@pytest.mark.parametrize(
    "fields",
    [
        {"min_amount": "10", "max_amount": "5"},
        {"min_amount": "-1"},
        {"daily_cap": "0"},
        {"max_parts": 0},
        {"max_parts": 51},
        {"opens_at": time(9)},
        {"opens_at": time(9), "closes_at": time(9)},
    ],
)
def test_the_database_refuses_nonsense(first: Provider, channel: Channels, fields: dict[str, Any]) -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        channel(first, **fields)
    assert not Channel.objects.exists()


def test_nonsense_is_said_in_words(first: Provider, channel: Channels) -> None:
    row = channel(first)
    for fields, name in (
        ({"min_amount": Decimal(10), "max_amount": Decimal(5)}, "max_amount"),
        ({"opens_at": time(9), "closes_at": None}, "closes_at"),
        ({"opens_at": time(9), "closes_at": time(9)}, "closes_at"),
    ):
        for key, value in fields.items():
            setattr(row, key, value)
        with pytest.raises(ValidationError) as told:
            row.clean()
        assert list(told.value.message_dict) == [name]
        row.refresh_from_db()
