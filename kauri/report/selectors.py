"""What reports and the desk read: a customer by name, and coverage in US dollars."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from django.utils.translation import ngettext

from kauri.account.models import User
from kauri.balance.selectors import Coverage
from kauri.common.errors import KauriError
from kauri.exchange_rate.selectors import Rates, UsdQuote, usd_rates


@dataclass(frozen=True, slots=True)
class DollarRow:
    """One currency's coverage, and what it is worth: None where there was no fresh rate."""

    coverage: Coverage
    quote: UsdQuote | None
    obligations: Decimal | None
    funds: Decimal | None


@dataclass(frozen=True, slots=True)
class Dollars:
    """Coverage in US dollars. The totals are of the rows with a rate; ``missing`` counts the others."""

    rows: list[DollarRow]

    @property
    def missing(self) -> int:
        return sum(row.quote is None for row in self.rows)

    @property
    def obligations(self) -> Decimal | None:
        return _sum([row.obligations for row in self.rows])

    @property
    def funds(self) -> Decimal | None:
        return _sum([row.funds for row in self.rows])

    def left_out(self) -> str:
        """How many currencies the totals are without, in words; empty for none."""
        if not self.missing:
            return ""
        words = ngettext(
            "%(count)s currency without a fresh rate is not in it",
            "%(count)s currencies without a fresh rate are not in it",
            self.missing,
        )
        return words % {"count": self.missing}


def in_dollars(coverage: list[Coverage], at: datetime | None = None) -> Dollars:
    """Value what is owed and held, by the rates that were fresh at ``at`` (now). One query.

    A currency in which nothing is owed or held is left out: it would only ask for a rate.
    """
    rates = usd_rates([row.currency for row in coverage], at)
    return Dollars(
        [
            DollarRow(
                row, rates.get(row.currency), _usd(rates, row, row.obligations), _usd(rates, row, row.funds)
            )
            for row in coverage
            if row.obligations or row.funds
        ]
    )


def customer_named(text: str) -> User:
    """The customer of this e-mail or account number, disabled ones too. Raises ``validation_error``."""
    people = User.objects.filter(is_staff=False)
    number = text.replace(" ", "").upper()
    found = people.filter(email=text.lower()).first() or people.filter(number=number).first()
    if found is None:
        raise KauriError("validation_error", fields={"customer": "no customer of this name"})
    return found


def _usd(rates: Rates, row: Coverage, amount: Decimal) -> Decimal | None:
    if rates.get(row.currency) is None:
        return None
    usd = rates.value(row.currency, amount).usd
    return usd or abs(usd)  # a debt of less than half a cent is no "-0.00"


def _sum(parts: list[Decimal | None]) -> Decimal | None:
    """Of the cents as they are shown, so that a reader's sum agrees; None, not zero, where none is known."""
    known = [part for part in parts if part is not None]
    return sum(known, Decimal("0.00")) if known else None
