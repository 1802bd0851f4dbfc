"""The laws of the books as queries: what each returns is evidence against itself.

Two sets prove the same laws: :data:`FULL` over everything ever written, :data:`SINCE` over the
entries dated in ``[from, until)`` and the accounts that they touch.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

from django.db import connection

#: At most so many rows of evidence are kept of one broken law.
EVIDENCE: Final = 20


def _days(days: str, entries: str) -> str:
    """Each closed day's total is the day's before, and what was moved on it."""
    return (
        "with moved as (select (e.created_at at time zone 'UTC')::date as day, e.currency_id, a.kind,"
        " sum(e.amount) as amount from ledger_entry e join ledger_account a on a.id = e.account_id"
        f" where {entries} group by 1, 2, 3)"
        " select d.day_id, d.currency_id, d.kind, d.balance, coalesce(p.balance, 0) + coalesce(m.amount, 0)"
        " from ledger_currency_day d"
        " left join ledger_currency_day p"
        " on p.day_id = d.day_id - 1 and p.currency_id = d.currency_id and p.kind = d.kind"
        " left join moved m on m.day = d.day_id and m.currency_id = d.currency_id and m.kind = d.kind"
        f" where {days} and d.balance <> coalesce(p.balance, 0) + coalesce(m.amount, 0)"
    )


#: name -> query of the rows that break the law.
FULL: Final[dict[str, str]] = {
    "a transfer sums to zero per currency": (
        "select transfer_id, currency_id, sum(amount) from ledger_entry"
        " group by transfer_id, currency_id having sum(amount) <> 0"
    ),
    "a transfer has entries": (
        "select t.id from ledger_transfer t"
        " where not exists (select 1 from ledger_entry e where e.transfer_id = t.id)"
    ),
    "an entry stands on an account of its currency, in a transfer": (
        "select e.id from ledger_entry e left join ledger_account a"
        " on a.id = e.account_id and a.currency_id = e.currency_id"
        " left join ledger_transfer t on t.id = e.transfer_id where a.id is null or t.id is null"
    ),
    "an account's balance is the sum of its entries": (
        "select n.id, n.balance, coalesce(s.total, 0) from ledger_account_now n"
        " left join (select account_id, sum(amount) as total from ledger_entry group by 1) s"
        " on s.account_id = n.id where n.balance <> coalesce(s.total, 0)"
    ),
    "no customer owes": (
        "select id, balance from ledger_account where customer_id is not null"
        " and (balance < 0 or balance = 'NaN')"
    ),
    # account_id + 0: sorting a copy takes one pass over the table, the index a random read per entry.
    "balances after each entry chain": (
        "select id, account_id from (select id, account_id, amount, balance_after, coalesce(lag(balance_after)"
        " over (partition by account_id + 0 order by created_at, id), 0) as before from ledger_entry"
        " where balance_after is not null) c where before + amount <> balance_after"
    ),
    "held money equals the open holds": (
        "select a.customer_id, a.currency_id, a.balance, coalesce(h.total, 0) from ledger_account a"
        " full join (select customer_id, currency_id, sum(amount - captured - released) as total"
        " from ledger_hold group by 1, 2) h"
        " on h.customer_id = a.customer_id and h.currency_id = a.currency_id"
        " where (a.kind = 2 or a.kind is null) and coalesce(a.balance, 0) <> coalesce(h.total, 0)"
    ),
    "amounts fit their currency": (
        "select e.id, e.amount from ledger_entry e join core_currency c on c.id = e.currency_id"
        " where e.amount <> round(e.amount, c.scale)"
    ),
    "closed days add up": _days("true", "true"),
}

_WINDOW: Final = "e.created_at >= %(from)s and e.created_at < %(until)s"
_TOUCHED: Final = f"select distinct e.account_id from ledger_entry e where {_WINDOW}"

SINCE: Final[dict[str, str]] = {
    "a transfer sums to zero per currency": (
        f"select e.transfer_id, e.currency_id, sum(e.amount) from ledger_entry e where {_WINDOW}"
        " group by e.transfer_id, e.currency_id having sum(e.amount) <> 0"
    ),
    # transfer_id + 0: the ends of the window's few rows, not of an index that is walked until it meets one.
    "a transfer has entries": (
        "select t.id from ledger_transfer t, (select min(e.transfer_id + 0) as first, max(e.transfer_id + 0) as last"
        f" from ledger_entry e where {_WINDOW}) ends where t.id > ends.first and t.id < ends.last"
        " and not exists (select 1 from ledger_entry e where e.transfer_id = t.id)"
    ),
    "an entry stands on an account of its currency, in a transfer": (
        "select e.id from ledger_entry e left join ledger_account a"
        " on a.id = e.account_id and a.currency_id = e.currency_id"
        " left join ledger_transfer t on t.id = e.transfer_id"
        f" where {_WINDOW} and (a.id is null or t.id is null)"
    ),
    "an account's balance is the sum of its entries": (
        "select a.id, a.balance, last.balance_after from ledger_account a join lateral ("
        " select balance_after from ledger_entry e where e.account_id = a.id"
        " order by e.created_at desc, e.id desc limit 1) last on true"
        f" where a.is_inline and a.id in ({_TOUCHED}) and a.balance <> last.balance_after"
        " union all"
        " select n.id, n.balance, coalesce(base.balance, 0) + coalesce(tail.total, 0)"
        " from ledger_account_now n join ledger_account a on a.id = n.id and not a.is_inline"
        " left join ledger_balance_day base on base.account_id = n.id"
        " and base.day_id = (select max(day) from ledger_day)"
        " left join lateral (select sum(e.amount) as total from ledger_entry e where e.account_id = n.id"
        " and e.created_at >= coalesce((select (max(day) + 1)::timestamp at time zone 'UTC' from ledger_day),"
        " '-infinity')) tail on true"
        " where n.balance <> coalesce(base.balance, 0) + coalesce(tail.total, 0)"
    ),
    "no customer owes": (
        "select a.id, a.balance from ledger_account a where a.customer_id is not null"
        f" and a.id in ({_TOUCHED}) and (a.balance < 0 or a.balance = 'NaN')"
    ),
    "balances after each entry chain": (
        "select c.id, c.account_id from (select e.id, e.account_id, e.created_at, e.amount, e.balance_after,"
        " lag(e.balance_after) over (partition by e.account_id order by e.created_at, e.id) as before"
        f" from ledger_entry e where e.balance_after is not null and {_WINDOW}) c"
        " where c.balance_after <> c.amount + coalesce(c.before, (select p.balance_after from ledger_entry p"
        " where p.account_id = c.account_id and (p.created_at, p.id) < (c.created_at, c.id)"
        " order by p.created_at desc, p.id desc limit 1), 0)"
    ),
    "held money equals the open holds": (
        "select a.customer_id, a.currency_id, a.balance, coalesce(h.total, 0) from ledger_account a"
        " left join lateral (select sum(amount - captured - released) as total from ledger_hold h"
        " where h.customer_id = a.customer_id and h.currency_id = a.currency_id"
        " and h.amount > h.captured + h.released) h on true"
        f" where a.kind = 2 and a.id in ({_TOUCHED}) and a.balance <> coalesce(h.total, 0)"
    ),
    "amounts fit their currency": (
        "select e.id, e.amount from ledger_entry e join core_currency c on c.id = e.currency_id"
        f" where {_WINDOW} and e.amount <> round(e.amount, c.scale)"
    ),
    # A window's first day may have been open when the window before it ended.
    "closed days add up": _days(
        "d.day_id >= (%(from)s at time zone 'UTC')::date",
        "e.created_at >= date_trunc('day', %(from)s at time zone 'UTC') at time zone 'UTC'",
    ),
}

_COUNTS: Final[dict[str, str]] = {
    "transfers": "select count(distinct e.transfer_id) from ledger_entry e where {window}",
    "entries": "select count(*) from ledger_entry e where {window}",
    "accounts": "select count(*) from (select distinct e.account_id from ledger_entry e where {window}) a",
}


def broken_laws(window: tuple[datetime, datetime] | None = None) -> list[dict[str, Any]]:
    """Every law of the ledger that does not hold, in all of it or in a window of time."""
    return broken(FULL if window is None else SINCE, window)


def broken(laws: dict[str, str], window: tuple[datetime, datetime] | None = None) -> list[dict[str, Any]]:
    """Those of ``laws`` that do not hold, each with some rows of evidence. Empty: the books are true."""
    findings = []
    with connection.cursor() as cursor:
        for law, query in laws.items():
            # Materialized: planned as a whole, not as a search for the first few rows that usually aren't there.
            cursor.execute(
                f"with evidence as materialized ({query}) select * from evidence order by 1 limit {EVIDENCE}",
                _params(window),
            )
            rows = cursor.fetchall()
            if rows:
                findings.append({"law": law, "evidence": [[str(value) for value in row] for row in rows]})
    return findings


def counts(window: tuple[datetime, datetime] | None = None) -> dict[str, int]:
    """How much was looked at."""
    result = {}
    with connection.cursor() as cursor:
        for name, query in _COUNTS.items():
            cursor.execute(query.format(window="true" if window is None else _WINDOW), _params(window))
            result[name] = cursor.fetchone()[0]
    return result


def _params(window: tuple[datetime, datetime] | None) -> dict[str, datetime] | None:
    return None if window is None else {"from": window[0], "until": window[1]}
