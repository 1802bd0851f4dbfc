"""The trial balance as of a moment: every kind of account in debit or credit, and both sides equal."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from itertools import groupby

from django.utils.translation import gettext_lazy as _

from kauri.balance import selectors
from kauri.balance.chart import CHART
from kauri.balance.selectors import KindTotal
from kauri.common.money import ZERO, exact, plain
from kauri.common.scopes import EVERYTHING, Scope
from kauri.report.definition import Cell, Column, Content, Definition, Table


def make(as_of: datetime, *, scope: Scope = EVERYTHING) -> Content:
    """Read the totals of all kinds; a currency in which every one is zero is left out."""
    rows: list[tuple[Cell, ...]] = []
    sums: dict[str, dict[str, str]] = {"debit": {}, "credit": {}}
    for currency, found in groupby(selectors.trial_balance(as_of), key=lambda total: total.currency):
        totals = list(found)
        if not scope.has_currency(currency.pk) or not any(total.amount for total in totals):
            continue
        debit = credit = exact(ZERO, currency.scale)
        for total in totals:
            left, right = _sides(total)
            rows.append((currency.code, str(CHART[total.kind].title), total.amount, left, right))
            debit, credit = debit + (left or ZERO), credit + (right or ZERO)
        rows.append((currency.code, str(_("Total")), "", debit, credit))
        sums["debit"][currency.code], sums["credit"][currency.code] = plain(debit), plain(credit)
    return Content(
        title=_("Trial balance"),
        as_of=as_of,
        tables=(
            Table(
                title=_("Accounts by kind"),
                columns=(
                    Column(_("Currency")),
                    Column(_("Accounts")),
                    Column(_("Balance"), is_amount=True),
                    Column(_("Debit"), is_amount=True),
                    Column(_("Credit"), is_amount=True),
                ),
                rows=rows,
                empty=_("Nothing was posted yet."),
            ),
        ),
        totals={**sums},
    )


def _sides(total: KindTotal) -> tuple[Decimal | None, Decimal | None]:
    """(debit, credit). The ledger's negative is debit: what we have and spent; its positive is credit.

    A kind that stands against its normal sign (an overdrawn float, a position that went short) is a
    plain figure on the other side; a zero is on neither.
    """
    signed = total.amount * CHART[total.kind].normal
    return (-signed if signed < 0 else None, signed if signed > 0 else None)


DEFINITION = Definition(code="trial_balance", title=_("Trial balance"), make=make)
