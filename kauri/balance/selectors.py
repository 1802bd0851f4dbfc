"""Reading the books: balances now and as of any moment, obligations, funds, statements."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, Final

from django.db import connection
from django.db.models import OuterRef, Prefetch, Subquery

from kauri.balance.chart import CHART, AccountKind
from kauri.balance.models import Entry, LedgerAccount, LedgerDay, Transfer
from kauri.common import clock
from kauri.common.errors import KauriError
from kauri.common.money import ZERO, exact
from kauri.core.models import Currency

#: Longer than any posting's transaction lives (idle_in_transaction_session_timeout).
_IN_FLIGHT: Final = timedelta(minutes=2)
_OUT_OF_STEP: Final = timedelta(minutes=10)
_CUSTOMERS_OWN: Final = {
    "available_now": AccountKind.CUSTOMER_AVAILABLE,
    "held_now": AccountKind.CUSTOMER_HELD,
}


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


def known(at: datetime) -> datetime:
    """``at``, if the books can say what stood then. What they can't know is an error, never zero.

    Raises ``validation_error`` (no zone) and ``moment_unknown`` (to come, or before the first entry).
    """
    if at.tzinfo is None:
        raise KauriError("validation_error", fields={"at": "a moment with its time zone"})
    if at > clock.now():
        raise KauriError("moment_unknown", "this moment is still to come")
    first = Entry.objects.order_by("id").values_list("created_at", flat=True).first()
    if first is not None and at < first:
        raise KauriError("moment_unknown", f"the books begin at {clock.iso(first)}")
    return at


def customer_balances(
    customer_id: int, at: datetime | None = None, also: Mapping[str, Any] | None = None
) -> list[CustomerBalance]:
    """Every currency's balance of one customer, now (one query) or as of ``at`` (inclusive; see :func:`known`).

    ``also``: expressions on currencies that a floor above wants read with them, by the name that they get.
    """
    also = also or {}
    if at is None:
        held = {
            name: Subquery(
                LedgerAccount.objects.filter(
                    customer_id=customer_id, currency_id=OuterRef("pk"), kind=kind
                ).values("balance")
            )
            for name, kind in _CUSTOMERS_OWN.items()
        }
        currencies: Any = Currency.objects.annotate(**held, **also)
        found = {
            (row.pk, kind): getattr(row, name) or ZERO
            for row in currencies
            for name, kind in _CUSTOMERS_OWN.items()
        }
    else:
        currencies = Currency.objects.annotate(**also)
        found = {
            (currency, kind): balance
            for currency, kind, balance in _rows(
                "select a.currency_id, a.kind, e.balance_after from ledger_account a"
                " join lateral (select balance_after from ledger_entry e where e.account_id = a.id"
                " and e.created_at <= %s order by e.created_at desc, e.id desc limit 1) e on true"
                " where a.customer_id = %s",
                [known(at), customer_id],
            )
        }
    return [
        CustomerBalance(
            currency=currency,
            available=exact(found.get((currency.pk, AccountKind.CUSTOMER_AVAILABLE), ZERO), currency.scale),
            held=exact(found.get((currency.pk, AccountKind.CUSTOMER_HELD), ZERO), currency.scale),
        )
        for currency in currencies
    ]


def account_balance(account: LedgerAccount, at: datetime | None = None) -> Decimal:
    """One account's balance, now or as of ``at`` (inclusive), signed as in the books."""
    if at is None:
        rows = _rows("select balance from ledger_account_now where id = %s", [account.pk])
    elif account.is_inline:
        rows = _rows(
            "select balance_after from ledger_entry where account_id = %s and created_at <= %s"
            " order by created_at desc, id desc limit 1",
            [account.pk, known(at)],
        )
    else:
        rows = _queued_balances([account.pk], known(at))
    return exact(rows[0][-1] if rows else ZERO, account.currency.scale)


def trial_balance(at: datetime | None = None) -> list[KindTotal]:
    """Totals by currency and kind, now or as of ``at``; per currency the raw sums are zero.

    As of a moment: the totals of the last closed day before it, and the entries since.
    """
    if at is None:
        rows = _rows(
            # As the view of the balances now, but the few queued changes are looked at once, not by each account.
            "select currency_id, kind, sum(amount) from ("
            " select currency_id, kind, sum(balance) as amount from ledger_account group by 1, 2"
            " union all"
            " select a.currency_id, a.kind, sum(d.amount) from ledger_hot_delta d"
            " join ledger_account a on a.id = d.account_id where not a.is_inline group by 1, 2"
            ") t group by 1, 2",
            [],
        )
    else:
        day, since = _base(known(at))
        rows = _rows(
            "select currency_id, kind, sum(amount) from ("
            " select currency_id, kind, balance as amount from ledger_currency_day where day_id = %s"
            " union all"
            " select e.currency_id, a.kind, e.amount from ledger_entry e"
            " join ledger_account a on a.id = e.account_id where e.created_at >= %s and e.created_at <= %s"
            ") t group by 1, 2",
            [day, since, at],
        )
    found = {(currency, kind): total for currency, kind, total in rows}
    return [
        KindTotal(currency, kind, exact(found.get((currency.pk, kind), ZERO) * spec.normal, currency.scale))
        for currency in Currency.objects.all()
        for kind, spec in CHART.items()
    ]


def settled(at: datetime) -> datetime:
    """``at``, once every posting that was under way then has ended: asked again, the answer is the same.

    For figures that are kept (reports). Call it before the transaction whose snapshot reads them.
    """
    if known(at) > clock.now() - _IN_FLIGHT:
        _rows("select ledger_barrier()", [])
    return at


def _base(at: datetime) -> tuple[date | None, datetime]:
    """The last closed day that ended by ``at``, and the moment from which entries are to be added."""
    day = (
        LedgerDay.objects.filter(day__lt=at.astimezone(UTC).date())
        .order_by("-day")
        .values_list("day", flat=True)
        .first()
    )
    if day is None:
        return None, datetime.min.replace(tzinfo=UTC)
    return day, datetime.combine(day + timedelta(days=1), time.min, tzinfo=UTC)


def _queued_balances(accounts: list[int], at: datetime) -> list[tuple[Any, ...]]:
    """``(account id, balance)`` of queued accounts as of ``at``: their entries carry no balance."""
    day, since = _base(at)
    return _rows(
        "select account, sum(amount) from ("
        " select account_id as account, balance as amount from ledger_balance_day"
        " where account_id = any(%s) and day_id = %s"
        " union all"
        " select account_id, amount from ledger_entry"
        " where account_id = any(%s) and created_at >= %s and created_at <= %s"
        ") t group by account",
        [accounts, day, accounts, since, at],
    )


def _rows(sql: str, params: list[Any]) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(sql, params)
        rows: list[tuple[Any, ...]] = cursor.fetchall()
    return rows


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
    accounts = {
        account.pk: account
        for account in LedgerAccount.objects.filter(kind=AccountKind.PROVIDER_FLOAT)
        .select_related("provider", "currency")
        .order_by("provider__title", "currency")
    }
    if at is None:
        rows = _rows("select id, balance from ledger_account_now where id = any(%s)", [list(accounts)])
    else:
        rows = _queued_balances(list(accounts), known(at))
    found = dict(rows)
    return [
        (account.provider.title, account.currency, -exact(found[pk], account.currency.scale))
        for pk, account in accounts.items()
        if account.provider is not None and pk in found
    ]


@dataclass(frozen=True, slots=True)
class Ids:
    """Rows of a period by their ids: all lie from ``first`` up to before ``end``; from ``sure_first`` up to before
    ``sure_end`` there are no others. None: no bound on that side."""

    first: int | None
    sure_first: int | None
    sure_end: int | None
    end: int | None


def ids_dated(model: type[Transfer | Entry], first: datetime | None, last: datetime | None) -> Ids:
    """The ids of a period: the tables have no index of moments.

    The ledger numbers a row and dates it in one statement, so ids and moments go the same way but for the
    seconds that such a statement may wait; ``_OUT_OF_STEP`` is far more.
    """
    moments = [
        moment and moment + step
        for moment, step in (
            (first, -_OUT_OF_STEP),
            (first, _OUT_OF_STEP),
            (last, -_OUT_OF_STEP),
            (last, _OUT_OF_STEP),
        )
    ]
    asked = [moment for moment in moments if moment is not None]
    if not asked:
        return Ids(None, None, None, None)
    halves = ", ".join([f"({_half(model._meta.db_table)})"] * len(asked))
    found = iter(_rows(f"select {halves}", [value for moment in asked for value in (moment, moment)])[0])
    return Ids(*(None if moment is None else int(next(found)) for moment in moments))


def _half(table: str) -> str:
    """The id from which on rows are dated at a moment (said twice) or later, found by halves."""
    return (
        "with recursive half as ("  # noqa: S608 - a model's own table
        f" select coalesce(min(id), 0) as low, coalesce(max(id), 0) + 1 as high from {table}"
        " union all"
        " select case when r.created_at < %s and r.id < h.high then r.id + 1 else h.low end,"
        " case when r.created_at < %s and r.id < h.high then h.high else (h.low + h.high) / 2 end"
        f" from half h left join lateral (select id, created_at from {table}"
        " where id >= (h.low + h.high) / 2 order by id limit 1) r on true"
        " where h.low < h.high)"
        " select max(low) from half"
    )


def order_transfers(order_id: uuid.UUID) -> list[Transfer]:
    """The ledger's view of one order, oldest first, entries with their accounts loaded."""
    entries = Entry.objects.select_related("account__currency", "account__customer", "account__provider")
    found = Transfer.objects.filter(order_id=order_id).order_by("id")
    return list(found.prefetch_related(Prefetch("entries", entries)))


@dataclass(frozen=True, slots=True)
class Statement:
    """One account between two moments: what it held, each entry, what it held then."""

    account: LedgerAccount
    opening: Decimal
    entries: list[Entry]
    closing: Decimal


def statements(customer_id: int, since: datetime, until: datetime) -> list[Statement]:
    """The customer's accounts that had any entry in ``[since, until]``, entries oldest first."""
    known(until)
    entries: dict[int, list[Entry]] = {}
    for entry in (
        Entry.objects.filter(account__customer_id=customer_id, created_at__gte=since, created_at__lte=until)
        .select_related("account__currency", "transfer")
        .order_by("account__currency__sort", "account_id", "created_at", "id")
    ):
        entries.setdefault(entry.account_id, []).append(entry)
    return [
        Statement(
            account=rows[0].account,
            opening=_after(rows[0]) - rows[0].amount,
            entries=rows,
            closing=_after(rows[-1]),
        )
        for rows in entries.values()
    ]


def _after(entry: Entry) -> Decimal:
    """A customer's entry always knows the balance after it: customers' accounts are never queued."""
    if entry.balance_after is None:
        raise ValueError(f"entry {entry.pk} has no balance after it")
    return entry.balance_after
