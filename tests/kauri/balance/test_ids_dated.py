"""The ids of a period, found without an index of moments."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kauri.balance.models import Entry, Transfer
from kauri.balance.selectors import Ids, ids_dated
from tests.moves import as_owner

START = datetime(2026, 1, 1, tzinfo=UTC)
INSERT = (
    "insert into ledger_transfer (id, key, request_hash, kind, actor, reference, created_at)"
    " values (%s, gen_random_uuid(), ''::bytea, 1, 'a', '', %s)"
)


@pytest.mark.django_db
@settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    # Gaps between ids, and hours between rows: some were written in the same hour, some days later.
    steps=st.lists(st.tuples(st.integers(1, 50), st.integers(0, 30)), max_size=12),
    since=st.integers(-5, 200),
    length=st.integers(0, 100),
)
def test_no_row_of_the_period_is_left_out(steps: list[tuple[int, int]], since: int, length: int) -> None:
    with as_owner() as cursor:
        cursor.execute("set session_replication_role = replica")
        cursor.execute("delete from ledger_transfer")
        number, moment = 1000, START
        for gap, hours in steps:
            number, moment = number + gap, moment + timedelta(hours=hours)
            cursor.execute(INSERT, [number, moment])
        cursor.execute("set session_replication_role = origin")
    first, last = START + timedelta(hours=since), START + timedelta(hours=since + length)
    ids = ids_dated(Transfer, first, last)
    assert None not in {ids.first, ids.sure_first, ids.sure_end, ids.end}
    wanted = set(
        Transfer.objects.filter(created_at__gte=first, created_at__lte=last).values_list("id", flat=True)
    )
    found = set(Transfer.objects.filter(id__gte=ids.first, id__lt=ids.end).values_list("id", flat=True))
    assert wanted <= found
    # And hardly any other: rows here are whole hours apart.
    assert found == wanted
    # Where no moment is looked at, there is no other row; and of those in the middle of the period all are there.
    sure = set(
        Transfer.objects.filter(id__gte=ids.sure_first, id__lt=ids.sure_end).values_list("id", flat=True)
    )
    inner = Transfer.objects.filter(created_at__gt=first, created_at__lt=last)
    assert set(inner.values_list("id", flat=True)) <= sure <= wanted


@pytest.mark.django_db
def test_an_empty_ledger_has_no_ids() -> None:
    assert ids_dated(Entry, START, START) == Ids(0, 0, 0, 0)
    assert ids_dated(Entry, None, None) == Ids(None, None, None, None)
    assert ids_dated(Entry, START, None) == Ids(0, 0, None, None)
