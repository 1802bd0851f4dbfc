"""A withdrawal to a card: named by its token, told to the provider by its number, and kept nowhere."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from kauri.account.models import User
from kauri.balance import invariants
from kauri.common.actor import Actor
from kauri.core.models import Provider
from kauri.order_core.models import Order
from kauri.payment_card import bans, services
from kauri.payment_card.models import PaymentCard
from kauri.payment_provider.gateway import OutcomeUnknown
from kauri.payment_provider.gateways.sandbox import Sandbox
from kauri.withdrawal_order import paying
from kauri.withdrawal_order.body import withdrawal_object
from kauri.withdrawal_order.services import withdrawal_approve, withdrawal_repeat
from tests.cards import VISA, add, tables_that_tell
from tests.kauri.withdrawal_order.conftest import parts_of
from tests.moves import balance_of, code_of, give, withdraw

Operators = Callable[..., Actor]
MASK = "411111******1111"


@pytest.fixture
def card(first: Provider, customer: Callable[..., User]) -> PaymentCard:
    del first
    user = customer()
    give(user, "UAH", "1000")
    return add(user)


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Where the sandbox was told to send, by every prepare and send."""
    seen: list[str] = []
    for name in ("prepare_payout", "send_payout"):
        original = getattr(Sandbox, name)

        def call(self: Sandbox, request: Any, *more: Any, original: Any = original) -> Any:
            seen.append(request.destination)
            return original(self, request, *more)

        monkeypatch.setattr(Sandbox, name, call)
    return seen


def asked(card: PaymentCard, amount: str = "100") -> Order:
    return withdraw(card.customer, amount, currency="UAH", to=card.token)


def test_paid_to_its_number_which_stands_nowhere(
    card: PaymentCard, told: list[str], operator: Operators
) -> None:
    order = asked(card)
    assert (order.withdrawal.destination, order.withdrawal.card_mask) == (card.token, MASK)
    withdrawal_approve(order_id=order.public_id, actor=operator())
    [part] = parts_of(order)
    assert part.payout.destination == card.token
    paying.payout_advance(part.payout_id)
    order.refresh_from_db()
    assert (order.status, told) == ("CLOSED", [VISA, VISA])
    assert balance_of(card.customer, "UAH") == (895, 0)
    shown = withdrawal_object(order)["details"]
    assert (shown["wallet_to"], shown["card_token"]) == (MASK, card.token)
    assert tables_that_tell(VISA) == []
    again = withdrawal_repeat(
        order_id=order.public_id, amount=None, user_id=card.customer_id, actor=card.customer.as_actor()
    )
    # Paid there before: nobody needs to look at it.
    assert (again.withdrawal.destination, again.status) == (card.token, "PAYMENT_IN_PROGRESS")
    assert invariants.broken_laws() == []


def test_only_ones_own_card_that_may_be_paid_to(
    card: PaymentCard, customer: Callable[..., User], operator: Operators
) -> None:
    stranger = customer()
    give(stranger, "UAH", "1000")
    theft = lambda: withdraw(stranger, "100", currency="UAH", to=card.token)  # noqa: E731
    assert code_of(theft) == "not_found"
    user = card.customer
    services.card_switch(user_id=user.pk, token=card.token, is_enabled=False, actor=user.as_actor())
    assert code_of(lambda: asked(card)) == "card_disabled"
    services.card_switch(user_id=user.pk, token=card.token, is_enabled=True, actor=user.as_actor())
    bans.card_ban(number=VISA, reason="stolen", actor=operator("Compliance"))
    assert code_of(lambda: asked(card)) == "card_banned"
    assert (Order.objects.count(), balance_of(user, "UAH")) == (0, (1000, 0))


def test_banned_while_it_waits(card: PaymentCard, told: list[str], operator: Operators) -> None:
    waiting, decided = asked(card), asked(card, "200")
    withdrawal_approve(order_id=decided.public_id, actor=operator())
    bans.card_ban(number=VISA, reason="stolen", actor=operator("Compliance"))
    refused = lambda: withdrawal_approve(order_id=waiting.public_id, actor=operator())  # noqa: E731
    assert code_of(refused) == "card_banned"
    waiting.refresh_from_db()
    assert waiting.status == "WAITING_FOR_OPERATOR_CONFIRMATION"
    [part] = parts_of(decided)
    paying.payout_advance(part.payout_id)
    part.payout.refresh_from_db()
    decided.refresh_from_db()
    assert (part.payout.state, part.payout.last_error, decided.status) == ("failed", "card_banned", "ERROR")
    assert told == []
    assert balance_of(card.customer, "UAH") == (895, 105)
    assert invariants.broken_laws() == []


def test_what_was_sent_is_looked_up_without_the_number(
    card: PaymentCard, operator: Operators, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lost(self: Sandbox, request: Any, prepared: Any) -> Any:
        raise OutcomeUnknown("no answer")

    order = asked(card)
    withdrawal_approve(order_id=order.public_id, actor=operator())
    [part] = parts_of(order)
    with monkeypatch.context() as patch:
        patch.setattr(Sandbox, "send_payout", lost)
        paying.payout_advance(part.payout_id)
    part.payout.refresh_from_db()
    assert part.payout.state == "unknown"
    bans.card_ban(number=VISA, reason="stolen", actor=operator("Compliance"))
    type(part.payout).objects.filter(pk=part.payout_id).update(next_attempt_at=order.created_at)
    paying.payout_advance(part.payout_id)
    order.refresh_from_db()
    assert (order.status, balance_of(card.customer, "UAH")) == ("CLOSED", (895, 0))


# A number that a customer writes by itself, as clients of the old API do ---------------------------------


@pytest.fixture
def user(first: Provider, customer: Callable[..., User]) -> User:
    del first
    person = customer()
    give(person, "UAH", "1000")
    return person


def test_a_bare_number_is_kept_sealed_and_shown_masked(
    user: User, told: list[str], operator: Operators
) -> None:
    order = withdraw(user, "100", currency="UAH", to="4111 1111 1111 1111")
    detail = order.withdrawal
    assert detail.destination.startswith("pan_")
    assert (detail.card_mask, detail.sealed_number) == (MASK, VISA)
    assert [rule["value"] for rule in order.approval.rules] == [MASK]
    withdrawal_approve(order_id=order.public_id, actor=operator())
    paying.payout_advance(parts_of(order)[0].payout_id)
    order.refresh_from_db()
    assert (order.status, told) == ("CLOSED", [VISA, VISA])
    shown = withdrawal_object(order)["details"]
    assert (shown["wallet_to"], shown["card_token"]) == (MASK, None)
    assert tables_that_tell(VISA) == []
    again = withdrawal_repeat(order_id=order.public_id, amount=None, user_id=user.pk, actor=user.as_actor())
    # The same card by its fingerprint: paid there before.
    assert (again.withdrawal.destination, again.status) == (detail.destination, "PAYMENT_IN_PROGRESS")


def test_a_banned_number_is_not_paid_to_however_it_is_written(user: User, operator: Operators) -> None:
    waiting = withdraw(user, "100", currency="UAH", to=VISA)
    bans.card_ban(number=VISA, reason="stolen", actor=operator("Compliance"))
    assert code_of(lambda: withdraw(user, "100", currency="UAH", to="4111-1111-1111-1111")) == "card_banned"
    act = lambda: withdrawal_approve(order_id=waiting.public_id, actor=operator())  # noqa: E731
    assert code_of(act) == "card_banned"


def test_a_kept_name_is_no_destination(user: User) -> None:
    order = withdraw(user, "100", currency="UAH", to=VISA)
    name = order.withdrawal.destination
    assert code_of(lambda: withdraw(user, "100", currency="UAH", to=name)) == "invalid_destination"
