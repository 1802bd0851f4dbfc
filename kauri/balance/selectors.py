"""Reading the books: balances now and as of any moment, obligations, funds, statements."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db import connection

from kauri.balance.chart import CHART, AccountKind
from kauri.balance.models import Entry, Hold, LedgerAccount, Transfer
from kauri.common.money import ZERO, exact
from kauri.core.models import Currency


@dataclass(frozen=True, slots=True)
class CustomerBalance:
    """One customer's money in one currency: what may be spent, what is held for orders."""

    currency: Currency
    available: Decimal
    held: Decimal

    @property
    def total(self) -> Decimal:
        return self.available + self.held


@dataclass(frozen=True, slots=True)
class KindTotal:
    """All accounts of a kind in a currency, read in the kind's normal sign."""

    currency: Currency
    kind: AccountKind
    amount: Decimal


@dataclass(frozen=True, slots=True)
class Coverage:
    """Per currency: what we owe customers, what we hold at providers, and funds / obligations."""

    currency: Currency
    available: Decimal
    held: Decimal
    funds: Decimal

    @property
    def obligations(self) -> Decimal:
        return self.available + self.held

    @property
    def ratio(self) -> Decimal | None:
        """None where nothing is owed: "unknown" is never shown as zero or as full cover."""
        return self.funds / self.obligations if self.obligations else None


def customer_balances(customer_id: int, at: datetime | None = None) -> list[CustomerBalance]:
    """Every currency's balance of one customer, now or as of ``at`` (inclusive). One query."""
    if at is None:
        rows = LedgerAccount.objects.filter(customer_id=customer_id).values_list(
            "currency_id", "kind", "balance"
        )
        found = {(currency, kind): balance for currency, kind, balance in rows}
    else:
        with connection.cursor() as cursor:
            cursor.execute(
                "select a.currency_id, a.kind, e.balance_after from ledger_account a"
                " join lateral (select balance_after from ledger_entry e where e.account_id = a.id"
                " and e.created_at <= %s order by e.created_at desc, e.id desc limit 1) e on true"
                " where a.customer_id = %s",
                [at, customer_id],
            )
            found = {(currency, kind): balance for currency, kind, balance in cursor.fetchall()}
    return [
        CustomerBalance(
            currency=currency,
            available=exact(found.get((currency.pk, AccountKind.CUSTOMER_AVAILABLE), ZERO), currency.scale),
            held=exact(found.get((currency.pk, AccountKind.CUSTOMER_HELD), ZERO), currency.scale),
        )
        for currency in Currency.objects.all()
    ]


def trial_balance(at: datetime | None = None) -> list[KindTotal]:
    """Totals by currency and kind, now or as of ``at``; per currency the raw sums are zero."""
    with connection.cursor() as cursor:
        if at is None:
            cursor.execute("select currency_id, kind, sum(balance) from ledger_account_now group by 1, 2")
        else:
            cursor.execute(
                "select e.currency_id, a.kind, sum(e.amount) from ledger_entry e"
                " join ledger_account a on a.id = e.account_id where e.created_at <= %s group by 1, 2",
                [at],
            )
        found = {(currency, kind): total for currency, kind, total in cursor.fetchall()}
    return [
        KindTotal(currency, kind, exact(found.get((currency.pk, kind), ZERO) * spec.normal, currency.scale))
        for currency in Currency.objects.all()
        for kind, spec in CHART.items()
    ]


def coverage(at: datetime | None = None) -> list[Coverage]:
    """Obligations against funds, per currency, now or as of ``at``."""
    totals = {(total.currency.pk, total.kind): total for total in trial_balance(at)}

    def amount(currency: Currency, kind: AccountKind) -> Decimal:
        return totals[currency.pk, kind].amount

    return [
        Coverage(
            currency=currency,
            available=amount(currency, AccountKind.CUSTOMER_AVAILABLE),
            held=amount(currency, AccountKind.CUSTOMER_HELD),
            funds=amount(currency, AccountKind.PROVIDER_FLOAT)
            + amount(currency, AccountKind.PROVIDER_IN_TRANSIT),
        )
        for currency in Currency.objects.all()
    ]


def provider_floats(at: datetime | None = None) -> list[tuple[str, Currency, Decimal]]:
    """Book float per provider and currency, positive when we have money there."""
    where, params = ("", []) if at is None else ("and e.created_at <= %s", [at])
    with connection.cursor() as cursor:
        cursor.execute(
            "select p.title, a.currency_id, -sum(e.amount) from ledger_entry e"  # noqa: S608 - no input in it
            " join ledger_account a on a.id = e.account_id join core_provider p on p.id = a.provider_id"
            f" where a.kind = {int(AccountKind.PROVIDER_FLOAT)} {where} group by 1, 2 order by 1, 2",
            params,
        )
        rows: list[tuple[Any, ...]] = cursor.fetchall()
    currencies = Currency.objects.in_bulk()
    return [(title, currencies[code], exact(total, currencies[code].scale)) for title, code, total in rows]


def order_transfers(order_id: uuid.UUID) -> list[Transfer]:
    """The ledger's view of one order, oldest first, entries with their accounts loaded."""
    return list(
        Transfer.objects.filter(order_id=order_id)
        .order_by("id")
        .prefetch_related(
            "entries__account__currency", "entries__account__customer", "entries__account__provider"
        )
    )


def order_hold(order_id: uuid.UUID) -> Hold | None:
    return Hold.objects.filter(order_id=order_id).first()


def statement(customer_id: int, limit: int = 50) -> list[Entry]:
    """The customer's last entries, newest first."""
    return list(
        Entry.objects.filter(account__customer_id=customer_id)
        .select_related("account__currency", "transfer")
        .order_by("-created_at", "-id")[:limit]
    )
