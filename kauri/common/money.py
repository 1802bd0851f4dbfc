"""Exact money arithmetic. Amounts are Decimal at the currency's own scale; a float raises."""

from __future__ import annotations

import decimal
import re
from decimal import ROUND_UP, Context, Decimal, InvalidOperation
from typing import Final

from kauri.common.errors import KauriError

#: numeric(38,18): 20 digits before the point, 18 behind it.
MAX_DIGITS: Final = 38
MAX_SCALE: Final = 18
CONTEXT: Final = Context(prec=60)
# Python's default context rounds every sum, and even a unary minus, to 28 digits; our column holds
# 38. New threads copy DefaultContext; the thread that imports this has its own already.
decimal.DefaultContext.prec = CONTEXT.prec
decimal.getcontext().prec = CONTEXT.prec
_LIMIT: Final = Decimal(10) ** (MAX_DIGITS - MAX_SCALE)
ZERO: Final = Decimal(0)
#: An amount as text, blanks around it aside. Decimal itself would take "1_000" and any alphabet's digits too.
AMOUNT_TEXT: Final = r"\+?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]{1,9})?"
_TEXT: Final = re.compile("-?" + AMOUNT_TEXT)


def parse_amount(value: str | int | Decimal, scale: int) -> Decimal:
    """Read an amount that a client sent: finite, positive, no more digits than ``scale``.

    Raises ``invalid_amount`` rather than rounding; a float is a programming error.
    """
    if isinstance(value, (float, bool)):
        raise TypeError("money is never a float or a bool")
    text = str(value).strip()
    if isinstance(value, str) and not _TEXT.fullmatch(text):
        raise KauriError("invalid_amount", "not a number")
    try:
        amount = value if isinstance(value, Decimal) else Decimal(text)
    except InvalidOperation:
        raise KauriError("invalid_amount", "not a number") from None
    if not amount.is_finite():
        raise KauriError("invalid_amount", "not a finite number")
    if amount <= 0:
        raise KauriError("invalid_amount", "must be greater than zero")
    return exact(amount, scale)


def exact(amount: Decimal, scale: int) -> Decimal:
    """Return ``amount`` with exactly ``scale`` digits behind the point; refuse to round."""
    if amount.copy_abs() >= _LIMIT:
        raise KauriError("invalid_amount", "too large")
    quantum = Decimal(1).scaleb(-scale)
    result = amount.quantize(quantum, context=CONTEXT)
    if result != amount:
        raise KauriError("invalid_amount", f"more than {scale} digits behind the point")
    return result or abs(result)  # no "-0.00" on any page


def round_fee(amount: Decimal, scale: int) -> Decimal:
    """Fees round up, in the house's favour."""
    return amount.quantize(Decimal(1).scaleb(-scale), rounding=ROUND_UP, context=CONTEXT)


def to_units(amount: Decimal, scale: int) -> int:
    """``Decimal('1.5')`` at scale 6 -> ``1500000``; refuses to round."""
    return int(exact(amount, scale).scaleb(scale, context=CONTEXT))


def from_units(units: int, scale: int) -> Decimal:
    """``1500000`` at scale 6 -> ``Decimal('1.500000')``."""
    return Decimal(units).scaleb(-scale, context=CONTEXT).quantize(Decimal(1).scaleb(-scale), context=CONTEXT)


def plain(amount: Decimal) -> str:
    """Digits without exponent and without trailing zeros: what a client reads."""
    text = format(amount, "f")
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text in {"-0", ""} else text


def grouped(amount: Decimal, scale: int) -> str:
    """``1234567.5`` at scale 2 -> ``1 234 567.50`` (no-break spaces): what an operator reads."""
    whole, _, rest = format(amount.quantize(Decimal(1).scaleb(-scale), context=CONTEXT), "f").partition(".")
    sign, digits = ("-", whole[1:]) if whole.startswith("-") else ("", whole)
    groups = f"{int(digits):,}".replace(",", "\u00a0")
    return f"{sign}{groups}.{rest}" if rest else f"{sign}{groups}"
