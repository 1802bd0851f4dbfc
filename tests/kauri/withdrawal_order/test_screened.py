"""Analysis of where money goes: nothing is paid before its answer, and no answer is no pass."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import DatabaseError, connection, transaction

from kauri.account.models import User
from kauri.balance import invariants
from kauri.common import clock
from kauri.core.models import Provider
from kauri.order_core import screening
from kauri.order_core.models import Approval, Order, Screening, ScreeningPolicy
from kauri.payment_provider.models import Payout
from kauri.withdrawal_order import paying, screened
from kauri.withdrawal_order.confirming import withdrawal_confirm
from kauri.withdrawal_order.models import ReviewRule, WithdrawalDetail
from kauri.withdrawal_order.services import withdrawal_cancel
from tests.kauri.withdrawal_order.conftest import ask, code_sent, policy, rules_of, status
from tests.moves import Killed, balance_of, forget_queue


def due(order: Order) -> bool:
    return WithdrawalDetail.objects.get(pk=order.pk).screen_due_at is not None


def test_clean_goes_out_after_the_answer(
    analysis: ScreeningPolicy, user: User, drain: Callable[..., int]
) -> None:
    order = ask(user)
    assert (status(order), due(order), Payout.objects.count()) == ("NEW", True, 0)
    assert balance_of(user, "UAH")[1] == 105
    with pytest.raises(DatabaseError, match="waits for a code or an analysis"), transaction.atomic():
        paying.start(paying.locked(order.public_id), user.as_actor())
    drain()
    assert (status(order), due(order)) == ("CLOSED", False)
    found = Order.objects.get(pk=order.pk).withdrawal.screening
    assert found is not None
    assert (found.outcome, found.score) == ("pass", Decimal(0))
    assert rules_of(order) == []
    assert invariants.broken_laws() == []


def test_below_the_rules_amount_nobody_is_asked(analysis: ScreeningPolicy, user: User) -> None:
    ScreeningPolicy.objects.update(min_amount=101)
    order = ask(user)
    assert (status(order), due(order), Screening.objects.count()) == ("PAYMENT_IN_PROGRESS", False, 0)


@pytest.mark.parametrize(
    ("to", "name", "needed", "said"),
    [
        ("sandbox:fail", "destination_risk", 1, "0.6 (mixer)"),
        ("sandbox:decline", "destination_frozen", 2, "1 (sanctions)"),
    ],
)
def test_what_is_listed_is_for_people(
    analysis: ScreeningPolicy,
    user: User,
    drain: Callable[..., int],
    to: str,
    name: str,
    needed: int,
    said: str,
) -> None:
    order = ask(user, to=to)
    drain()
    approval = Approval.objects.get(order=order)
    [rule] = approval.rules
    assert (rule["rule"], rule["value"], approval.needed) == (name, said, needed)
    assert rule["screening"] == str(Screening.objects.get().public_id)
    assert (status(order), Payout.objects.count()) == ("WAITING_FOR_OPERATOR_CONFIRMATION", 0)
    assert rules_of(order) == [name]


def test_the_other_rules_say_their_part(
    analysis: ScreeningPolicy, user: User, drain: Callable[..., int]
) -> None:
    ReviewRule.objects.create(kind="amount", threshold=50, approvals_needed=3)
    ReviewRule.objects.create(kind="risk", threshold="0.5", approvals_needed=1)
    clean, dubious = ask(user), ask(user, to="sandbox:fail")
    assert Approval.objects.count() == 0
    drain()
    assert rules_of(clean) == ["review_amount"]
    assert rules_of(dubious) == ["review_amount", "destination_risk", "review_risk"]
    assert {row.needed for row in Approval.objects.all()} == {3}


@pytest.mark.parametrize("broken", ["off", "gone", "settings"])
def test_nobody_answering_is_a_hold(
    analysis: ScreeningPolicy, user: User, drain: Callable[..., int], broken: str
) -> None:
    order = ask(user)
    if broken == "off":
        Provider.objects.filter(code="list").update(is_enabled=False)
    elif broken == "gone":
        ScreeningPolicy.objects.update(is_enabled=False)
    else:
        Provider.objects.filter(code="list").update(settings={})
    drain()
    [rule] = Approval.objects.get(order=order).rules
    assert (rule["rule"], rule["value"]) == ("destination_risk", "unknown")
    assert Payout.objects.count() == 0


def test_a_killed_worker_loses_nothing(
    analysis: ScreeningPolicy, user: User, drain: Callable[..., int], monkeypatch: pytest.MonkeyPatch
) -> None:
    order = ask(user)
    forget_queue()

    def dies(**_: Any) -> Screening:
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(screening, "destination_risk", dies)
        with pytest.raises(Killed):
            screened.withdrawal_screen(order.pk)
    assert screened.screens_sweep() == 0, "its lease is not over"
    assert Payout.objects.count() == 0
    now = clock.now() + screened.LEASE + timedelta(seconds=1)
    monkeypatch.setattr(clock, "now", lambda: now)
    assert screened.screens_sweep() == 1
    drain(times=2)
    assert (status(order), Payout.objects.count()) == ("CLOSED", 1)


def test_who_can_not_be_asked_for_an_hour_is_not_asked_again(
    analysis: ScreeningPolicy, user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = ask(user)
    now = clock.now() + screened.GIVEN_UP_AFTER
    monkeypatch.setattr(clock, "now", lambda: now)
    screened.withdrawal_screen(order.pk)
    assert (rules_of(order), Screening.objects.count()) == (["destination_risk"], 0)


def test_nobody_is_asked_inside_a_transaction(
    analysis: ScreeningPolicy, user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = ask(user)
    depth = len(connection.savepoint_ids)
    seen = []
    asks = screening.destination_risk

    def looked(**asked: Any) -> Screening | None:
        seen.append(len(connection.savepoint_ids) - depth)
        return asks(**asked)

    monkeypatch.setattr(screening, "destination_risk", looked)
    screened.withdrawal_screen(order.pk)
    assert seen == [0]


def test_taken_back_while_analysis_runs(
    analysis: ScreeningPolicy, user: User, drain: Callable[..., int]
) -> None:
    order = ask(user)
    withdrawal_cancel(order_id=order.public_id, user_id=user.pk, actor=user.as_actor())
    drain()
    assert (status(order), due(order), Payout.objects.count()) == ("CANCELLED", False, 0)
    assert balance_of(user, "UAH") == (Decimal(1000), Decimal(0))


@pytest.mark.parametrize("first", ["code", "answer"])
def test_both_a_code_and_an_answer_are_needed(
    analysis: ScreeningPolicy, user: User, drain: Callable[..., int], first: str
) -> None:
    policy(email_above=Decimal(50))
    order = ask(user)
    from kauri.core.models import OutboxEvent
    from kauri.notification.models import Delivery
    from kauri.notification.services import delivery_send, outbox_dispatch

    outbox_dispatch(OutboxEvent.objects.get(kind="letter").pk)
    delivery_send(Delivery.objects.get(title="withdrawal_code").pk)
    acts = {
        "code": lambda: withdrawal_confirm(
            order_id=order.public_id, code=code_sent(), totp_code="", user_id=user.pk, actor=user.as_actor()
        ),
        "answer": lambda: screened.withdrawal_screen(order.pk),
    }
    acts.pop(first)()
    assert (status(order), Payout.objects.count()) == ("WAITING_FOR_CONFIRMATION", 0)
    [last] = acts.values()
    last()
    assert (status(order), Payout.objects.count()) == ("PAYMENT_IN_PROGRESS", 1)
    drain()
    assert status(order) == "CLOSED"


def test_an_account_disabled_meanwhile_is_for_people(
    analysis: ScreeningPolicy, user: User, drain: Callable[..., int]
) -> None:
    order = ask(user)
    User.objects.filter(pk=user.pk).update(is_active=False, disabled_reason="a court")
    drain()
    assert rules_of(order) == ["account_disabled"]
    assert Payout.objects.count() == 0
