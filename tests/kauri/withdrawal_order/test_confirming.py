"""A withdrawal that its customer confirms: who gets a code, what it does, and what nothing else does."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.core import mail
from django.db import DatabaseError, IntegrityError, transaction

from kauri.account.models import ConfirmationCode, User
from kauri.account.services import account_freeze, link_issue
from kauri.balance import invariants
from kauri.balance.chart import TransferKind
from kauri.common import clock, crypto
from kauri.common.actor import Actor
from kauri.notification.models import Delivery
from kauri.order_core.models import Approval, Order, Policy, Transition
from kauri.payment_provider.models import Payout
from kauri.withdrawal_order import confirming, steps
from kauri.withdrawal_order.confirming import confirmations_sweep
from kauri.withdrawal_order.models import ReviewRule, WithdrawalDetail, WithdrawalPart
from kauri.withdrawal_order.services import withdrawal_cancel
from tests.api.account_moves import phone, with_factor
from tests.kauri.withdrawal_order.conftest import ask, code_sent, policy, rules_of, status
from tests.moves import balance_of, code_of, events, transfers


def confirm(user: User, order: Order, code: str = "", totp_code: str = "") -> Order:
    return confirming.withdrawal_confirm(
        order_id=order.public_id, code=code, totp_code=totp_code, user_id=user.pk, actor=user.as_actor()
    )


def wait(monkeypatch: pytest.MonkeyPatch, **time: float) -> None:
    now = clock.now() + timedelta(**time)
    monkeypatch.setattr(clock, "now", lambda: now)


def test_above_the_threshold_it_waits_for_its_code_and_then_goes_out(
    confirmed: User, drain: Callable[..., int]
) -> None:
    assert status(ask(confirmed, "50")) == "PAYMENT_IN_PROGRESS"
    order = ask(confirmed, "100", ip="203.0.113.7")
    limit = next(row for row in order.explanation["limits"] if row["limit"] == "email_above")
    assert (limit["value"], limit["bound"], limit["unit"]) == ("100", "50", "UAH")
    assert status(order) == "WAITING_FOR_CONFIRMATION"
    assert [event.payload["status"] for event in events("withdrawal.waiting_for_confirmation")] == [
        "WAITING_FOR_CONFIRMATION"
    ]
    assert Payout.objects.filter(order_id=order.public_id).count() == 0
    drain()
    [letter] = mail.outbox
    for said in ("100 UAH", "sandbo…uccess", "203.0.113.7", "/freeze/"):
        assert said in letter.body
    assert balance_of(confirmed, "UAH")[1] == 105
    confirm(confirmed, order, code_sent())
    assert status(order) == "PAYMENT_IN_PROGRESS"
    assert Payout.objects.filter(order_id=order.public_id).count() == 1
    drain()
    assert status(order) == "CLOSED"
    assert [row.to_status for row in Transition.objects.filter(order=order)] == [
        "NEW",
        "WAITING_FOR_CONFIRMATION",
        "PAYMENT_IN_PROGRESS",
        "CLOSED",
    ]
    assert invariants.broken_laws() == []


def test_it_goes_to_the_operators_where_a_rule_said_so(confirmed: User, drain: Callable[..., int]) -> None:
    ReviewRule.objects.update(is_enabled=True, approvals_needed=2)
    order = ask(confirmed)
    assert Approval.objects.count() == 0, "nobody decides on what its customer did not confirm"
    # What happened since is looked at too.
    User.objects.filter(pk=confirmed.pk).update(security_changed_at=clock.now())
    drain()
    confirm(confirmed, order, code_sent())
    approval = Approval.objects.get(order=order)
    assert [rule["rule"] for rule in approval.rules] == ["new_destination", "security_changed"]
    assert (approval.needed, rules_of(order)) == (2, ["new_destination", "security_changed"])
    assert Payout.objects.count() == 0


def test_five_tries_a_letter_and_each_counts(confirmed: User, drain: Callable[..., int]) -> None:
    order = ask(confirmed)
    drain()
    code = code_sent()
    for _ in range(5):
        assert code_of(lambda: confirm(confirmed, order, "00000000")) == "wrong_code"
    assert ConfirmationCode.objects.get().tries_left == 0
    assert code_of(lambda: confirm(confirmed, order, code)) == "wrong_code"
    confirming.withdrawal_confirm_resend(order_id=order.public_id, user_id=confirmed.pk)
    drain()
    assert code_sent() != code
    assert code_of(lambda: confirm(confirmed, order, code)) == "wrong_code"
    assert status(order) == "WAITING_FOR_CONFIRMATION"
    stored = ConfirmationCode.objects.latest("id").code_hash
    assert code_sent() not in stored
    assert len(stored) == 64
    assert code_of(lambda: confirm(confirmed, order, code_sent())) == "ok"


def test_letters_are_few(confirmed: User) -> None:
    order = ask(confirmed)
    again = lambda: confirming.withdrawal_confirm_resend(  # noqa: E731
        order_id=order.public_id, user_id=confirmed.pk
    )
    assert [code_of(again) for _ in range(5)] == ["ok"] * 4 + ["rate_limited"]
    assert ConfirmationCode.objects.count() == 5
    assert ConfirmationCode.objects.filter(used_at__isnull=True).count() == 1


def test_one_orders_code_is_no_others(confirmed: User, drain: Callable[..., int]) -> None:
    first, second = ask(confirmed), ask(confirmed)
    drain()
    codes = [str(letter.body).split("\n\n")[2].strip() for letter in mail.outbox[-2:]]
    assert code_of(lambda: confirm(confirmed, first, codes[1])) == "wrong_code"
    assert code_of(lambda: confirm(confirmed, second, codes[1])) == "ok"
    assert (status(first), status(second)) == ("WAITING_FOR_CONFIRMATION", "PAYMENT_IN_PROGRESS")


def test_nobody_confirmed_in_time(
    confirmed: User, drain: Callable[..., int], monkeypatch: pytest.MonkeyPatch
) -> None:
    order = ask(confirmed)
    drain()
    assert confirmations_sweep() == 0
    wait(monkeypatch, seconds=steps.CONFIRM_LIFE.total_seconds() + 1)
    assert code_of(lambda: confirm(confirmed, order, code_sent())) == "wrong_state"
    assert confirmations_sweep() == 1
    assert status(order) == "WAITING_FOR_CONFIRMATION"
    drain(times=2)
    assert confirmations_sweep() == 0
    assert (status(order), balance_of(confirmed, "UAH")) == ("EXPIRED", (Decimal(1000), Decimal(0)))
    assert transfers(TransferKind.WITHDRAWAL_RELEASE) == 1
    assert code_of(lambda: confirm(confirmed, order, code_sent())) == "wrong_state"
    assert Payout.objects.count() == 0
    assert invariants.broken_laws() == []


def test_it_is_taken_back_while_it_waits(confirmed: User, drain: Callable[..., int]) -> None:
    order = ask(confirmed)
    drain()
    withdrawal_cancel(order_id=order.public_id, user_id=confirmed.pk, actor=confirmed.as_actor())
    assert (status(order), balance_of(confirmed, "UAH")) == ("CANCELLED", (Decimal(1000), Decimal(0)))
    assert code_of(lambda: confirm(confirmed, order, code_sent())) == "wrong_state"
    assert Payout.objects.count() == 0


def test_a_frozen_account_confirms_nothing(confirmed: User, drain: Callable[..., int]) -> None:
    order = ask(confirmed)
    drain()
    account_freeze(token=link_issue(confirmed, "freeze"), ip="")
    assert code_of(lambda: confirm(confirmed, order, code_sent())) == "account_disabled"
    assert (status(order), Payout.objects.count()) == ("WAITING_FOR_CONFIRMATION", 0)


def test_an_account_without_an_address_is_asked_by_telegram(
    confirmed: User, settings: Any, drain: Callable[..., int]
) -> None:
    settings.KAURI = settings.KAURI.model_copy(update={"telegram_token": "123456:test"})
    User.objects.filter(pk=confirmed.pk).update(email="telegram-7@telegram.invalid", telegram_id=7)
    confirmed.refresh_from_db()
    order = ask(confirmed)
    event = events("letter")[-1]
    assert (event.payload["channel"], event.payload["to"]) == ("telegram", "7")
    sealed = json.loads(crypto.decrypt(event.payload["sealed"]))
    from kauri.notification.services import outbox_dispatch

    outbox_dispatch(event.pk)
    message = Delivery.objects.get(title="withdrawal_code")
    assert (message.channel, message.target) == ("telegram", "7")
    assert sealed["code"] not in message.body, "no code lies about in clear"
    assert code_of(lambda: confirm(confirmed, order, sealed["code"])) == "ok"


def test_without_any_letter_an_authenticator_confirms(confirmed: User) -> None:
    User.objects.filter(pk=confirmed.pk).update(email="telegram-7@telegram.invalid", telegram_id=None)
    confirmed.refresh_from_db()
    assert code_of(lambda: ask(confirmed)) == "confirmation_unavailable"
    assert Order.objects.count() == 0
    device = with_factor(confirmed)
    order = ask(confirmed)
    assert ConfirmationCode.objects.count() == 0
    assert code_of(lambda: confirm(confirmed, order)) == "totp_required"
    assert code_of(lambda: confirm(confirmed, order, totp_code=phone(device.secret))) == "ok"
    assert status(order) == "PAYMENT_IN_PROGRESS"


def test_the_authenticator_is_no_way_around_the_letter(confirmed: User) -> None:
    device = with_factor(confirmed)
    order = ask(confirmed)
    assert code_of(lambda: confirm(confirmed, order, totp_code=phone(device.secret))) == "wrong_code"
    assert status(order) == "WAITING_FOR_CONFIRMATION"


def test_the_database_pays_nothing_that_waits(confirmed: User, operator: Callable[..., Actor]) -> None:
    order = ask(confirmed)
    other = ask(confirmed, "50")
    payout = Payout.objects.get(order_id=other.public_id)
    with pytest.raises(DatabaseError, match="waits for a code"), transaction.atomic():
        WithdrawalPart.objects.filter(payout=payout).update(detail=order.pk)
    for values in ({"confirm_until": None}, {"confirm_until": None, "screen_due_at": clock.now()}):
        with pytest.raises(DatabaseError, match="by its code only"), transaction.atomic():
            WithdrawalDetail.objects.filter(pk=order.pk).update(**values)
    with pytest.raises(IntegrityError, match="withdrawal_waits_or_is_confirmed"), transaction.atomic():
        WithdrawalDetail.objects.filter(pk=order.pk).update(confirmed_at=clock.now())


def test_only_withdrawals_have_such_a_threshold(house: None) -> None:
    with pytest.raises(IntegrityError, match="policy_email_for_withdrawals"), transaction.atomic():
        Policy.objects.filter(operation="INTERNAL_MOVEMENT").update(email_above=1)
    with pytest.raises(IntegrityError, match="policy_email_above"), transaction.atomic():
        policy(email_above=Decimal(-1))
