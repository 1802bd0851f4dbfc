"""Pages of a list: whoever walks it sees every row once and in order, there and back, whatever comes in between."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest
from django.db import transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kauri.common.paging import Key, keys_of, page_of, token_of, values_of
from kauri.core.models import ScheduleRun
from kauri.order_core.models import Order

START = datetime(2026, 11, 1, tzinfo=UTC)
#: Few different moments and none at all: many rows are equal in them.
MOMENTS = st.none() | st.integers(0, 3).map(lambda hours: START + timedelta(hours=hours, microseconds=hours))
ROWS = st.lists(st.tuples(MOMENTS, MOMENTS), max_size=14)
ORDERS = st.tuples(
    st.sampled_from(["", "-"]),
    st.sampled_from([("finished_at", "enqueued_at"), ("enqueued_at",), ("finished_at",), ()]),
    st.sampled_from(["", "-"]),
    st.sampled_from(["", "-"]),
)
relaxed = settings(
    max_examples=150,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


def ordering(signs: tuple[str, tuple[str, ...], str, str]) -> list[str]:
    first, columns, second, last = signs
    return [*(f"{sign}{name}" for sign, name in zip((first, second), columns, strict=False)), f"{last}name"]


class Undo:
    """What an example writes is gone after it."""

    def __enter__(self) -> None:
        self.atomic = transaction.atomic()
        self.atomic.__enter__()

    def __exit__(self, kind: Any, value: Any, trace: Any) -> None:
        transaction.set_rollback(True)
        self.atomic.__exit__(kind, value, trace)


def make(rows: list[Any], names: Any) -> None:
    ScheduleRun.objects.bulk_create(
        ScheduleRun(name=f"{next(names):04d}", finished_at=finished, enqueued_at=enqueued)
        for finished, enqueued in rows
    )


def one_more(left: list[Any], names: Any) -> None:
    if left:
        make([left.pop()], names)


def walked(listed: Any, size: int, *, forwards: bool = True, between: Any = lambda: None) -> list[str]:
    """The names on all the pages, each page found by the link that stands on the one before."""
    keys, seen = keys_of(listed), []
    page = page_of(listed, size) if forwards else page_of(listed.reverse(), size)
    rows = page.rows if forwards else page.rows[::-1]
    while rows:
        seen += [row.name for row in (rows if forwards else rows[::-1])]
        between()
        edge = token_of(rows[-1] if forwards else rows[0], keys)
        page = page_of(listed, size, (values_of(edge, keys), forwards))
        assert (page.has_earlier if forwards else page.has_later) or not page.rows
        rows = page.rows
    return seen


@pytest.mark.django_db
@relaxed
@given(rows=ROWS, signs=ORDERS, size=st.integers(1, 5))
def test_every_row_once_in_both_directions(rows: list[Any], signs: Any, size: int) -> None:
    with Undo():
        make(rows, itertools.count())
        listed = ScheduleRun.objects.order_by(*ordering(signs))
        names = [row.name for row in listed]
        assert walked(listed, size) == names
        assert walked(listed, size, forwards=False) == names[::-1]


@pytest.mark.django_db
@relaxed
@given(
    rows=ROWS, later=st.lists(st.tuples(MOMENTS, MOMENTS), max_size=3), signs=ORDERS, size=st.integers(1, 4)
)
def test_rows_that_come_in_between_move_none_that_were_there(
    rows: list[Any], later: list[Any], signs: Any, size: int
) -> None:
    for forwards in (True, False):
        with Undo():
            names = itertools.count()
            make(rows, names)
            listed = ScheduleRun.objects.order_by(*ordering(signs))
            there = [row.name for row in listed]
            left = list(later)
            between = partial(one_more, left, names)
            seen = walked(listed, size, forwards=forwards, between=between)
            kept = [name for name in seen if name in there]
            assert kept == (there if forwards else there[::-1])
            assert len(seen) == len(set(seen))
            make(left, names)


@pytest.mark.django_db
@relaxed
@given(
    rows=st.lists(st.tuples(MOMENTS, MOMENTS), min_size=1, max_size=9), signs=ORDERS, size=st.integers(1, 4)
)
def test_a_page_says_what_is_before_and_behind_it(rows: list[Any], signs: Any, size: int) -> None:
    with Undo():
        make(rows, itertools.count())
        listed = ScheduleRun.objects.order_by(*ordering(signs))
        keys, every = keys_of(listed), list(listed)
        assert page_of(listed, size).has_earlier is False
        assert page_of(listed, size).has_later is (len(every) > size)
        for place, row in enumerate(every):
            mark = values_of(token_of(row, keys), keys)
            behind, before = page_of(listed, size, (mark, True)), page_of(listed, size, (mark, False))
            assert behind.rows == every[place + 1 : place + 1 + size]
            assert behind.has_later is (len(every) > place + 1 + size)
            assert before.rows == every[max(0, place - size) : place]
            assert before.has_earlier is (place > size)


@pytest.mark.parametrize(
    "token", ["", "x", "####", "bnVsbA", "WyJhIiwiYiJd", "WyJub3QgYSBtb21lbnQiXQ", "WyJcdTAwMDAiXQ"]
)
def test_a_link_that_is_none_of_ours_is_refused(token: str) -> None:
    key = Key("finished_at", ScheduleRun._meta.get_field("finished_at"), descends=False, nullable=True)
    with pytest.raises(ValueError, match=r"."):
        values_of(token, [key])


def test_a_relation_is_taken_apart_as_the_database_sorts_it() -> None:
    found = keys_of(Order.objects.order_by("owner", "-approval__created_at", "-pk"))
    assert [(key.path, key.descends, key.nullable) for key in found] == [
        ("owner__id", True, False),
        ("approval__created_at", True, True),
        ("pk", True, False),
    ]
