"""What the database holds, to be compared with what it held before an attack."""

from __future__ import annotations

from django.db import connection

from tests.moves import as_owner

#: What every call counts, used up or told: not what was asked for.
COUNTED = {"core_throttle", "account_usednonce"}


def every_row() -> dict[str, str]:
    """A digest of each table, without the counters of calls."""
    return {table: _digest(table, "true") for table in _tables() if table not in COUNTED}


def rows_of(user_id: int) -> dict[tuple[str, str], str]:
    """A digest of what belongs to a customer, by table and by the column that says so."""
    with as_owner() as cursor:
        cursor.execute(
            "select c.conrelid::regclass::text, a.attname from pg_constraint c"
            " join pg_attribute a on a.attrelid = c.conrelid and a.attnum = c.conkey[1]"
            " where c.contype = 'f' and c.confrelid = 'account_user'::regclass"
        )
        columns = [*cursor.fetchall(), ("account_user", "id")]
    return {(table, column): _digest(table, f"{column} = {user_id}") for table, column in columns}


def tables_with(text: str) -> list[str]:
    """The tables that hold ``text`` somewhere."""
    found = []
    with as_owner() as cursor:
        for table in _tables():
            cursor.execute(f"select exists (select from {table} t where t::text ilike %s)", [f"%{text}%"])
            found += [table] if cursor.fetchone()[0] else []
    return found


def forget_calls() -> None:
    """As if the minute were over: no attack of these is about being counted."""
    with as_owner() as cursor:
        cursor.execute("delete from core_throttle")


def _tables() -> list[str]:
    return sorted(connection.introspection.table_names())


def _digest(table: str, where: str) -> str:
    with as_owner() as cursor:
        cursor.execute(
            f"select md5(coalesce(string_agg(t::text, chr(10) order by t::text), '')) from {table} t where {where}"
        )
        return str(cursor.fetchone()[0])
