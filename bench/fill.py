"""A ledger with history: N entries over a hundred days, written by SQL past the ledger's door, but true to its laws."""

from __future__ import annotations

import os

from django.db import connection, transaction

ENTRIES = int(os.environ.get("BENCH_ENTRIES", "200000"))
PER_ACCOUNT = 20
CODES = ["BTC", "USDT", "RUB", "USD", "EUR"]
CAPITAL = 34

ACCOUNTS = """
insert into ledger_account (kind, currency_id, customer_id, may_be_negative, is_inline, is_closed, balance, version)
  select k.kind, c.id, u.id, false, true, false, 0, 0
    from account_user u, core_currency c, (values (1), (2)) k(kind) where c.code = any(%(codes)s)
  on conflict do nothing;
insert into ledger_account (kind, currency_id, may_be_negative, is_inline, is_closed, balance, version)
  select %(capital)s, c.id, true, false, false, 0, 0 from core_currency c where c.code = any(%(codes)s)
  on conflict do nothing;
"""

# First every account in use is funded out of capital, then customers pay each other.
MOVES = """
create unlogged table bench.place as
  select id as account, currency_id as currency, dense_rank() over (order by currency_id) - 1 as box,
         row_number() over (partition by currency_id order by id) - 1 as pos
    from ledger_account where kind = 1 and currency_id in (select id from core_currency where code = any(%(codes)s));
create unique index on bench.place (box, pos);
create unlogged table bench.moves as
  with plan as (
    select n, n %% %(boxes)s as box, n <= %(active)s as funding, n / %(boxes)s %% %(per_box)s as fund_pos,
           floor(random() * %(per_box)s)::bigint as a, 1 + floor(random() * (%(per_box)s - 1))::bigint as step,
           1 + n %% 9 as amount,
           now() - interval '100 days' + n * interval '99 days' / %(transfers)s as at
      from generate_series(1, %(transfers)s) n)
  select p.n, p.at, s.account, s.currency, case when p.funding then 10000 else -p.amount end as amount, false as hot
    from plan p join bench.place s on s.box = p.box and s.pos = case when p.funding then p.fund_pos else p.a end
  union all
  select p.n, p.at, case when p.funding then h.id else t.account end, t.currency,
         case when p.funding then -10000 else p.amount end, p.funding
    from plan p join bench.place t on t.box = p.box and t.pos = (p.a + p.step) %% %(per_box)s
    join ledger_account h on h.kind = %(capital)s and h.currency_id = t.currency;
"""

BOOKS = """
insert into ledger_transfer (id, key, request_hash, kind, order_id, reverses_id, actor, reference, meta, created_at)
  select %(base)s + n, gen_random_uuid(), sha256(n::text::bytea), 1, null, null, 'system:0:system', '', null, max(at)
    from bench.moves group by n order by n;
insert into ledger_entry (transfer_id, account_id, currency_id, amount, balance_after, created_at)
  select %(base)s + n, account, currency, amount,
         case when not hot then sum(amount) over (partition by account order by n) end, at
    from bench.moves order by n, account;
update ledger_account a set balance = s.total, version = s.moves
  from (select account, sum(amount) as total, count(*) as moves from bench.moves group by account) s
  where a.id = s.account;
select setval(pg_get_serial_sequence('ledger_transfer', 'id'), (select max(id) from ledger_transfer));
drop table bench.moves, bench.place;
"""


def fill() -> dict[str, int]:
    """Write them; gives how many accounts and entries the ledger has then. Needs a superuser's connection."""
    per_box = max(2, min(ENTRIES // PER_ACCOUNT // len(CODES), 10_000))
    values = {
        "codes": CODES,
        "capital": CAPITAL,
        "boxes": len(CODES),
        "per_box": per_box,
        "active": per_box * len(CODES),
        "transfers": ENTRIES // 2,
    }
    with transaction.atomic(), connection.cursor() as cursor:
        # Triggers and foreign keys prove what is posted; here the self-check proves it afterwards.
        cursor.execute("set local session_replication_role = replica")
        cursor.execute("select coalesce(max(id), 0) from ledger_transfer")
        values["base"] = cursor.fetchone()[0]
        for text in (ACCOUNTS, MOVES, BOOKS):
            for statement in text.split(";\n"):
                if statement.strip():
                    cursor.execute(statement, values)
    with connection.cursor() as cursor:
        cursor.execute("vacuum analyze")
        cursor.execute("select (select count(*) from ledger_account), (select count(*) from ledger_entry)")
        accounts, entries = cursor.fetchone()
    return {"accounts": accounts, "entries": entries}
