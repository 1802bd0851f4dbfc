"""Resolution, against the plainest reading of its rule: each field from the most specific row that sets it."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from kauri.core.models import Currency
from kauri.order_core.models import POLICY_AMOUNTS, POLICY_FIELDS, Policy
from kauri.order_core.policies import resolved
from kauri.order_core.states import OrderType

#: From the least to the most specific: (user, group, type, currency).
SCOPES = [(who, currency) for who in ("", "type", "group", "user") for currency in (None, 7)]


def _value(name: str) -> st.SearchStrategy[Any]:
    if name == "enabled":
        return st.none() | st.booleans()
    if name == "fee_payer":
        return st.none() | st.sampled_from(["sender", "recipient"])
    if name in POLICY_AMOUNTS or name == "fee_percent":
        return st.none() | st.integers(0, 50).map(Decimal)
    return st.none() | st.integers(0, 3)


ROWS = st.lists(
    st.tuples(
        st.sampled_from(SCOPES),
        st.fixed_dictionaries({name: _value(name) for name in POLICY_FIELDS}),
        st.sampled_from(["currency", "usd"]),
    ),
    max_size=8,
    unique_by=lambda row: row[0],
)


def make(rows: list[Any]) -> list[Policy]:
    made = []
    for number, ((who, currency), values, unit) in enumerate(rows, 1):
        made.append(
            Policy(
                pk=number,
                operation="WITHDRAWAL",
                currency_id=currency,
                user_id=1 if who == "user" else None,
                group_id=1 if who == "group" else None,
                account_type="business" if who == "type" else "",
                unit=unit,
                **values,
            )
        )
    return made


@given(rows=ROWS, order=st.randoms())
@settings(max_examples=1500, deadline=None, derandomize=True)
def test_each_field_comes_from_the_most_specific_row_that_sets_it(rows: list[Any], order: Any) -> None:
    policies = make(rows)
    order.shuffle(policies)
    found = resolved(OrderType.WITHDRAWAL, Currency(pk=7, code="X", scale=2), policies)
    for name in POLICY_FIELDS:
        best = max(
            (
                (SCOPES.index(row[0]), number)
                for number, row in enumerate(rows, 1)
                if row[1][name] is not None
            ),
            default=None,
        )
        if best is None:
            assert (found[name], name in found.origin) == (None, False)
            continue
        _, number = best
        assert (found[name], found.origin[name]) == (rows[number - 1][1][name], number)
        if name in found.units:
            assert found.units[name].value == rows[number - 1][2]


@given(rows=ROWS)
@settings(max_examples=300, deadline=None, derandomize=True)
def test_a_row_that_says_nothing_changes_nothing(rows: list[Any]) -> None:
    currency = Currency(pk=7, code="X", scale=2)
    silent = Policy(pk=99, operation="WITHDRAWAL", user_id=1, currency_id=7)
    with_it = resolved(OrderType.WITHDRAWAL, currency, [*make(rows), silent])
    without = resolved(OrderType.WITHDRAWAL, currency, make(rows))
    assert (with_it.values, with_it.origin) == (without.values, without.origin)


@given(
    percent=st.integers(0, 1_000_000).map(lambda n: Decimal(n).scaleb(-4)),
    fixed=st.integers(0, 10**6).map(lambda n: Decimal(n).scaleb(-4)),
    least=st.none() | st.integers(0, 10**6).map(lambda n: Decimal(n).scaleb(-2)),
    most=st.none() | st.integers(0, 10**6).map(lambda n: Decimal(n).scaleb(-2)),
    amount=st.integers(1, 10**12).map(lambda n: Decimal(n).scaleb(-2)),
)
@settings(max_examples=1000, deadline=None, derandomize=True)
def test_a_fee_is_never_less_than_its_sum_says(
    percent: Decimal, fixed: Decimal, least: Decimal | None, most: Decimal | None, amount: Decimal
) -> None:
    row = Policy(
        pk=1, operation="WITHDRAWAL", fee_percent=percent, fee_fixed=fixed, fee_min=least, fee_max=most
    )
    found = resolved(OrderType.WITHDRAWAL, Currency(pk=7, code="X", scale=2), [row])
    fee, plain = found.fee(amount), amount * percent / 100 + fixed
    if least is not None:
        plain = max(plain, least)
    if most is not None:
        plain = min(plain, most)
    assert plain <= fee < plain + Decimal("0.01")
