"""Which numbers are cards, and of which payment system."""

from __future__ import annotations

import pytest

from kauri.common.errors import KauriError
from kauri.payment_card import numbers
from kauri.payment_card.states import Scheme
from tests.cards import MASTERCARD, VISA, number


@pytest.mark.parametrize(
    ("prefix", "length", "scheme"),
    [
        ("4", 16, "visa"),
        ("4", 18, "visa"),
        ("4", 19, "visa"),
        ("51", 16, "mastercard"),
        ("55", 16, "mastercard"),
        ("2221", 16, "mastercard"),
        ("2720", 16, "mastercard"),
        ("2200", 16, "mir"),
        ("2204", 19, "mir"),
        ("9804", 16, "prostir"),
        ("50", 16, "maestro"),
        ("56", 18, "maestro"),
        ("59", 16, "maestro"),
        ("6304", 19, "maestro"),
        ("6763", 16, "maestro"),
        ("62", 17, "unionpay"),
        ("81", 16, "unionpay"),
    ],
)
def test_each_system_by_its_ranges(prefix: str, length: int, scheme: str) -> None:
    digits = number(prefix, length)
    found = numbers.parse(digits)
    assert (found.digits, found.scheme) == (digits, Scheme(scheme))
    assert found.scheme.value in Scheme.values


@pytest.mark.parametrize(
    ("prefix", "length"),
    [
        ("4", 17),
        ("2199", 16),
        ("2205", 16),
        ("2220", 16),
        ("2721", 16),
        ("51", 17),
        ("60", 16),
        ("9803", 16),
        ("9805", 16),
        ("34", 16),
        ("0", 16),
    ],
)
def test_what_lies_beside_a_range_is_nobodys(prefix: str, length: int) -> None:
    assert fault(number(prefix, length)) == f"not a card of {', '.join(Scheme.labels)}"


def test_no_number_is_of_two_systems() -> None:
    for prefix in range(10_000):
        for length in numbers.LENGTHS:
            digits = f"{prefix:04d}".ljust(length, "0")
            owners = [
                scheme
                for scheme, (bounds, lengths) in numbers.RANGES.items()
                if length in lengths
                and any(low <= int(digits[: len(str(low))]) <= high for low, high in bounds)
            ]
            assert len(owners) <= 1, digits
            assert numbers.scheme_of(digits) == (owners[0] if owners else None)


@pytest.mark.parametrize("given", ["4111 1111 1111 1111", " 4111-1111-1111-1111 ", "4111\u00a01111 11111111"])
def test_as_people_write_it(given: str) -> None:
    assert numbers.parse(given).digits == VISA


@pytest.mark.parametrize(
    "given",
    [
        "",
        "card",
        "411111111111111",
        "4111  1111 1111 1111",
        "4111\n111111111111",
        "4111.1111.1111.1111",
        "+4111111111111111",
        "４１１１１１１１１１１１１１１１",
        "٤١١١١١١١١١١١١١١١",
        "4" * 20,
        "1" * 4000,
    ],
)
def test_what_is_no_number(given: str) -> None:
    assert fault(given) == "16 to 19 digits"


def test_one_wrong_digit_and_two_swapped_are_seen() -> None:
    for digits in (VISA, MASTERCARD, number("2200"), number("9804")):
        for place, digit in enumerate(digits):
            for other in set("0123456789") - {digit}:
                assert "check digit" in fault(digits[:place] + other + digits[place + 1 :]), place
            if place and digits[place - 1] != digit and {digits[place - 1], digit} != {"0", "9"}:
                swapped = digits[: place - 1] + digit + digits[place - 1] + digits[place + 1 :]
                assert "check digit" in fault(swapped), place


def test_a_number_says_its_mask_only() -> None:
    found = numbers.parse(VISA)
    assert str(found) == "411111******1111"
    assert VISA not in f"{found!r} {found} {[found]}"
    assert str(numbers.parse(number("2200", 19)))[6:15] == "*********"


@pytest.mark.parametrize(
    ("text", "has"),
    [
        (VISA, True),
        ("paid to 4111-1111 1111-1111, twice", True),
        ("4111 1111 1112", True),
        ("invoice 12345678901", False),
        ("411111******1111", False),
        ("2026-11-26 18:00", False),
        ("1111", False),
    ],
)
def test_where_a_number_may_stand(text: str, has: bool) -> None:
    assert numbers.has_number(text) is has


def fault(given: str) -> str:
    with pytest.raises(KauriError) as refused:
        numbers.parse(given)
    error = refused.value
    assert error.code == "validation_error"
    packed = given.strip()
    assert not packed or packed not in f"{error} {error.detail}"
    return error.fields["number"]
