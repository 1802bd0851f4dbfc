"""Card numbers: their form, their check digit, the payment system that they belong to."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final

from kauri.common.errors import KauriError
from kauri.payment_card.states import Scheme

#: Fewer digits than these would leave too few hidden behind the mask's ten; nobody issues them any more.
LENGTHS: Final = range(16, 20)
#: Digits that name an issuer: six until ISO/IEC 7812-1:2017, eight since.
ISSUER_LENGTHS: Final = (6, 8)
SHOWN_FIRST: Final = 6
SHOWN_LAST: Final = 4
_FORM: Final = re.compile(r"[0-9](?:[ -]?[0-9])*")
#: Runs of so many digits may be a number, whatever stands around them.
_RUN: Final = re.compile(r"[0-9](?:[ -]?[0-9]){11,}")
#: Bounds of prefixes, both inside, and the lengths that the system issues of those that we take. Sources: Visa
#: and Mastercard (with its series 2 of 2017), Maestro and UnionPay as braintree/credit-card-type lists them,
#: without what it has for want of a better guess; MIR 2200-2204 by the NSPK's register; PROSTIR 9804: ISO/IEC
#: 7812-1 gives 9 and the country's number (Ukraine 804) to national systems. No two overlap.
RANGES: Final[dict[Scheme, tuple[tuple[tuple[int, int], ...], tuple[int, ...]]]] = {
    Scheme.VISA: (((4, 4),), (16, 18, 19)),
    Scheme.MASTERCARD: (((51, 55), (2221, 2720)), (16,)),
    Scheme.MAESTRO: (((50, 50), (56, 59), (63, 63), (67, 67)), tuple(LENGTHS)),
    Scheme.MIR: (((2200, 2204),), tuple(LENGTHS)),
    Scheme.PROSTIR: (((9804, 9804),), tuple(LENGTHS)),
    Scheme.UNIONPAY: (((62, 62), (81, 81)), tuple(LENGTHS)),
}


@dataclass(frozen=True, slots=True)
class CardNumber:
    """A number that a card can have. Said aloud it is its mask."""

    digits: str = field(repr=False)
    scheme: Scheme

    @property
    def first6(self) -> str:
        return self.digits[:SHOWN_FIRST]

    @property
    def last4(self) -> str:
        return self.digits[-SHOWN_LAST:]

    def __str__(self) -> str:
        return mask(self.first6, self.last4, len(self.digits))


def mask(first6: str, last4: str, length: int) -> str:
    """What is shown of a number of ``length`` digits: PCI DSS 3.4.1 allows no more than this to everybody."""
    return f"{first6}{'*' * (length - SHOWN_FIRST - SHOWN_LAST)}{last4}"


def parse(text: str) -> CardNumber:
    """The number that ``text`` says, with or without spaces and hyphens between its digits.

    Raises ``validation_error`` on ``number``; its words never repeat what was given.
    """
    packed = digits_of(text)
    if packed is None or len(packed) not in LENGTHS:
        raise _wrong(f"{LENGTHS[0]} to {LENGTHS[-1]} digits")
    if not luhn(packed):
        raise _wrong("the check digit does not fit: a digit is wrong or two are swapped")
    scheme = scheme_of(packed)
    if scheme is None:
        raise _wrong(f"not a card of {', '.join(Scheme.labels)}")
    return CardNumber(packed, scheme)


def digits_of(text: str) -> str | None:
    """The ASCII digits of ``text``, which has nothing else but single spaces and hyphens between them."""
    spaced = text.replace("\u00a0", " ").strip()
    return re.sub(r"[ -]", "", spaced) if _FORM.fullmatch(spaced) else None


def has_number(text: str) -> bool:
    """Whether a whole number, right or mistyped, may stand in ``text``: it belongs into no address and no record."""
    return _RUN.search(text.replace("\u00a0", " ")) is not None


def luhn(digits: str) -> bool:
    """The check digit by ISO/IEC 7812-1, annex B: every second digit from the right doubled."""
    doubled = (int(digit) * (1 + place % 2) for place, digit in enumerate(reversed(digits)))
    return sum(sum(divmod(value, 10)) for value in doubled) % 10 == 0


def scheme_of(digits: str) -> Scheme | None:
    """The payment system that issues such numbers (:data:`RANGES`)."""
    for scheme, (prefixes, lengths) in RANGES.items():
        if len(digits) in lengths and any(
            low <= int(digits[: len(str(low))]) <= high for low, high in prefixes
        ):
            return scheme
    return None


def _wrong(fault: str) -> KauriError:
    return KauriError("validation_error", fields={"number": fault})
