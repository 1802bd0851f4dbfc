"""The laws of the books, proven by queries. Each finding carries its evidence."""

from __future__ import annotations

from typing import Any, Final

from django.db import connection

#: name -> query of the rows that break the law (the evidence, at most 20 rows are kept).
LAWS: Final[dict[str, str]] = {
    "a transfer sums to zero per currency": (
        "select transfer_id, currency_id, sum(amount) from ledger_entry"
        " group by transfer_id, currency_id having sum(amount) <> 0"
    ),
    "a transfer has at least two entries": (
        "select t.id, count(e.id) from ledger_transfer t left join ledger_entry e on e.transfer_id = t.id"
        " group by t.id having count(e.id) < 2"
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
    "balances after each entry chain": (
        "select id, account_id from (select id, account_id, amount, balance_after, coalesce(lag(balance_after)"
        " over (partition by account_id order by created_at, id), 0) as before from ledger_entry"
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
}

COUNTS: Final[dict[str, str]] = {
    "transfers": "select count(*) from ledger_transfer",
    "entries": "select count(*) from ledger_entry",
    "accounts": "select count(*) from ledger_account",
}


def broken_laws() -> list[dict[str, Any]]:
    """Every law that does not hold, with up to 20 rows of evidence. Empty: the books are true."""
    findings = []
    with connection.cursor() as cursor:
        for law, query in LAWS.items():
            cursor.execute(f"{query} limit 20")
            rows = cursor.fetchall()
            if rows:
                findings.append({"law": law, "evidence": [[str(value) for value in row] for row in rows]})
    return findings


def counts() -> dict[str, int]:
    """How much was looked at."""
    result = {}
    with connection.cursor() as cursor:
        for name, query in COUNTS.items():
            cursor.execute(query)
            result[name] = cursor.fetchone()[0]
    return result
