"""What tests of cards share: numbers with a right check digit, cards added, and a search for a number everywhere."""

from __future__ import annotations

import itertools
from typing import Any

from kauri.account.models import User
from kauri.common.ids import _check_digit
from kauri.payment_card.models import PaymentCard
from kauri.payment_card.services import CardRequest, card_create
from tests.attacks.rows import tables_with

VISA = "4111111111111111"
MASTERCARD = "5555555555554444"
OWNER = "TARAS SHEVCHENKO"

_numbers = itertools.count(1)


def number(prefix: str = "411111", length: int = 16) -> str:
    """A number that no test has had, with a right check digit."""
    body = prefix + str(next(_numbers)).rjust(length - len(prefix) - 1, "0")
    return body + _check_digit(body)


def add(user: User, digits: str = VISA, **fields: Any) -> PaymentCard:
    """A card added as its owner."""
    request = CardRequest(number=digits, **{"owner_name": OWNER, **fields})
    return card_create(user_id=user.pk, request=request, actor=user.as_actor("203.0.113.5"))


def tables_that_tell(digits: str) -> list[str]:
    """The tables where the number stands, whole or as it is typed in groups."""
    grouped = " ".join(digits[place : place + 4] for place in range(0, len(digits), 4))
    return sorted({table for text in (digits, grouped) for table in tables_with(text)})
