"""A ledger with history: N entries over whole past days, written by SQL past the ledger's door, but true to its laws."""

from __future__ import annotations

import os
import time
from typing import Any

from django.db import connection, transaction

from bench import house as houses
from bench.house import House
from kauri.balance import services
from kauri.balance.chart import AccountKind
from kauri.order_core.services import books_check

ENTRIES = int(os.environ.get("BENCH_ENTRIES", "200000"))
PER_ACCOUNT = 20
PER_DAY = 20_000
LEAST_DAYS = 100
MOST_ACCOUNTS = 10_000
CODES = ["BTC", "USDT", "RUB", "USD", "EUR"]

# What the runs before have written goes: the history comes first, as ids and times say.
EMPTY = """
truncate ledger_transfer, ledger_entry, ledger_account, ledger_hold, ledger_hot_delta, ledger_day,
  ledger_currency_day, ledger_balance_day, balance_selfcheck, order_core_order restart identity cascade;
"""

ACCOUNTS = """
insert into ledger_account (kind, currency_id, customer_id, may_be_negative, is_inline, is_closed, balance, version)
  select k.kind, c.id, u.id, k.may_be_negative, k.is_inline, false, 0, 0
    from account_user u, core_currency c, ledger_kind k where c.code = any(%(codes)s) and k.owner = 'customer';
insert into ledger_account (kind, currency_id, may_be_negative, is_inline, is_closed, balance, version)
  select k.kind, c.id, k.may_be_negative, k.is_inline, false, 0, 0
    from core_currency c, ledger_kind k where c.code = any(%(codes)s) and k.kind in (%(capital)s, %(fees)s);
"""

# First every account in use is funded out of capital, then customers pay each other, in turn in each currency;
# in the first of them a fee goes to the house: an account with a part in every transfer.
MOVES = """
analyze ledger_account;
create unlogged table bench.place as
  select a.id as account, a.currency_id as currency, c.id as capital, f.id as fees,
         dense_rank() over (order by a.currency_id) - 1 as box,
         row_number() over (partition by a.currency_id order by a.id) - 1 as pos
    from ledger_account a
    join ledger_account c on c.kind = %(capital)s and c.currency_id = a.currency_id
    join ledger_account f on f.kind = %(fees)s and f.currency_id = a.currency_id
    where a.kind = %(available)s;
create unique index on bench.place (box, pos);
analyze bench.place;
create unlogged table bench.moves as
  with plan as materialized (
    select n, n %% %(boxes)s as box, n <= %(active)s as funding,
           case when n <= %(active)s then n / %(boxes)s %% %(per_box)s
                else floor(random() * %(per_box)s)::bigint end as payer,
           1 + floor(random() * (%(per_box)s - 1))::bigint as step, 1 + n %% 9 as amount,
           date_trunc('day', now(), 'UTC') - %(days)s * interval '1 day'
             + n * (%(days)s * interval '1 day' / (%(transfers)s + 1)) as at
      from generate_series(1, %(transfers)s) n)
  select p.n, p.at, s.account, s.currency, case when p.funding then 10000 else -p.amount end as amount, false as hot
    from plan p join bench.place s on s.box = p.box and s.pos = p.payer
  union all
  select p.n, p.at, t.account, t.currency, case when p.box = 0 then p.amount - 0.05 else p.amount end, false
    from plan p join bench.place t on t.box = p.box and t.pos = (p.payer + p.step) %% %(per_box)s
    where not p.funding
  union all
  select p.n, p.at, case when p.funding then h.capital else h.fees end, h.currency,
         case when p.funding then -10000 else 0.05 end, true
    from plan p join bench.place h on h.box = p.box and h.pos = 0
    where p.funding or p.box = 0;
"""

BOOKS = """
insert into ledger_transfer (key, request_hash, kind, order_id, reverses_id, actor, reference, meta, created_at)
  select gen_random_uuid(), sha256(n::text::bytea), 1, null, null, 'system:0:system', '', null, max(at)
    from bench.moves group by n order by n;
insert into ledger_entry (transfer_id, account_id, currency_id, amount, balance_after, created_at)
  select n, account, currency, amount,
         case when not hot then sum(amount) over (partition by account order by n) end, at
    from bench.moves order by n, account;
update ledger_account a set balance = s.total, version = s.moves
  from (select account, sum(amount) as total, count(*) as moves from bench.moves group by account) s
  where a.id = s.account;
drop table bench.moves, bench.place;
"""


def fill(house: House) -> dict[str, Any]:
    """Write them, close their days, prove the books, and fund the house anew. Tells what the ledger has then."""
    per_box = max(2, min(ENTRIES // PER_ACCOUNT // len(CODES), MOST_ACCOUNTS))
    active = per_box * len(CODES)
    # Two legs each, and a third in one currency of five once all are funded.
    transfers = round((ENTRIES + active / len(CODES)) / (2 + 1 / len(CODES)))
    days = max(LEAST_DAYS, ENTRIES // PER_DAY)
    values: dict[str, Any] = {
        "codes": CODES,
        "boxes": len(CODES),
        "available": int(AccountKind.CUSTOMER_AVAILABLE),
        "capital": int(AccountKind.CAPITAL),
        "fees": int(AccountKind.FEE_INCOME),
        "per_box": per_box,
        "active": active,
        "transfers": transfers,
        "days": days,
    }
    begun = time.monotonic()
    with houses.as_owner():
        with transaction.atomic(), connection.cursor() as cursor:
            # Triggers prove what is posted; here the self-check proves it afterwards.
            cursor.execute("set local session_replication_role = replica")
            cursor.execute("set local work_mem = '512MB'")
            for text in (EMPTY, ACCOUNTS, MOVES, BOOKS):
                for statement in text.split(";\n"):
                    if statement.strip():
                        cursor.execute(statement, values)
        with connection.cursor() as cursor:
            cursor.execute("vacuum analyze")
    written = time.monotonic()
    closed = services.days_close()
    if closed != days:
        raise RuntimeError(f"{closed} days were closed instead of {days}")
    closed_at = time.monotonic()
    check = books_check(full=True)
    if not check.is_clean:
        raise RuntimeError(f"the preloaded books are not true: {check.findings}")
    houses.fund(house)
    with connection.cursor() as cursor:
        cursor.execute("select (select count(*) from ledger_account), (select count(*) from ledger_entry)")
        accounts, entries = cursor.fetchone()
    return {
        "accounts": accounts,
        "entries": entries,
        "days": days,
        "seconds_to_write": round(written - begun),
        "seconds_to_close_days": round(closed_at - written),
    }
