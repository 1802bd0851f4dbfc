"""Customers and orders in millions, to measure pages by: written by SQL past every door, but true to the laws.

Only for a database that is thrown away: whoever runs it must be its superuser, and there must be no order yet.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Any, Final

from django.conf import settings
from django.db import connection, transaction
from django.db.models import NOT_PROVIDED, Model

from backoffice.demo.crowd_books import BOOKS, FUNCTIONS, LEGS, PLAN, Columns
from backoffice.demo.crowd_rows import TRAFFIC
from kauri.account.models import CustomerGroup, User
from kauri.core.models import Currency, Network, Provider
from kauri.order_core.models import Order

ORDERS: Final = 10_000_000
DAYS: Final = 730
#: The newest orders, of which some still wait.
TAIL: Final = 4_000
PER_CUSTOMER: Final = 50
LEAST_CUSTOMERS: Final = 400
#: From here on indexes are made after the rows, which is three times as fast.
MANY: Final = 200_000

_ROWS: Final = (*BOOKS, *TRAFFIC)
_INDEXES: Final = """
select i.indrelid::regclass::text, i.indexrelid::regclass::text, pg_get_indexdef(i.indexrelid),
       quote_ident(c.conname), pg_get_constraintdef(c.oid)
  from pg_index i left join pg_constraint c on c.conindid = i.indexrelid and c.contype = 'u'
 where i.indrelid = any(%s::regclass[]) and not i.indisprimary
"""

Say = Callable[[str], object]


class CrowdError(Exception):
    """This is not a database for it."""


def make(orders: int = ORDERS, say: Say = print) -> dict[str, int]:
    """Write ``orders`` orders of many customers over two years, with all that hangs on them; how many rows."""
    _must_be_ours()
    figures = _figures(orders)
    tables = list(dict.fromkeys(model._meta.db_table for model, _source, _columns in _ROWS))
    begun, written = time.monotonic(), {}
    with transaction.atomic(), connection.cursor() as cursor:
        # Triggers prove what services write; the books' self-check can prove what is written here.
        cursor.execute("set local session_replication_role = replica")
        cursor.execute("set local work_mem = '1GB'")
        cursor.execute("set local maintenance_work_mem = '1GB'")
        _plan(cursor, figures)
        say(f"{time.monotonic() - begun:6.0f} s  planned")
        later = _without_indexes(cursor, tables) if orders >= MANY else []
        for model, source, columns in _ROWS:
            cursor.execute(*_insert(model, _filled(source, figures), columns, figures))
            name = model._meta.label
            written[name] = written.get(name, 0) + cursor.rowcount
            say(f"{time.monotonic() - begun:6.0f} s  {cursor.rowcount:>12,} {name}")
        for statement in later:
            cursor.execute(statement)
        say(f"{time.monotonic() - begun:6.0f} s  indexes")
        for table in tables:
            _go_on_counting(cursor, table)
        cursor.execute("drop table crowd_plan, crowd_move")
        # Not the server's own tables: for those two databases at once would wait for each other.
        cursor.execute(f"analyze {', '.join(connection.introspection.table_names(cursor))}")
    if not connection.in_atomic_block:
        with connection.cursor() as cursor:
            cursor.execute("vacuum")
    say(f"{time.monotonic() - begun:6.0f} s  done")
    return written


def _must_be_ours() -> None:
    with connection.cursor() as cursor:
        cursor.execute("select rolsuper from pg_roles where rolname = current_user")
        (is_super,) = cursor.fetchone()
    if settings.KAURI.env == "prod" or not is_super or Order.objects.exists():
        raise CrowdError("only for a superuser, in a database that is thrown away and has no order yet")


def _figures(orders: int) -> dict[str, int]:
    last = User.objects.order_by("-id").values_list("id", flat=True).first() or 0
    currencies = {row.code: row.pk for row in Currency.objects.all()}
    providers = {row.code: row.pk for row in Provider.objects.all()}
    return {
        "orders": orders,
        "customers": max(LEAST_CUSTOMERS, orders // PER_CUSTOMER // 4 * 4),
        "tail": min(TAIL, orders // 10),
        "days": DAYS,
        "people": last + 1,
        **{code.lower(): currencies[code] for code in ("USDT", "UAH", "EUR")},
        "node": providers["usdt-node"],
        "sandbox": providers["sandbox"],
        "manual": providers["manual"],
        "network": Network.objects.get(code="erc20").pk,
        **{row.code: row.pk for row in CustomerGroup.objects.filter(code__in=["default", "vip", "partner"])},
    }


def _filled(text: str, figures: dict[str, int]) -> str:
    """``text`` with its figures; other braces stay as they are."""
    return re.sub(r"\{(\w+)\}", lambda found: str(figures.get(found[1], found[0])), text)


def _plan(cursor: Any, figures: dict[str, int]) -> None:
    for function in FUNCTIONS:
        cursor.execute(function)
    cursor.execute(_filled(PLAN, figures))
    cursor.execute("analyze crowd_plan")
    legs = " union all ".join(
        statement.format(place=place, account=account, amount=amount, hot=hot, where=where)
        for statement, place, account, amount, hot, where in LEGS
    )
    names = "transfer, id, account, currency, amount, hot, at"
    cursor.execute(f"create temporary table crowd_move ({', '.join(_TYPES)})")
    cursor.execute(f"insert into crowd_move ({names}) {legs}")
    cursor.execute("analyze crowd_move")


_TYPES: Final = (
    "transfer bigint",
    "id bigint",
    "account bigint",
    "currency integer",
    "amount numeric",
    "hot boolean",
    "at timestamptz",
)


def _insert(
    model: type[Model], source: str, columns: Columns, figures: dict[str, int]
) -> tuple[str, dict[str, Any]]:
    """The statement, and what the columns that are not named start with."""
    names, values, params = [], [], {}
    for field in model._meta.concrete_fields:
        if field.column in columns:
            value = _filled(columns[field.column], figures).replace("%", "%%")
        elif (
            field.primary_key
            or field.db_default is not NOT_PROVIDED
            or (default := field.get_default()) is None
        ):
            continue
        else:
            value = f"%({field.column})s"
            params[field.column] = field.get_db_prep_save(default, connection)
        names.append(f'"{field.column}"')
        values.append(value)
    table = model._meta.db_table
    return f"insert into {table} ({', '.join(names)}) select {', '.join(values)} {source}", params


def _without_indexes(cursor: Any, tables: list[str]) -> list[str]:
    """Drop what is neither a primary key; the statements that make it anew."""
    cursor.execute(_INDEXES, [tables])
    again = []
    for table, index, definition, constraint, said in cursor.fetchall():
        if constraint:
            cursor.execute(f"alter table {table} drop constraint {constraint}")
            again.append(f"alter table {table} add constraint {constraint} {said}")
        else:
            cursor.execute(f"drop index {index}")
            again.append(definition)
    return again


def _go_on_counting(cursor: Any, table: str) -> None:
    """The next row's id comes after the last."""
    cursor.execute(
        "select pg_get_serial_sequence(%s, 'id') from pg_attribute"
        " where attrelid = %s::regclass and attname = 'id' and not attisdropped",
        [table, table],
    )
    row = cursor.fetchone()
    if row and row[0]:
        cursor.execute(f"select setval(%s, (select coalesce(max(id), 0) + 1 from {table}))", [row[0]])  # noqa: S608
