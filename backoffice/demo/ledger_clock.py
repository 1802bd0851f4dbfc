"""History needs old dates in a ledger that dates everything itself.

Only the owner of the schema can do this: inside one transaction the ledger's clock is replaced by
one that reads a session value, and put back before the commit. No other session ever sees it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

from django.db import connection

from kauri.common import clock

_TRUE_CLOCK = (
    "create or replace function ledger_now() returns timestamptz language sql volatile"
    " as 'select clock_timestamp()'"
)
_DEMO_CLOCK = (
    "create or replace function ledger_now() returns timestamptz language sql volatile"
    " as 'select current_setting(''kauri.demo_clock'')::timestamptz'"
)


@contextmanager
def replaced() -> Iterator[None]:
    """Use inside a transaction that ends with the block: the replacement never becomes visible."""
    with connection.cursor() as cursor:
        cursor.execute(_DEMO_CLOCK)
        yield
        cursor.execute(_TRUE_CLOCK)


@contextmanager
def at(moment: datetime) -> Iterator[None]:
    """Both clocks, Python's and the ledger's, say ``moment``."""
    with connection.cursor() as cursor:
        cursor.execute("select set_config('kauri.demo_clock', %s, true)", [moment.isoformat()])
    with clock.standing_at(moment):
        yield
