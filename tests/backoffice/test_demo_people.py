"""The demo's verification cases, told through the services."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from backoffice.demo import people
from kauri.account.models import User, VerificationCase
from kauri.payment_card import selectors
from kauri.payment_card.models import CardBan, PaymentCard
from tests.backoffice import scene
from tests.cards import number


@pytest.mark.usefixtures("house")
@pytest.mark.parametrize(
    ("count", "states"),
    [
        (
            7,
            [
                *["waiting_for_operator"] * 3,
                "asked_again",
                "approved",
                "rejected",
                "waiting_for_customer",
            ],
        ),
        (2, ["waiting_for_operator"] * 2),
        (0, []),
    ],
)
def test_a_case_in_every_state(customer: Callable[..., User], count: int, states: list[str]) -> None:
    levels = [0, 1, 2, 0, 1, 2, 0]
    users = [customer(verification_level=level, username=f"C {level}") for level in levels[:count]]
    people.verifications(users, {"Compliance": scene.operator("Compliance").user})
    assert [case.state for case in VerificationCase.objects.order_by("id")] == states
    found = [user.verification_level for user in User.objects.filter(is_staff=False).order_by("id")]
    assert found == [level + (number == 4) for number, level in enumerate(levels[:count])]


@pytest.mark.usefixtures("house")
@pytest.mark.parametrize(
    ("count", "states"), [(4, ["stopped", "banned", "active", "active"]), (1, ["stopped"]), (0, [])]
)
def test_cards_as_a_house_has_them(customer: Callable[..., User], count: int, states: list[str]) -> None:
    people.cards(
        {customer().pk: number() for _ in range(count)}, {"Compliance": scene.operator("Compliance").user}
    )
    cards = selectors.with_bans(PaymentCard.objects.order_by("pk"))
    assert [selectors.state_of(card) for card in cards] == states
    assert CardBan.objects.count() == 1 + ("banned" in states)
