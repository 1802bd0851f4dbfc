"""Many connections at one ledger: no overdraft, no double, no deadlock left."""

from __future__ import annotations

import uuid
from decimal import Decimal
from typing import Any

import pytest

from backoffice import defaults
from kauri.account.models import User
from kauri.balance import invariants, ledger
from kauri.balance.chart import AccountKind, TransferKind
from kauri.balance.ledger import Draft, Leg
from kauri.balance.selectors import customer_balances
from kauri.common.actor import SYSTEM
from kauri.common.errors import KauriError
from kauri.core.models import Currency
from tests.moves import together

pytestmark = pytest.mark.django_db(transaction=True)


def rich(email: str, amount: str) -> User:
    user = User.objects.create_user(email=email, password=None)
    uah = Currency.objects.get(code="UAH")
    ledger.post(
        uuid.uuid4(),
        TransferKind.OPENING,
        [
            Leg(AccountKind.CAPITAL, uah, -Decimal(amount)),
            Leg(AccountKind.CUSTOMER_AVAILABLE, uah, Decimal(amount), customer_id=user.pk),
        ],
        actor=SYSTEM,
    )
    return user


def move(source: User, target: User, amount: str, key: uuid.UUID) -> Any:
    uah = Currency.objects.get(code="UAH")
    return ledger.post(
        key,
        TransferKind.OPENING,
        [
            Leg(AccountKind.CUSTOMER_AVAILABLE, uah, -Decimal(amount), customer_id=source.pk),
            Leg(AccountKind.CUSTOMER_AVAILABLE, uah, Decimal(amount), customer_id=target.pk),
        ],
        actor=SYSTEM,
    )


def available(user: User) -> Decimal:
    return next(row.available for row in customer_balances(user.pk) if row.currency.code == "UAH")


def test_one_key_from_many_connections_is_one_transfer() -> None:
    defaults.load()
    a, b, key = rich("a@example.com", "100"), rich("b@example.com", "0.01"), uuid.uuid4()
    results = together(8, lambda _: move(a, b, "30", key))
    assert sorted(result.replayed for result in results) == [False] + [True] * 7
    assert len({result.transfer_id for result in results}) == 1
    assert available(a) == Decimal(70)


def test_a_balance_is_spent_once() -> None:
    defaults.load()
    a, b = rich("a@example.com", "10"), rich("b@example.com", "0.01")
    results = together(8, lambda _: [move_or_code(a, b) for _ in range(5)])
    flat = [item for result in results for item in result]
    assert flat.count("moved") == 10
    assert flat.count("insufficient_funds") == 30
    assert (available(a), available(b)) == (Decimal(0), Decimal("10.01"))
    assert invariants.broken_laws() == []


def test_transfers_in_a_ring_do_not_deadlock() -> None:
    defaults.load()
    people = [rich(f"{number}@example.com", "100") for number in range(4)]

    def turn(number: int) -> int:
        for step in range(15):
            source, target = people[(number + step) % 4], people[(number + step + 1 + number % 2) % 4]
            if source != target:
                move(source, target, "1", uuid.uuid4())
        return 1

    assert together(4, turn) == [1, 1, 1, 1]
    assert sum(available(person) for person in people) == Decimal(400)
    assert invariants.broken_laws() == []


def move_or_code(a: User, b: User) -> str:
    try:
        move(a, b, "1", uuid.uuid4())
    except KauriError as exc:
        return exc.code
    return "moved"


def test_batches_and_single_posts_across_each_other_end(house: None) -> None:
    """Each worker pays everybody else, the others in another order: by batches, or one by one."""
    people = [rich(f"ring{number}@example.com", "1000") for number in range(4)]
    uah = Currency.objects.get(code="UAH")

    def draft(source: User, target: User) -> Draft:
        return Draft(
            uuid.uuid4(),
            [
                Leg(AccountKind.CUSTOMER_AVAILABLE, uah, Decimal(-1), customer_id=source.pk),
                Leg(AccountKind.CUSTOMER_AVAILABLE, uah, Decimal(1), customer_id=target.pk),
            ],
        )

    def act(number: int) -> int:
        others = [user for user in people if user != people[number]]
        for turn in range(12):
            drafts = [draft(people[number], user) for user in others[turn % 3 :] + others[: turn % 3]]
            if (number + turn) % 2:
                for one in drafts:
                    ledger.post(one.key, TransferKind.INTERNAL_MOVEMENT, one.legs, actor=SYSTEM)
            else:
                ledger.post_batch(TransferKind.INTERNAL_MOVEMENT, drafts, actor=SYSTEM)
        return number

    assert together(4, act) == [0, 1, 2, 3]
    # Everybody paid three others twelve times, and was paid as often.
    assert [available(user) for user in people] == [Decimal(1000)] * 4
    assert invariants.broken_laws() == []


def test_the_same_batch_from_many_connections_is_one(house: None) -> None:
    source, target = rich("from@example.com", "100"), rich("to@example.com", "1")
    fresh = [User.objects.create_user(email=f"new{number}@example.com", password=None) for number in range(3)]
    uah = Currency.objects.get(code="UAH")
    keys = [uuid.uuid4() for _ in range(6)]

    def act(number: int) -> list[bool]:
        order = keys if number % 2 else keys[::-1]
        drafts = [
            Draft(
                key,
                [
                    Leg(AccountKind.CUSTOMER_AVAILABLE, uah, Decimal(-5), customer_id=source.pk),
                    Leg(
                        AccountKind.CUSTOMER_AVAILABLE,
                        uah,
                        Decimal(5),
                        customer_id=[*fresh, target][keys.index(key) % 4].pk,
                    ),
                ],
            )
            for key in order
        ]
        return [
            row.replayed for row in ledger.post_batch(TransferKind.INTERNAL_MOVEMENT, drafts, actor=SYSTEM)
        ]

    answers = together(6, act)
    assert sorted(map(tuple, answers)) == [(False,) * 6] + [(True,) * 6] * 5
    assert available(source) == 70
    assert invariants.broken_laws() == []
