"""A crowd's customers, orders and books: each a model, where its rows come from, and its columns as SQL.

``crowd_plan`` has a row an order (``n`` counts them in time), ``crowd_move`` a row an entry. A column that
is not named has its model's default. ``{name}`` is a figure of :mod:`backoffice.demo.crowd`.
"""

from __future__ import annotations

from typing import Final

from django.db.models import Model

from kauri.account.models import User
from kauri.balance.models import Entry, Hold, LedgerAccount, Transfer
from kauri.order_core.models import Order, Transition

Columns = dict[str, str]

FUNCTIONS: Final = (
    """create function pg_temp.uid(at timestamptz, key text) returns uuid language sql immutable as $$
  select (lpad(to_hex((extract(epoch from at) * 1000)::bigint), 12, '0') || '7' || substr(md5(key), 1, 3)
    || '8' || substr(md5(key), 4, 15))::uuid $$""",
    """create function pg_temp.place(key text) returns text language sql immutable as $$
  select '0x' || md5('a' || key) || substr(md5('b' || key), 1, 8) $$""",
    """create function pg_temp.hash(key text) returns text language sql immutable as $$
  select '0x' || md5('t' || key) || md5('u' || key) $$""",
)

# Every customer begins with a deposit that all their later withdrawals together don't reach.
PLAN: Final = """
create temporary table crowd_plan as
with counted as (
  select n, (n - 1) / {customers} as r, mod(n - 1, {customers}) as p, abs(hashint8(n)::bigint) as h,
         now() - interval '10 minutes' - ({orders} - n)::float8 / {orders} * interval '{days} days' as at
    from generate_series(1::bigint, {orders}) n),
placed as (
  select n, r, h, at, mod(p * 48271 + r * 7919, {customers}) as c, mod(h / 20, 100) as f, n > {orders} - {tail} as late,
         case when r = 0 or mod(h, 20) < 12 then 'DEPOSIT' when mod(h, 20) < 17 then 'WITHDRAWAL'
              else 'INTERNAL_MOVEMENT' end as type
    from counted),
fated as (
  select *, case
      when type = 'DEPOSIT' and late and f < 10 then 'seen'
      when type = 'DEPOSIT' and late and f = 10 and mod(c, 4) < 2 then 'held'
      when type = 'DEPOSIT' and r > 0 and not late and f = 11 then 'gone'
      when type = 'WITHDRAWAL' and late and f < 30 then 'waits'
      when type = 'WITHDRAWAL' and late and f < 40 then 'paying'
      when type = 'WITHDRAWAL' and not late and f < 2 then 'rejected'
      when type = 'WITHDRAWAL' and not late and f = 2 then 'failed'
      when type = 'INTERNAL_MOVEMENT' and late and f < 10 then 'waits'
      else 'done' end as fate
    from placed)
select n, c, h, f, late, type, fate, at, pg_temp.uid(at, 'order' || n) as uid,
       case when fate in ('done', 'gone', 'rejected', 'failed') then at + interval '3 minutes' end as done,
       case fate when 'seen' then 'WAITING_FOR_CONFIRMATION' when 'held' then 'BLOCKED' when 'gone' then 'ERROR'
         when 'waits' then 'WAITING_FOR_OPERATOR_CONFIRMATION' when 'paying' then 'PAYMENT_IN_PROGRESS'
         when 'rejected' then 'CANCELLED' when 'failed' then 'ERROR' else 'CLOSED' end as status,
       case when mod(c, 4) < 2 then {usdt} when mod(c, 4) = 2 then {uah} else {eur} end as currency,
       case when mod(c, 4) < 2 then {node} else {sandbox} end as provider,
       case when mod(c, 4) < 2 then 1 when mod(c, 4) = 2 then 2 else 3 end as box,
       case when type = 'DEPOSIT' then case when r = 0 then 10000 else 50 + mod(n, 200) end
            when type = 'WITHDRAWAL' then 20 + mod(n, 100) else 5 + mod(n, 10) end::numeric as amount,
       case when type = 'WITHDRAWAL' then 1 else 0 end::numeric as fee,
       mod(c + 4 * (1 + mod(n, 50)), {customers}) as other
  from fated;
"""

# The house's accounts: floats are 1 to 3, fees 4 to 6, suspense 7; a customer's are 1001 + 2c and the next.
# A box is a currency with the provider that moves it.
_SECOND: Final = "select 2 * n + 1, 5 * n + {place}, {account}, currency, {amount}, {hot}, done from crowd_plan where {where}"
_FIRST: Final = (
    "select 2 * n, 5 * n + {place}, {account}, currency, {amount}, {hot}, at from crowd_plan where {where}"
)
_FREE, _HELD = "1001 + 2 * c", "1002 + 2 * c"
_DEPOSITED, _OUT = "type = 'DEPOSIT' and fate = 'done'", "type = 'WITHDRAWAL'"
_MOVED = "type = 'INTERNAL_MOVEMENT' and fate = 'done'"
_SUSPENDED, _SET_ASIDE = (
    "fate = 'held'",
    "(type = 'WITHDRAWAL' or type = 'INTERNAL_MOVEMENT' and fate = 'waits')",
)
_PAID, _GIVEN_BACK = f"{_OUT} and fate = 'done'", f"{_OUT} and fate in ('rejected', 'failed')"
#: Statement, place among the order's entries, account, amount, whether the account is queued, of which orders.
LEGS: Final = (
    (_FIRST, 0, "box", "-amount", True, _DEPOSITED),
    (_FIRST, 1, _FREE, "amount", False, _DEPOSITED),
    (_FIRST, 0, "box", "-amount", True, _SUSPENDED),
    (_FIRST, 1, "7", "amount", True, _SUSPENDED),
    (_FIRST, 0, _FREE, "-(amount + fee)", False, _SET_ASIDE),
    (_FIRST, 1, _HELD, "amount + fee", False, _SET_ASIDE),
    (_SECOND, 2, "box", "amount", True, _PAID),
    (_SECOND, 3, "3 + box", "fee", True, _PAID),
    (_SECOND, 4, _HELD, "-(amount + fee)", False, _PAID),
    (_SECOND, 2, _FREE, "amount + fee", False, _GIVEN_BACK),
    (_SECOND, 4, _HELD, "-(amount + fee)", False, _GIVEN_BACK),
    (_FIRST, 0, _FREE, "-amount", False, _MOVED),
    (_FIRST, 1, "1001 + 2 * other", "amount", False, _MOVED),
)

ORDERS: Final = "from crowd_plan"
OWNER: Final = "{people} + c"
ENDED: Final = "coalesce(done, at)"
#: Model, where its rows come from (with the order that they are written in), columns.
BOOKS: Final[tuple[tuple[type[Model], str, Columns], ...]] = (
    (
        User,
        "from generate_series(0, {customers} - 1) c",
        {
            "id": OWNER,
            "public_id": "pg_temp.uid(now() - interval '{days} days', 'user' || c)",
            "number": "'KB' || lpad(c::text, 15, '0')",
            "email": "'customer' || c || '@crowd.example'",
            "username": "'customer' || c",
            "password": "'!'",
            "group_id": "case when c < 40 then {partner} when mod(c, 100) < 90 then {default} else {vip} end",
            "verification_level": "case when mod(c, 10) = 0 then 0 when mod(c, 10) < 8 then 1 else 2 end",
            "email_verified_at": "now() - interval '{days} days'",
            "created_at": "now() - interval '1 day' - ({customers} - c)::float8 / {customers} * interval '{days} days'",
        },
    ),
    (
        LedgerAccount,
        "from (select account, min(currency) as currency, bool_or(hot) as hot, sum(amount) as total, count(*) as moves,"
        " min(at) as at from crowd_move group by account) m order by account",
        {
            "id": "account",
            "kind": "case when account > 1000 then 2 - mod(account, 2) when account < 4 then 11"
            " when account < 7 then 20 else 33 end",
            "currency_id": "currency",
            "customer_id": "case when account > 1000 then {people} + (account - 1001) / 2 end",
            "provider_id": "case when account = 1 then {node} when account < 4 then {sandbox} end",
            "may_be_negative": "hot",
            "is_inline": "not hot",
            "balance": "total",
            "version": "moves",
            "created_at": "at",
        },
    ),
    (
        Transfer,
        "from (select 2 * n as id, uid, at, type, fate, h, 1 as step from crowd_plan where fate not in ('seen', 'gone')"
        " union all select 2 * n + 1, uid, done, type, fate, h, 2 from crowd_plan"
        " where type = 'WITHDRAWAL' and done is not null) t order by id",
        {
            "id": "id",
            "key": "md5('transfer' || id)::uuid",
            "request_hash": "sha256(id::text::bytea)",
            "kind": "case type when 'DEPOSIT' then case fate when 'held' then 2 else 1 end when 'WITHDRAWAL' then"
            " case when step = 1 then 10 when fate = 'done' then 11 else 12 end"
            " else case fate when 'waits' then 21 else 20 end end",
            "order_id": "uid",
            "actor": "'system:0:system'",
            "created_at": "at",
        },
    ),
    (
        Entry,
        "from (select id, transfer, account, currency, amount, null::numeric as after, at from crowd_move where hot"
        " union all select id, transfer, account, currency, amount,"
        " sum(amount) over (partition by account order by at, id), at from crowd_move where not hot) e order by id",
        {
            "id": "id",
            "transfer_id": "transfer",
            "account_id": "account",
            "currency_id": "currency",
            "amount": "amount",
            "balance_after": "after",
            "created_at": "at",
        },
    ),
    (
        Order,
        f"{ORDERS} order by n",
        {
            "id": "n",
            "public_id": "uid",
            "type": "type",
            "owner_id": OWNER,
            "counterparty_id": "case when type = 'INTERNAL_MOVEMENT' then {people} + other end",
            "status": "status",
            "currency_in_id": "currency",
            "amount_in": "amount + fee",
            "currency_out_id": "currency",
            "amount_out": "amount",
            "fee": "fee",
            "fee_currency_id": "currency",
            "external_id": "case when mod(n, 2) = 0 then 'client-' || n else '' end",
            "source": "case when type = 'DEPOSIT' then 'provider' when mod(h, 1000) = 1 then 'backoffice'"
            " when mod(h, 10) = 2 then 'telegram' else 'api' end",
            "created_at": "at",
            "updated_at": ENDED,
            "finished_at": "done",
        },
    ),
    (
        Transition,
        "from (select n, 1 as step, '' as before, case when done is null then status else 'NEW' end as status, at from"
        " crowd_plan union all select n, 2, 'NEW', status, done from crowd_plan where done is not null) t order by at, step",
        {
            "order_id": "n",
            "from_status": "before",
            "to_status": "status",
            "actor_kind": "'system'",
            "actor_id": "'0'",
            "actor_label": "'system'",
            "at": "at",
        },
    ),
    (
        Hold,
        f"{ORDERS} where {_SET_ASIDE} order by n",
        {
            "order_id": "uid",
            "customer_id": OWNER,
            "currency_id": "currency",
            "amount": "amount + fee",
            "captured": "case when fate = 'done' then amount + fee else 0 end",
            "released": "case when fate in ('rejected', 'failed') then amount + fee else 0 end",
            "created_at": "at",
        },
    ),
)
