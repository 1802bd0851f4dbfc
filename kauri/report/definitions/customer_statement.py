"""One customer's accounts over a period: what each held, every entry, what it held then."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from django.utils.translation import gettext_lazy as _

from kauri.account.models import User
from kauri.balance import selectors
from kauri.balance.chart import CHART, TRANSFER_TITLES, AccountKind, TransferKind
from kauri.balance.models import Entry
from kauri.common.money import exact, plain
from kauri.common.scopes import EVERYTHING, Scope
from kauri.core.models import Currency
from kauri.report.definition import CUSTOMER, SINCE, Cell, Column, Content, Definition, Table


@dataclass(frozen=True, slots=True)
class _Account:
    currency: Currency
    kind: AccountKind
    opening: Decimal
    entries: list[Entry]
    closing: Decimal


def make(as_of: datetime, customer: User, since: datetime, *, scope: Scope = EVERYTHING) -> Content:
    """Read the period ``[since, as_of]``: accounts with entries in it, and those with a balance."""
    accounts = [
        account for account in _accounts(customer, since, as_of) if scope.has_currency(account.currency.pk)
    ]
    who = Table(
        title=_("Customer and period"),
        columns=(Column(_("Customer")), Column(_("Account number")), Column(_("From")), Column(_("Until"))),
        rows=[(customer.email, customer.number, since, as_of)],
    )
    tables = [_table(account, since, as_of) for account in accounts]
    empty = _("No entry in the period, and no balance at its end.")
    return Content(
        title=_("Customer statement"),
        as_of=as_of,
        tables=(who, *(tables or [Table(title=_("Balances"), columns=_COLUMNS, rows=[], empty=empty)])),
        totals={
            "accounts": [
                {
                    "currency": account.currency.code,
                    "kind": account.kind.name.lower(),
                    "opening": plain(account.opening),
                    "entries": len(account.entries),
                    "closing": plain(account.closing),
                }
                for account in accounts
            ]
        },
    )


_COLUMNS = (
    Column(_("When")),
    Column(_("Transfer")),
    Column(_("Order")),
    Column(_("Reference")),
    Column(_("Amount"), is_amount=True),
    Column(_("Balance after"), is_amount=True),
)


def _accounts(customer: User, since: datetime, until: datetime) -> list[_Account]:
    """In the house's order of currencies. An account that rested holds at the end what it did before."""
    moved = {
        (found.account.currency_id, found.account.kind): found
        for found in selectors.statements(customer.pk, since, until)
    }
    accounts = []
    for row in selectors.customer_balances(customer.pk, until):
        for kind, balance in (
            (AccountKind.CUSTOMER_AVAILABLE, row.available),
            (AccountKind.CUSTOMER_HELD, row.held),
        ):
            found = moved.get((row.currency.pk, int(kind)))
            if found is not None:
                scale = row.currency.scale
                opening, closing = exact(found.opening, scale), exact(found.closing, scale)
                accounts.append(_Account(row.currency, kind, opening, found.entries, closing))
            elif balance:
                accounts.append(_Account(row.currency, kind, balance, [], balance))
    return accounts


def _table(account: _Account, since: datetime, until: datetime) -> Table:
    scale = account.currency.scale
    rows: list[tuple[Cell, ...]] = [(since, str(_("Opening balance")), "", "", "", account.opening)]
    for entry in account.entries:
        transfer = entry.transfer
        rows.append(
            (
                entry.created_at,
                str(TRANSFER_TITLES[TransferKind(transfer.kind)]),
                None if transfer.order_id is None else str(transfer.order_id),
                transfer.reference or None,
                exact(entry.amount, scale),
                None if entry.balance_after is None else exact(entry.balance_after, scale),
            )
        )
    rows.append((until, str(_("Closing balance")), "", "", "", account.closing))
    return Table(title=f"{account.currency.code}: {CHART[account.kind].title}", columns=_COLUMNS, rows=rows)


DEFINITION = Definition(
    code="customer_statement",
    title=_("Customer statement"),
    make=make,
    parameters=(CUSTOMER, SINCE),
    narrows=frozenset({"groups", "currencies"}),
)
