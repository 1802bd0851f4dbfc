"""Many transfers in one call: the same books as one by one, all or none."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from contextlib import suppress
from decimal import Decimal
from typing import Any

import pytest
from django.db import DatabaseError, connection, transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kauri.account.models import User
from kauri.balance import invariants, ledger
from kauri.balance.chart import AccountKind, TransferKind
from kauri.balance.ledger import Draft, LedgerFault, Leg
from kauri.balance.models import Entry, HotDelta, LedgerAccount, Transfer
from kauri.common.actor import SYSTEM
from kauri.common.errors import KauriError
from kauri.core.models import Currency
from tests.moves import balance_of, give


def pay(source: User, target: User, amount: str, key: uuid.UUID | None = None, fee: str = "0") -> Draft:
    uah = Currency.objects.get(code="UAH")
    taken = Decimal(amount) + Decimal(fee)
    return Draft(
        key or uuid.uuid4(),
        [
            Leg(AccountKind.CUSTOMER_AVAILABLE, uah, -taken, customer_id=source.pk),
            Leg(AccountKind.CUSTOMER_AVAILABLE, uah, Decimal(amount), customer_id=target.pk),
            Leg(AccountKind.FEE_INCOME, uah, Decimal(fee)),
        ],
    )


def post(*drafts: Draft) -> list[ledger.Posted]:
    return ledger.post_batch(TransferKind.INTERNAL_MOVEMENT, drafts, actor=SYSTEM)


def uah_of(user: User) -> Decimal:
    return balance_of(user, "UAH")[0]


def test_each_entry_knows_the_balance_after_it(customer: Callable[..., User]) -> None:
    one, two = customer(), customer()
    give(one, "UAH", "100")
    posted = post(
        pay(one, two, "30", fee="0.10"),
        pay(two, one, "5"),
        pay(one, two, "74.85", fee="0.05"),
        pay(two, one, "1"),
    )
    assert [row.replayed for row in posted] == [False] * 4
    assert sorted(row.transfer_id for row in posted) == sorted(
        Transfer.objects.filter(kind=TransferKind.INTERNAL_MOVEMENT).values_list("pk", flat=True)
    )
    after = {
        user.pk: list(
            Entry.objects.filter(account__customer=user, transfer__kind=TransferKind.INTERNAL_MOVEMENT)
            .order_by("id")
            .values_list("amount", "balance_after")
        )
        for user in (one, two)
    }
    assert after[one.pk] == [
        (Decimal("-30.10"), Decimal("69.90")),
        (Decimal(5), Decimal("74.90")),
        (Decimal("-74.90"), Decimal(0)),
        (Decimal(1), Decimal(1)),
    ]
    assert after[two.pk] == [
        (Decimal(30), Decimal(30)),
        (Decimal(-5), Decimal(25)),
        (Decimal("74.85"), Decimal("99.85")),
        (Decimal(-1), Decimal("98.85")),
    ]
    # One queued change of the hot account for the whole batch.
    assert list(
        HotDelta.objects.filter(account__kind=AccountKind.FEE_INCOME).values_list("amount", flat=True)
    ) == [Decimal("0.15")]
    account = LedgerAccount.objects.get(
        customer=one, kind=AccountKind.CUSTOMER_AVAILABLE, currency__code="UAH"
    )
    assert (account.balance, account.version) == (Decimal(1), 5)
    assert invariants.broken_laws() == []


def test_nothing_is_written_when_one_would_overdraw_on_the_way(customer: Callable[..., User]) -> None:
    one, two = customer(), customer()
    give(one, "UAH", "10")
    # In the end nobody is below zero; after the second transfer one would be.
    with pytest.raises(KauriError) as caught, transaction.atomic():
        post(pay(one, two, "4"), pay(one, two, "7"), pay(two, one, "11"))
    assert caught.value.code == "insufficient_funds"
    with pytest.raises(KauriError) as caught, transaction.atomic():
        post(pay(one, two, "4"), pay(one, two, "7"))
    assert caught.value.code == "insufficient_funds"
    assert uah_of(one) == 10
    assert not LedgerAccount.objects.filter(customer=two).exists()
    assert not Transfer.objects.filter(kind=TransferKind.INTERNAL_MOVEMENT).exists()
    post(pay(one, two, "4"), pay(two, one, "1"), pay(one, two, "7"))
    assert (uah_of(one), uah_of(two)) == (0, 10)


def test_what_was_posted_before_is_told_and_left_alone(customer: Callable[..., User]) -> None:
    one, two = customer(), customer()
    give(one, "UAH", "100")
    first, second, third = (pay(one, two, amount) for amount in ("10", "20", "30"))
    alone = ledger.post(second.key, TransferKind.INTERNAL_MOVEMENT, second.legs, actor=SYSTEM)
    posted = post(first, second, third)
    assert [row.replayed for row in posted] == [False, True, False]
    assert posted[1].transfer_id == alone.transfer_id
    again = post(third, second, first)
    assert [row.transfer_id for row in again] == [row.transfer_id for row in reversed(posted)]
    assert all(row.replayed for row in again)
    assert (uah_of(one), uah_of(two)) == (40, 60)
    with pytest.raises(KauriError) as caught, transaction.atomic():
        post(pay(one, two, "1"), pay(one, two, "11", key=first.key))
    assert caught.value.code == "conflict"
    assert (uah_of(one), uah_of(two)) == (40, 60)


@pytest.mark.parametrize(
    ("legs", "fault"),
    [
        ([(AccountKind.CAPITAL, "-10"), (AccountKind.SUSPENSE, "9")], "sum to zero"),
        ([(AccountKind.CAPITAL, "-0.001"), (AccountKind.SUSPENSE, "0.001")], "finer than"),
        ([(AccountKind.CAPITAL, "NaN"), (AccountKind.SUSPENSE, "NaN")], "not a number"),
        ([(AccountKind.CAPITAL, "5")], "2 to 50"),
        ([], "2 to 50"),
    ],
)
def test_one_malformed_transfer_spoils_the_batch(
    customer: Callable[..., User], legs: list[tuple[AccountKind, str]], fault: str
) -> None:
    uah = Currency.objects.get(code="UAH")
    user = customer()
    good = Draft(
        uuid.uuid4(),
        [
            Leg(AccountKind.CAPITAL, uah, Decimal(-1)),
            Leg(AccountKind.CUSTOMER_AVAILABLE, uah, Decimal(1), customer_id=user.pk),
        ],
    )
    bad = Draft(uuid.uuid4(), [Leg(kind, uah, Decimal(amount)) for kind, amount in legs])
    with pytest.raises(LedgerFault, match=fault), transaction.atomic():
        post(good, bad)
    assert Entry.objects.count() == 0
    with pytest.raises(LedgerFault, match="each key once"), transaction.atomic():
        post(good, good)
    with pytest.raises(LedgerFault, match="1 to 1000"), transaction.atomic():
        post()


def raw(of: list[int], kinds: list[int], customers: list[Any], amounts: list[str], transfers: int = 1) -> str:
    """Call the function as the application may, past the code; gives the SQLSTATE it ends with."""
    uah = Currency.objects.get(code="UAH").pk
    with pytest.raises(DatabaseError) as caught, transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(
            "select * from ledger_post_batch(%s::uuid[], %s::bytea[], 20::smallint, %s::uuid[], %s::text[], 'x',"
            " %s::int[], %s::smallint[], %s::smallint[], %s::bigint[], %s::bigint[], %s::numeric[])",
            [
                [uuid.uuid4() for _ in range(transfers)],
                [b"x"] * transfers,
                [None] * transfers,
                [""] * transfers,
                of,
                kinds,
                [uah] * len(kinds),
                customers,
                [None] * len(kinds),
                amounts,
            ],
        )
    return str(caught.value.__cause__.sqlstate)  # type: ignore[union-attr]


def test_raw_calls_break_no_law(customer: Callable[..., User]) -> None:
    user, other = customer(), customer()
    give(user, "UAH", "5")
    assert raw([1, 1], [1, 2], [user.pk, user.pk], ["-5", "5"]) == "LG403", "held money without a hold"
    assert raw([1, 1], [1, 1], [user.pk, other.pk], ["-6", "6"]) == "23514", "an overdraft"
    assert raw([1, 1], [1, 1], [user.pk, user.pk], ["-5", "5"]) == "LG400", "two legs on one account"
    assert raw([1, 2], [1, 1], [user.pk, other.pk], ["-5", "5"], 2) == "LG400", "a transfer of one leg"
    assert raw([1, 1], [1, 1], [user.pk, other.pk], ["-5", "5"], 2) == "LG400", "a transfer of none"
    assert raw([1, 3], [1, 1], [user.pk, other.pk], ["-5", "5"], 2) == "LG400", "legs of no transfer"
    assert (
        raw([1, 1, 2, 2], [1, 1, 34, 33], [user.pk, other.pk, None, None], ["-5", "6", "1", "-2"], 2)
        == "LG400"
    )
    assert raw([1, 1], [1, 34], [None, None], ["-5", "5"]) == "LG400", "a customer's kind without a customer"
    assert (uah_of(user), Entry.objects.count()) == (5, 2)


class Undone(Exception):
    """Ends a transaction whose outcome was only to be seen."""


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(0, 2), st.integers(1, 2), st.integers(1, 60)), min_size=1, max_size=12))
def test_a_batch_does_what_its_transfers_would_do_one_by_one(
    customer: Callable[..., User], moves: list[tuple[int, int, int]]
) -> None:
    people = [customer() for _ in range(3)]
    give(people[0], "UAH", "100")
    drafts = [
        pay(people[source], people[(source + step) % 3], str(amount), fee="0.5")
        for source, step, amount in moves
    ]

    def outcome(write: Callable[[], object]) -> list[Decimal] | str:
        found: list[Decimal] | str = "nothing"
        with suppress(Undone), transaction.atomic():
            try:
                with transaction.atomic():
                    write()
                rows = LedgerAccount.objects.filter(customer__in=people, kind=AccountKind.CUSTOMER_AVAILABLE)
                held = dict(rows.values_list("customer_id", "balance"))
                found = [held.get(user.pk, Decimal(0)) for user in people]
                assert invariants.broken_laws() == []
            except KauriError as exc:
                found = exc.code
            raise Undone
        return found

    def one_by_one() -> None:
        for draft in drafts:
            ledger.post(draft.key, TransferKind.INTERNAL_MOVEMENT, draft.legs, actor=SYSTEM)

    assert outcome(lambda: post(*drafts)) == outcome(one_by_one)
