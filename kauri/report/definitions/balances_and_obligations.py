"""Balances and obligations as of a moment: what we owe, what we have, and that the books balance."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any

from django.utils.translation import gettext_lazy as _

from kauri.balance import selectors
from kauri.balance.chart import CHART
from kauri.common.money import plain
from kauri.common.scopes import EVERYTHING, Scope
from kauri.exchange_rate.selectors import USD
from kauri.report.definition import Cell, Column, Content, Definition, Table
from kauri.report.selectors import DollarRow, Dollars, in_dollars


def make(as_of: datetime, *, scope: Scope = EVERYTHING) -> Content:
    """Read everything from the ledger's entries up to ``as_of``."""
    coverage = [row for row in selectors.coverage(as_of) if scope.has_currency(row.currency.pk)]
    trial = [
        total
        for total in selectors.trial_balance(as_of)
        if total.amount != 0 and scope.has_currency(total.currency.pk)
    ]
    floats = [row for row in selectors.provider_floats(as_of) if scope.has_currency(row[1].pk)]
    dollars = in_dollars(coverage, as_of)
    proof: dict[str, Decimal] = {}
    for total in trial:
        signed = total.amount * CHART[total.kind].normal
        proof[total.currency.code] = proof.get(total.currency.code, Decimal(0)) + signed
    return Content(
        title=_("Balances and obligations"),
        as_of=as_of,
        tables=(
            Table(
                title=_("Obligations and funds"),
                columns=(
                    Column(_("Currency")),
                    Column(_("Available to customers"), is_amount=True),
                    Column(_("Held for orders"), is_amount=True),
                    Column(_("Obligations"), is_amount=True),
                    Column(_("Funds"), is_amount=True),
                    Column(_("Funds less obligations"), is_amount=True),
                    Column(_("Coverage"), is_amount=True),
                ),
                rows=[
                    (
                        row.currency.code,
                        row.available,
                        row.held,
                        row.obligations,
                        row.funds,
                        row.funds - row.obligations,
                        "—" if row.ratio is None else f"{row.ratio * 100:.2f} %",
                    )
                    for row in coverage
                ],
            ),
            _in_dollars(dollars),
            Table(
                title=_("Float by provider"),
                columns=(Column(_("Provider")), Column(_("Currency")), Column(_("Float"), is_amount=True)),
                rows=[(title, currency.code, amount) for title, currency, amount in floats],
                empty=_("No provider holds money for us."),
            ),
            Table(
                title=_("Trial balance"),
                columns=(Column(_("Currency")), Column(_("Accounts")), Column(_("Total"), is_amount=True)),
                rows=[(t.currency.code, str(CHART[t.kind].title), t.amount) for t in trial],
                empty=_("Nothing was posted yet."),
            ),
            Table(
                title=_("Proof: signed sum of all entries"),
                columns=(Column(_("Currency")), Column(_("Sum"), is_amount=True)),
                rows=list(proof.items()),
                empty=_("Nothing was posted yet."),
            ),
        ),
        totals={
            "obligations": {row.currency.code: plain(row.obligations) for row in coverage},
            "funds": {row.currency.code: plain(row.funds) for row in coverage},
            "proof": {code: plain(value) for code, value in proof.items()},
            "usd": _usd_totals(dollars),
        },
    )


def _in_dollars(dollars: Dollars) -> Table:
    rows = [_dollar_row(row) for row in dollars.rows]
    if rows:
        rows.append((str(_("Total")), dollars.obligations, dollars.funds, "", dollars.left_out(), ""))
    return Table(
        title=_("In US dollars"),
        columns=(
            Column(_("Currency")),
            Column(_("Obligations in USD"), is_amount=True),
            Column(_("Funds in USD"), is_amount=True),
            Column(_("US dollars for one"), is_amount=True),
            Column(_("Source of the rate")),
            Column(_("Quoted at")),
        ),
        rows=rows,
        empty=_("Nothing is owed and nothing is held yet."),
    )


def _dollar_row(row: DollarRow) -> tuple[Cell, ...]:
    code, quote = row.coverage.currency.code, row.quote
    if quote is None:
        return (code, None, None, None, str(_("no fresh rate")), None)
    if code == USD:
        return (code, row.obligations, row.funds, "1", str(_("by definition")), None)
    return (code, row.obligations, row.funds, plain(quote.price), quote.source, quote.quoted_at)


def _usd_totals(dollars: Dollars) -> dict[str, Any]:
    def said(amount: Decimal | None) -> str | None:
        return None if amount is None else plain(amount)

    return {
        "obligations": said(dollars.obligations),
        "funds": said(dollars.funds),
        "missing": [row.coverage.currency.code for row in dollars.rows if row.quote is None],
        "rates": {row.coverage.currency.code: row.quote.as_json() for row in dollars.rows if row.quote},
    }


DEFINITION = Definition(code="balances_and_obligations", title=_("Balances and obligations"), make=make)
