"""What an amount is worth in US dollars, now or at a moment: the one way to ask.

Callers never learn where a price came from. Today people say it (:class:`UsdRate`); when prices come
from exchanges and formulas, they answer here, with the same words. A currency without a fresh rate
is worth nothing that anybody knows: :func:`usd_rate` refuses (``rate_unavailable``), and what
depends on it fails closed.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import Any, Final

from django.db.models import Case, OuterRef, Subquery, When

from kauri.common import clock
from kauri.common.errors import KauriError
from kauri.common.money import CONTEXT, plain
from kauri.core.models import Currency
from kauri.exchange_rate.models import UsdRate

USD: Final = "USD"
_CENT: Final = Decimal("0.01")


@dataclass(frozen=True, slots=True)
class UsdQuote:
    """US dollars for one unit of ``currency``, who says so, and until when it is good."""

    currency: str
    price: Decimal
    source: str
    quoted_at: datetime
    expires_at: datetime | None

    def as_json(self) -> dict[str, Any]:
        """For an order's explanation."""
        return {
            "price": plain(self.price),
            "source": self.source,
            "quoted_at": clock.iso(self.quoted_at),
            "expires_at": clock.iso(self.expires_at),
        }


@dataclass(frozen=True, slots=True)
class Valuation:
    """``usd`` is rounded half up to the cent; ``exact`` is not rounded, for comparing with limits."""

    usd: Decimal
    exact: Decimal
    quote: UsdQuote


def usd_rate(currency: Currency, at: datetime | None = None) -> UsdQuote:
    """The rate that was good at ``at`` (now). Raises ``rate_unavailable``; the dollar itself is 1."""
    return usd_rates([currency], at).require(currency)


def usd_value(currency: Currency, amount: Decimal, at: datetime | None = None) -> Valuation:
    """What ``amount`` is worth. Raises ``rate_unavailable``."""
    return usd_rates([currency], at).value(currency, amount)


@dataclass(frozen=True, slots=True)
class Rates:
    """The rates of several currencies at one moment, read at once."""

    at: datetime
    quotes: dict[int, UsdQuote]

    def get(self, currency: Currency) -> UsdQuote | None:
        """None where there is no fresh rate."""
        return self.quotes.get(currency.pk)

    def require(self, currency: Currency) -> UsdQuote:
        quote = self.get(currency)
        if quote is None:
            raise KauriError("rate_unavailable", f"no fresh US dollar rate of {currency.code}")
        return quote

    def value(self, currency: Currency, amount: Decimal) -> Valuation:
        quote = self.require(currency)
        exact = CONTEXT.multiply(amount, quote.price)
        return Valuation(exact.quantize(_CENT, ROUND_HALF_UP, CONTEXT), exact, quote)


def usd_rates(currencies: list[Currency], at: datetime | None = None) -> Rates:
    """Fresh rates of these currencies as of a moment. One query."""
    moment = at or clock.now()
    newest = (
        UsdRate.objects.filter(currency__in=currencies, quoted_at__lte=moment)
        .order_by("currency_id", "-quoted_at", "-id")
        .distinct("currency_id")
    )
    quotes = {
        row.currency_id: UsdQuote(
            currency=code,
            price=row.price,
            source=row.source,
            quoted_at=row.quoted_at,
            expires_at=row.expires_at,
        )
        for row in newest
        if row.expires_at > moment and (code := _code(currencies, row.currency_id))
    }
    for currency in currencies:
        if currency.code == USD:
            quotes[currency.pk] = UsdQuote(USD, Decimal(1), "by definition", moment, None)
    return Rates(moment, quotes)


def fresh_usd_price(currency: str) -> Subquery:
    """As an expression on rows whose ``currency`` column names one: US dollars for one unit, null when unknown."""
    now = clock.now()
    newest = UsdRate.objects.filter(currency=OuterRef(currency), quoted_at__lte=now).order_by(
        "-quoted_at", "-id"
    )
    return Subquery(newest.values(fresh=Case(When(expires_at__gt=now, then="price")))[:1])


def _code(currencies: list[Currency], pk: int) -> str:
    return next(currency.code for currency in currencies if currency.pk == pk)
