"""Decisions by Telegram, through the real bot and the real worker, against a Bot API on this machine."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import transaction

from kauri.account import telegram
from kauri.account.limits import limits_set
from kauri.account.models import TOTPDevice, User
from kauri.account.second_factor import WRONG_CODES
from kauri.balance import invariants
from kauri.common import clock
from kauri.common.actor import SYSTEM, Actor
from kauri.core.audit import audit
from kauri.core.models import AuditEntry, Currency, OutboxEvent
from kauri.core.outbox import emit
from kauri.exchange_rate.services import usd_rate_set
from kauri.internal_movement_order.models import MovementDetail
from kauri.internal_movement_order.services import MovementRequest, movement_create
from kauri.notification.models import Delivery
from kauri.notification.services import deliveries_sweep, outbox_dispatch
from kauri.order_core import asking, dialog
from kauri.order_core.models import Approval, ApprovalVote, DecisionAsk, OperatorLimit, Order, Policy
from kauri.order_core.reasons import rule_text
from kauri.withdrawal_order import services, waiting
from tests.backoffice.telegram import BotApi, run_bot
from tests.moves import balance_of, code_of, give, sandbox_on, six_digits, together, withdraw

pytestmark = pytest.mark.django_db(transaction=True)

Link = Callable[..., User]
Ask = Callable[..., Order]
Drain = Callable[..., int]


@pytest.fixture
def link(operator: Callable[..., Actor], telegram_api: BotApi) -> Link:
    """An operator of a role whose Telegram has this number."""

    def make(number: int, role: str = "Treasury", **fields: Any) -> User:
        user = User.objects.get(pk=int(operator(role).id))
        for name, value in {"telegram_id": number, **fields}.items():
            setattr(user, name, value)
        user.save()
        return user

    return make


@pytest.fixture
def ask(customer: Callable[..., User], drain: Drain) -> Ask:
    """A withdrawal of 4,000 UAH, 100 USD, that waits, and of which everybody was told who may be told."""
    sandbox_on()
    usd_rate_set(
        currency_id=Currency.objects.get(code="UAH").pk,
        price="0.025",
        source="central bank",
        good_for=timedelta(hours=1),
        actor=SYSTEM,
    )

    def make(amount: str = "4000") -> Order:
        user = customer()
        give(user, "UAH", "10000")
        order = withdraw(user, amount, currency="UAH", to="sandbox:success")
        drain()
        return order

    return make


def status(order: Order) -> str:
    return str(Order.objects.get(pk=order.pk).status)


def press(api: BotApi, number: int, words: str) -> None:
    """Press the newest button of these words; a bot that has just been started answers: it remembers nothing."""
    data = api.button(number, words)
    place = next(place for place, rows in api.buttons.items() if data in str(rows) and place[0] == number)
    api.press(data, number, place[1])
    run_bot(api)


def say(api: BotApi, number: int, text: str) -> int:
    told = api.say(text, number)
    run_bot(api)
    return told


def wrong_code(user: User) -> str:
    """Six digits that the authenticator does not show now."""
    right = six_digits(user)
    return f"{(int(right) + 500_001) % 1_000_000:06d}"


def test_who_may_decide_is_told_the_facts_and_approves_with_a_code(
    telegram_api: BotApi, link: Link, ask: Ask, drain: Drain
) -> None:
    first, second = link(101), link(102, language="uk")
    order = ask()
    why = "; ".join(str(rule_text(rule)) for rule in order.approval.rules)
    number = order.owner.number
    assert telegram_api.chat(101) == [
        "⏳ Withdrawal: 4000 UAH (100.00 USD)\n"
        f"Order: …{str(order.public_id)[-8:]}\nCustomer: {number}\nDestination: sandbo…uccess\nWhy: {why}\n"
        f"https://office.example/order_core/order/{order.public_id}/"
    ]
    shown = telegram_api.chat(102)[0]
    assert shown.startswith("⏳ Вивід: 4000 UAH (100.00 USD)\n")
    assert number in shown
    assert order.owner.email not in shown
    press(telegram_api, 101, "Approve")
    assert telegram_api.chat(101)[1].startswith("Approve 4000 UAH → sandbo…uccess?\nSend the six digits")
    assert status(order) == "WAITING_FOR_OPERATOR_CONFIRMATION"
    told = say(telegram_api, 101, six_digits(first))
    assert telegram_api.chat(101)[2] == "Approved: 4000 UAH → sandbo…uccess goes out."
    assert (101, told) in telegram_api.deleted
    vote = ApprovalVote.objects.get()
    assert (vote.actor_id, vote.decision, vote.reason) == (str(first.pk), "approve", "")
    entry = AuditEntry.objects.get(verb="withdrawal_approve")
    assert (entry.ip, entry.after) == (
        None,
        {"decision": "approve", "approval": "approved", "via": "telegram"},
    )
    drain()
    ended = f"{first.email} approved it at {vote.at:%Y-%m-%d %H:%M:%S} UTC."
    assert telegram_api.chat(101)[0].endswith(ended)
    assert telegram_api.chat(102)[0].split("\n")[-1].startswith(f"Схвалено: {first.email}")
    assert [rows for place, rows in telegram_api.buttons.items() if place[1] < told and rows] == [
        [[{"text": "Cancel", "callback_data": f"x:{order.approval.asks.get(operator=first).token}"}]]
    ]
    assert status(order) == "CLOSED"
    assert order.approval.asks.filter(operator=second).get().step == "ended"
    assert invariants.broken_laws() == []


def test_a_rejection_has_a_reason_of_the_list_words_and_a_code(
    telegram_api: BotApi, link: Link, ask: Ask, drain: Drain
) -> None:
    user = link(101)
    order = ask()
    press(telegram_api, 101, "Reject")
    assert say(telegram_api, 101, six_digits(user))
    assert telegram_api.chat(101)[-1] == "Choose a reason by its button first."
    press(telegram_api, 101, "Suspicious destination")
    say(telegram_api, 101, "seen in a report")
    assert telegram_api.chat(101)[-1].startswith("Your words are noted.")
    assert ApprovalVote.objects.count() == 0
    say(telegram_api, 101, six_digits(user))
    vote = ApprovalVote.objects.get()
    assert (vote.decision, vote.reason) == ("reject", "Suspicious destination: seen in a report")
    assert status(order) == "CANCELLED"
    assert balance_of(order.owner, "UAH") == (Decimal(10000), Decimal(0))
    assert AuditEntry.objects.get(verb="withdrawal_reject").after["via"] == "telegram"
    drain()
    assert f"{user.email} rejected it" in telegram_api.chat(101)[0]


def test_by_telegram_the_services_ask_for_a_code_whatever_the_amount(link: Link, ask: Ask) -> None:
    actor = replace(link(101).as_actor(), via="telegram")
    order = ask("100")
    for act in (
        lambda code: services.withdrawal_approve(order_id=order.public_id, actor=actor, code=code),
        lambda code: services.withdrawal_reject(
            order_id=order.public_id, actor=actor, reason="no", code=code
        ),
    ):
        refused = [code_of(lambda: act(code)) for code in ("", "12345x")]  # noqa: B023 - called at once
        assert refused == ["totp_required", "totp_invalid"]
    assert ApprovalVote.objects.count() == 0


def test_wrong_codes_count_and_decide_nothing(telegram_api: BotApi, link: Link, ask: Ask) -> None:
    user = link(101)
    order = ask()
    press(telegram_api, 101, "Approve")
    for _ in range(WRONG_CODES):
        say(telegram_api, 101, wrong_code(user))
        assert telegram_api.chat(101)[-1] == (
            "The one-time code is wrong or was used already. Nothing was decided."
        )
    say(telegram_api, 101, six_digits(user))
    assert telegram_api.chat(101)[-1] == "Too many requests."
    refused = AuditEntry.objects.filter(verb="code_refused")
    assert [row.after for row in refused] == [{"act": "withdrawal_approve", "via": "telegram"}] * WRONG_CODES
    assert (ApprovalVote.objects.count(), status(order)) == (0, "WAITING_FOR_OPERATOR_CONFIRMATION")
    # The dialogue is over: even the right code of a later time means nothing now.
    say(telegram_api, 101, six_digits(user))
    assert telegram_api.chat(101)[-1] == "No decision waits for a code. Nothing was done."


def test_a_wrong_code_may_be_followed_by_the_right_one(telegram_api: BotApi, link: Link, ask: Ask) -> None:
    user = link(101)
    order = ask()
    press(telegram_api, 101, "Approve")
    say(telegram_api, 101, wrong_code(user))
    say(telegram_api, 101, six_digits(user))
    assert (ApprovalVote.objects.count(), status(order)) == (1, "PAYMENT_IN_PROGRESS")


def test_a_code_is_used_up_by_the_decision(telegram_api: BotApi, link: Link, ask: Ask) -> None:
    user = link(101)
    first, second = ask(), ask()
    code = six_digits(user)
    for order in (second, first):  # the newest message has the newest button
        data = f"a:{order.approval.asks.get().token}"
        telegram_api.press(data, 101)
        telegram_api.say(code, 101)
    run_bot(telegram_api)
    assert [status(order) for order in (second, first)] == [
        "PAYMENT_IN_PROGRESS",
        "WAITING_FOR_OPERATOR_CONFIRMATION",
    ]


def test_what_is_pressed_or_said_twice_decides_once(telegram_api: BotApi, link: Link, ask: Ask) -> None:
    user = link(101)
    order = ask()
    code, data = six_digits(user), telegram_api.button(101, "Approve")
    for _ in range(2):
        telegram_api.press(data, 101)
    for _ in range(2):
        telegram_api.say(code, 101)
    telegram_api.press(data, 101)
    run_bot(telegram_api)
    assert ApprovalVote.objects.count() == 1
    assert telegram_api.chat(101)[-1] == "No decision waits for a code. Nothing was done."
    assert telegram_api.notes[-1].startswith(f"{user.email} approved it at")
    # An update that Telegram delivers again, because the bot died before it confirmed it.
    before = len(telegram_api.sent)
    telegram_api.updates.append({**telegram_api.updates[2], "update_id": 2000})
    run_bot(telegram_api)
    assert telegram_api.chat(101)[-1] == "No decision waits for a code. Nothing was done."
    assert (ApprovalVote.objects.count(), len(telegram_api.sent)) == (1, before + 1)
    assert status(order) == "PAYMENT_IN_PROGRESS"


def test_facts_that_changed_are_shown_anew_and_never_decided_on(
    telegram_api: BotApi, link: Link, ask: Ask, drain: Drain
) -> None:
    user = link(101)
    order = ask()
    old = telegram_api.button(101, "Approve")
    more = [*order.approval.rules, {"rule": "review_young", "text": "young", "value": "", "limit": ""}]
    Approval.objects.filter(order=order).update(rules=more)
    telegram_api.press(old, 101)
    run_bot(telegram_api)
    assert telegram_api.notes[-1] == "It has changed since it was shown to you. Nothing was done."
    say(telegram_api, 101, six_digits(user))
    assert telegram_api.chat(101)[-1] == "No decision waits for a code. Nothing was done."
    drain()
    assert "The account is younger than a review rule" in telegram_api.chat(101)[0]
    assert telegram_api.button(101, "Approve") != old
    telegram_api.press(old, 101)
    run_bot(telegram_api)
    assert telegram_api.notes[-1] == "Not found."
    # Changed between the press and the code.
    press(telegram_api, 101, "Approve")
    Approval.objects.filter(order=order).update(rules=more[:1])
    say(telegram_api, 101, six_digits(user))
    assert telegram_api.chat(101)[-1] == "It has changed since it was shown to you. Nothing was done."
    assert (ApprovalVote.objects.count(), status(order)) == (0, "WAITING_FOR_OPERATOR_CONFIRMATION")
    drain()
    assert "younger" not in telegram_api.chat(101)[0]
    press(telegram_api, 101, "Approve")
    say(telegram_api, 101, six_digits(user))
    assert ApprovalVote.objects.count() == 1


def test_what_is_shown_names_amount_destination_and_status(ask: Ask) -> None:
    """Whatever of these changes, the buttons of before are worth nothing."""
    order = ask()
    room, read = asking.room_of(order.approval)
    seen = room.shown(read)
    for change in (
        lambda row: setattr(row, "amount_out", Decimal(3999)),
        lambda row: setattr(row, "fee", Decimal(1)),
        lambda row: setattr(row, "status", "CANCELLED"),
        lambda row: setattr(row.withdrawal, "destination", "sandbox:other"),
        lambda row: setattr(row, "currency_out", Currency.objects.get(code="EUR")),
    ):
        row = room.orders().get(pk=order.pk)
        change(row)
        assert room.shown(row) != seen
    assert room.shown(room.orders().get(pk=order.pk)) == seen


def test_after_five_minutes_nothing_is_decided(telegram_api: BotApi, link: Link, ask: Ask) -> None:
    user = link(101)
    order = ask()
    press(telegram_api, 101, "Approve")
    open_ask = DecisionAsk.objects.get()
    assert open_ask.answer_until - clock.now() <= dialog.LIFE == timedelta(minutes=5)
    DecisionAsk.objects.update(answer_until=clock.now() - timedelta(seconds=1))
    say(telegram_api, 101, six_digits(user))
    assert telegram_api.chat(101)[-1] == (
        "Five minutes are over: nothing was decided. Press the button again."
    )
    assert (ApprovalVote.objects.count(), status(order)) == (0, "WAITING_FOR_OPERATOR_CONFIRMATION")
    press(telegram_api, 101, "Reject")
    DecisionAsk.objects.update(answer_until=clock.now() - timedelta(seconds=1))
    press(telegram_api, 101, "Other")
    assert telegram_api.chat(101)[-1].startswith("Five minutes are over")
    assert DecisionAsk.objects.get().step == "shown"


def test_a_press_of_anybody_else_finds_nothing(
    telegram_api: BotApi, link: Link, ask: Ask, customer: Callable[..., User]
) -> None:
    user, other = link(101), link(102)
    customer(telegram_id=103)
    order = ask()
    mine = f"a:{order.approval.asks.get(operator=user).token}"
    for number in (102, 103, 104):
        telegram_api.press(mine, number)
    telegram_api.press("a:nonsense", 101)
    telegram_api.press("nonsense", 101)
    telegram_api.press(f"zz:{mine[2:]}", 101)
    telegram_api.press(f"q0:{mine[2:]}", 101)
    # In a group nothing is heard.
    telegram_api.press(mine, 101, chat="group")
    run_bot(telegram_api)
    assert telegram_api.notes == ["Not found."] * 7
    assert len(telegram_api.sent) == 2
    for who in (user, other):
        telegram_api.say(six_digits(who), who.telegram_id, chat="group")
    run_bot(telegram_api)
    assert len(telegram_api.sent) == 2
    assert (ApprovalVote.objects.count(), DecisionAsk.objects.filter(step="shown").count()) == (0, 2)


def test_an_operator_who_is_disabled_is_nobody(telegram_api: BotApi, link: Link, ask: Ask) -> None:
    user = link(101)
    order = ask()
    press(telegram_api, 101, "Approve")
    User.objects.filter(pk=user.pk).update(is_active=False)
    telegram_api.press(f"a:{order.approval.asks.get().token}", 101)
    telegram_api.say(six_digits(user), 101)
    run_bot(telegram_api)
    assert telegram_api.notes[-1] == "Not found."
    assert telegram_api.chat(101)[-1].startswith("This chat is not tied")
    assert ApprovalVote.objects.count() == 0


def test_only_who_may_decide_is_asked_and_a_forged_press_finds_nothing(
    telegram_api: BotApi, link: Link, ask: Ask, customer: Callable[..., User], operator: Callable[..., Actor]
) -> None:
    link(101, "Support")
    link(102, is_active=False)
    below, day, narrow, told = link(103), link(104), link(105), link(106)
    OperatorLimit.objects.create(operator=below, per_approval=Decimal("99.99"))
    OperatorLimit.objects.create(operator=day, per_day=Decimal("99.99"))
    maker = operator("Administrator")
    limits_set(
        operator_id=narrow.pk,
        limits={"currencies": [Currency.objects.get(code="EUR").pk]},
        reason="euros",
        code=six_digits(maker),
        actor=maker,
    )
    order = ask()
    assert {sent["chat_id"] for sent in telegram_api.sent} == {"106"}
    token = order.approval.asks.get().token
    for number in (101, 103, 104, 105):
        telegram_api.press(f"a:{token}", number)
    run_bot(telegram_api)
    assert telegram_api.notes == ["Not found."] * 4
    # Who was asked and is limited since then finds nothing either; an edit of the account is told.
    audit(told.as_actor(), "account_disable", object_type="user", object_id=order.owner_id)
    telegram_api.press(f"a:{token}", 106)
    run_bot(telegram_api)
    assert "You changed this customer's account" in telegram_api.notes[-1]
    limits_set(
        operator_id=told.pk,
        limits={"currencies": [Currency.objects.get(code="EUR").pk]},
        reason="euros",
        code=six_digits(maker),
        actor=maker,
    )
    telegram_api.press(f"a:{token}", 106)
    run_bot(telegram_api)
    assert telegram_api.notes[-1] == "Not found."
    assert (ApprovalVote.objects.count(), len(telegram_api.sent)) == (0, 1)


def test_who_edited_the_account_is_not_asked(
    telegram_api: BotApi, link: Link, customer: Callable[..., User], ask: Ask, drain: Drain
) -> None:
    editor = link(101)
    ask()
    assert len(telegram_api.sent) == 1
    user = customer()
    give(user, "UAH", "10000")
    audit(editor.as_actor(), "account_enable", object_type="user", object_id=user.pk)
    withdraw(user, "4000", currency="UAH", to="sandbox:success")
    drain()
    assert len(telegram_api.sent) == 1


def test_two_operators_at_once_have_one_winner_and_the_loser_is_told(
    telegram_api: BotApi, link: Link, ask: Ask
) -> None:
    people = [link(101), link(102)]
    order = ask()
    for user in people:
        press(telegram_api, user.telegram_id, "Approve")
    codes = [six_digits(user) for user in people]
    said = together(2, lambda number: dialog.word(people[number], codes[number]).text)
    vote = ApprovalVote.objects.get()
    winner = next(number for number, user in enumerate(people) if str(user.pk) == vote.actor_id)
    assert said[winner] == "Approved: 4000 UAH → sandbo…uccess goes out."
    assert said[1 - winner] == (
        f"{people[winner].email} approved it at {vote.at:%Y-%m-%d %H:%M:%S} UTC. Nothing was done twice."
    )
    assert status(order) == "PAYMENT_IN_PROGRESS"


def test_where_two_must_approve_the_second_is_told_of_the_first(
    telegram_api: BotApi, link: Link, ask: Ask, drain: Drain
) -> None:
    first, second = link(101), link(102, "Senior")
    OperatorLimit.objects.create(operator=first, second_look=Decimal(100))
    order = ask()
    press(telegram_api, 101, "Approve")
    say(telegram_api, 101, six_digits(first))
    assert telegram_api.chat(101)[-1] == (
        "Your approval counts. Another person has to approve 4000 UAH → sandbo…uccess as well."
    )
    drain()
    assert telegram_api.chat(101)[0].endswith(
        "You have approved it. Another person has to approve it as well."
    )
    assert "Approvals: 1 of 2" in telegram_api.chat(102)[0]
    assert f"{first.email} approved it at" in telegram_api.chat(102)[0]
    token = order.approval.asks.get(operator=first).token
    telegram_api.press(f"a:{token}", 101)
    press(telegram_api, 102, "Approve")
    say(telegram_api, 102, six_digits(second))
    assert ApprovalVote.objects.count() == 2
    assert status(order) == "PAYMENT_IN_PROGRESS"


def test_an_order_that_another_has_taken_is_not_decided_on(
    telegram_api: BotApi, link: Link, ask: Ask
) -> None:
    user, other = link(101), link(102)
    order = ask()
    press(telegram_api, 101, "Approve")
    waiting.withdrawal_take(order_id=order.public_id, actor=other.as_actor())
    say(telegram_api, 101, six_digits(user))
    assert telegram_api.chat(101)[-1].startswith(f"{other.email} took it at")
    assert ApprovalVote.objects.count() == 0


def test_what_the_customer_takes_back_has_no_buttons_any_more(
    telegram_api: BotApi, link: Link, ask: Ask, drain: Drain
) -> None:
    link(101)
    order = ask()
    services.withdrawal_cancel(order_id=order.public_id, user_id=order.owner_id, actor=order.owner.as_actor())
    drain()
    assert telegram_api.chat(101)[0].endswith("The customer withdrew this order.")
    assert [rows for rows in telegram_api.buttons.values() if rows] == []


def test_a_lost_answer_sends_a_second_message_and_no_second_decision(
    telegram_api: BotApi, link: Link, ask: Ask, drain: Drain
) -> None:
    user = link(101)
    telegram_api.lost_answers = 1
    ask()
    Delivery.objects.filter(channel="telegram").update(next_attempt_at=clock.now())
    deliveries_sweep()
    drain()
    assert len(telegram_api.sent) == 2
    data = telegram_api.button(101, "Approve")
    first, second = (int(sent["message_id"]) for sent in telegram_api.sent)
    telegram_api.press(data, 101, first)
    telegram_api.say(six_digits(user), 101)
    telegram_api.press(data, 101, second)
    telegram_api.press(data, 101, first)
    run_bot(telegram_api)
    assert ApprovalVote.objects.count() == 1
    assert all(f"{user.email} approved it" in telegram_api.texts[101, number] for number in (first, second))
    drain()
    assert Delivery.objects.filter(replaces__isnull=False).get().state == "delivered"


def test_a_movement_is_decided_on_alike(
    telegram_api: BotApi, link: Link, customer: Callable[..., User], drain: Drain
) -> None:
    user = link(101)
    Policy.objects.filter(operation="INTERNAL_MOVEMENT").update(approval_above=Decimal(0))
    sender, receiver = customer(), customer()
    give(sender, "UAH", "10000")
    request = MovementRequest(
        user_id=sender.pk,
        currency="UAH",
        amount="4000",
        addressed_by=MovementDetail.AddressedBy.EMAIL,
        addressed_to=receiver.email,
    )
    order = movement_create(request=request, actor=sender.as_actor())
    drain()
    assert f"Recipient: {receiver.number}" in telegram_api.chat(101)[0]
    assert "(nobody knows the rate)" in telegram_api.chat(101)[0]
    press(telegram_api, 101, "Approve")
    say(telegram_api, 101, six_digits(user))
    assert status(order) == "CLOSED"
    assert balance_of(receiver, "UAH") == (Decimal(4000), Decimal(0))


def test_cancel_decides_nothing_and_one_dialogue_ends_another(
    telegram_api: BotApi, link: Link, ask: Ask
) -> None:
    user = link(101)
    first, second = ask(), ask()
    for order in (first, second):
        telegram_api.press(f"a:{order.approval.asks.get().token}", 101)
    run_bot(telegram_api)
    assert [order.approval.asks.get().step for order in (first, second)] == ["shown", "code"]
    press(telegram_api, 101, "Cancel")
    assert telegram_api.chat(101)[-1] == "Nothing was decided."
    say(telegram_api, 101, six_digits(user))
    assert telegram_api.chat(101)[-1] == "No decision waits for a code. Nothing was done."
    say(telegram_api, 101, "hello")
    assert telegram_api.chat(101)[-1] == f"{user.email}: what waits for you comes here."
    assert ApprovalVote.objects.count() == 0


def test_without_a_bot_nobody_is_asked(link: Link, ask: Ask, settings: Any) -> None:
    settings.KAURI = settings.KAURI.model_copy(update={"telegram_token": ""})
    link(101)
    ask()
    assert (DecisionAsk.objects.count(), Delivery.objects.filter(channel="telegram").count()) == (0, 0)


def test_a_chat_is_one_persons(telegram_api: BotApi, link: Link, customer: Callable[..., User]) -> None:
    user = link(42)
    made = telegram.telegram_assign(user=customer(), ip="")
    say(telegram_api, 42, f"/start {made.code}")
    assert telegram_api.chat(42)[-1] == "The request conflicts with another one."
    assert User.objects.get(telegram_id=42) == user


def test_devices_are_the_operators_own(telegram_api: BotApi, link: Link, ask: Ask) -> None:
    """Another operator's digits are no digits of mine."""
    link(101)
    other = link(102)
    ask()
    press(telegram_api, 101, "Approve")
    assert TOTPDevice.objects.filter(user=other).count() == 0
    say(telegram_api, 101, six_digits(other))
    assert "wrong or was used already" in telegram_api.chat(101)[-1]
    assert ApprovalVote.objects.count() == 0


def live(api: BotApi, number: int) -> list[str]:
    """The words of all buttons that somebody's chat shows."""
    rows = [row for place, shown in api.buttons.items() if place[0] == number for row in shown]
    return [button["text"] for row in rows for button in row]


def test_on_hold_the_buttons_go_and_put_back_it_asks_anew(
    telegram_api: BotApi, link: Link, ask: Ask, drain: Drain
) -> None:
    user, other = link(101), link(102)
    order = ask()
    old = telegram_api.button(101, "Approve")
    waiting.withdrawal_hold(order_id=order.public_id, reason="papers", actor=other.as_actor())
    drain()
    assert live(telegram_api, 101) + live(telegram_api, 102) == []
    assert f"{other.email} put it on hold at" in telegram_api.chat(101)[0]
    telegram_api.press(old, 101, 1)
    run_bot(telegram_api)
    assert telegram_api.notes[-1].startswith(f"{other.email} put it on hold at")
    waiting.withdrawal_unhold(order_id=order.public_id, actor=other.as_actor())
    drain()
    first, second = telegram_api.chat(101)
    assert first.endswith("a later message asks, if it is yours to decide.")
    assert second.startswith("⏳ Withdrawal: 4000 UAH")
    assert live(telegram_api, 101) == ["Approve", "Reject"]
    assert telegram_api.button(101, "Approve") != old
    telegram_api.press(old, 101, 1)
    run_bot(telegram_api)
    assert ApprovalVote.objects.count() == 0
    press(telegram_api, 101, "Approve")
    say(telegram_api, 101, six_digits(user))
    drain()
    assert ApprovalVote.objects.get().actor_id == str(user.pk)
    assert live(telegram_api, 102) == []
    assert telegram_api.chat(102)[-1].split("\n")[-1].startswith(f"{user.email} approved it at")


def test_put_aside_and_back_before_anybody_was_told_leaves_one_question(
    telegram_api: BotApi, link: Link, ask: Ask, drain: Drain
) -> None:
    user = link(101)
    order = ask()
    for _time in range(2):
        waiting.withdrawal_hold(order_id=order.public_id, reason="papers", actor=user.as_actor())
        waiting.withdrawal_unhold(order_id=order.public_id, actor=user.as_actor())
    drain()
    assert live(telegram_api, 101) == ["Approve", "Reject"]


def test_what_another_has_shows_its_buttons_to_them_alone(
    telegram_api: BotApi, link: Link, ask: Ask, drain: Drain
) -> None:
    link(101)
    other = link(102)
    order = ask()
    waiting.withdrawal_take(order_id=order.public_id, actor=other.as_actor())
    drain()
    assert (live(telegram_api, 101), live(telegram_api, 102)) == ([], ["Approve", "Reject"])
    assert f"{other.email} took it at" in telegram_api.chat(101)[0]
    waiting.withdrawal_untake(order_id=order.public_id, actor=other.as_actor())
    drain()
    assert live(telegram_api, 101) == ["Approve", "Reject"]
    assert len(telegram_api.chat(101)) == 1


def test_decided_on_the_page_the_buttons_go(telegram_api: BotApi, link: Link, ask: Ask, drain: Drain) -> None:
    link(101)
    other = link(102)
    order = ask()
    services.withdrawal_reject(order_id=order.public_id, actor=other.as_actor(), reason="no")
    drain()
    assert live(telegram_api, 101) + live(telegram_api, 102) == []


def tie(operator: User, number: int) -> None:
    """The operator opens a link of their own in Telegram."""
    with transaction.atomic():
        made = telegram.link_make(User.objects.select_for_update().get(pk=operator.pk), operator.as_actor())
    telegram.telegram_verify(code=made.code, telegram_id=number, username="", ip="", is_own_bot=True)


def untie(operator: User) -> None:
    User.objects.filter(pk=operator.pk).update(telegram_id=None)
    operator.refresh_from_db()


def test_who_is_tied_later_is_asked_about_what_waits_once(
    telegram_api: BotApi, link: Link, ask: Ask, drain: Drain, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asking, "TIED_AT_MOST", 2)
    late, other = link(101), link(102)
    untie(late)
    orders = [ask() for _number in range(4)]
    waiting.withdrawal_hold(order_id=orders[0].public_id, reason="papers", actor=other.as_actor())
    tie(late, 101)
    drain()
    # The oldest first, none that is on hold, two at most, and a word of the rest.
    shown = telegram_api.chat(101)
    assert len(shown) == 3
    assert sum(str(order.public_id) in text for order in orders[1:3] for text in shown) == 2
    assert sum("More orders wait for you" in text for text in shown) == 1
    assert live(telegram_api, 101) == ["Approve", "Reject"] * 2
    late.refresh_from_db()
    untie(late)
    tie(late, 101)
    drain()
    asks = DecisionAsk.objects.filter(operator=late)
    assert set(asks.values_list("round", flat=True)) == {1}
    assert (asks.count(), live(telegram_api, 101)) == (3, ["Approve", "Reject"] * 3)
    # Another chat is asked anew, and the one of before has no buttons any more.
    late.refresh_from_db()
    untie(late)
    tie(late, 103)
    drain()
    assert live(telegram_api, 103) == ["Approve", "Reject"] * 2
    assert live(telegram_api, 101) == ["Approve", "Reject"]
    press(telegram_api, 103, "Approve")
    say(telegram_api, 103, six_digits(late))
    assert ApprovalVote.objects.get().actor_id == str(late.pk)


def test_who_may_not_decide_is_tied_and_asked_nothing(
    telegram_api: BotApi, link: Link, ask: Ask, drain: Drain
) -> None:
    late = link(101, "Support")
    untie(late)
    ask()
    tie(late, 101)
    drain()
    assert telegram_api.chat(101) == []


def test_two_events_of_one_tie_at_once_ask_once(
    telegram_api: BotApi, link: Link, ask: Ask, drain: Drain
) -> None:
    late = link(101)
    untie(late)
    ask()
    tie(late, 101)
    for _time in range(3):
        emit("operator.tied", subject_type="user", subject_id=late.public_id, payload={})
    waiting_events = list(OutboxEvent.objects.filter(dispatched_at__isnull=True).values_list("pk", flat=True))
    together(len(waiting_events), lambda number: outbox_dispatch(waiting_events[number]))
    drain()
    assert live(telegram_api, 101) == ["Approve", "Reject"]
