"""The things that clients do over and over: postings of ours, the limit, the peers."""

from __future__ import annotations

import random
import uuid
from collections.abc import Callable
from decimal import Decimal

from django.db import connection, transaction

from bench import orm
from bench.clients import OurClients, PgBench, Work
from bench.house import CUSTOMERS, House
from bench.measure import Case
from bench.settings import HAS_PEERS
from kauri.balance import ledger
from kauri.balance.chart import AccountKind, TransferKind
from kauri.balance.ledger import Leg
from kauri.common.actor import SYSTEM

ONE = Decimal("1.00")

LIMIT_SCRIPT = f"""
\\set a random(1, {CUSTOMERS})
\\set b (:a + random(0, {CUSTOMERS} - 2)) % {CUSTOMERS} + 1
select bench.move(gen_random_uuid(), :a, :b, 1.00)
"""
HOT_LIMIT_SCRIPT = f"""
\\set a random(2, {CUSTOMERS})
select bench.move(gen_random_uuid(), :a, 1, 1.00)
"""


def limit(script: str = LIMIT_SCRIPT) -> PgBench:
    """The least honest work of one transfer, by pgbench."""
    return PgBench(script, "select last_value from bench.transfer_id_seq")


def ours(work: Work, meanwhile: Work | None = None) -> OurClients:
    """``work`` by processes of ours, each with its own chance."""

    def prepare(number: int) -> Work:
        random.seed()
        return work

    return OurClients(prepare, meanwhile)


def post(legs: list[Leg]) -> None:
    """One transfer through the ledger's own door, under a key of its own."""
    ledger.post(uuid.uuid4(), TransferKind.DEPOSIT, legs, actor=SYSTEM)


def random_post(house: House) -> Work:
    """From one customer to another."""

    def work() -> None:
        source, target = house.two()
        post([available(house, source, -ONE), available(house, target, ONE)])

    return work


def inside_atomic(work: Work) -> Work:
    """The same within a transaction block: begin and commit are round trips of their own."""

    def wrapped() -> None:
        with transaction.atomic():
            work()

    return wrapped


Move = Callable[[int, int], object]


def orm_move(source: int, target: int) -> None:
    """The plain ORM twin's transfer."""
    orm.move(uuid.uuid4(), source, target, ONE)


def pgledger_move(source: int, target: int) -> None:
    """The pgledger-like function, called as ours is."""
    with connection.cursor() as cursor:
        cursor.execute(
            "select bench.pl_move(%s::text, %s::text, %s::numeric)",
            [f"account_{source:032d}", f"account_{target:032d}", ONE],
        )
        cursor.fetchone()


def hordak_move(source: int, target: int) -> None:
    """django-hordak's transfer, with lock and check."""
    from bench import hordak  # noqa: PLC0415 - it may not be installed

    hordak.move(source, target, ONE)


def peers(house: House, *, is_hot: bool) -> dict[str, Case]:
    """Each peer's transfer between random customers, or from a random one to the one that everybody pays."""
    moves: dict[str, Move] = {"plain ORM": orm_move, "pgledger-like SQL": pgledger_move}
    if HAS_PEERS:
        moves["django-hordak"] = hordak_move

    def work(move: Move) -> Work:
        def wrapped() -> None:
            if is_hot:
                move(random.choice(house.customers[1:]), house.customers[0])
            else:
                move(*house.two())

        return wrapped

    return {name: ours(work(move)) for name, move in moves.items()}


def into(target: Callable[[Decimal], Leg], house: House) -> Work:
    """From a random customer to one account that everybody uses."""

    def work() -> None:
        post([available(house, random.choice(house.customers[1:]), -ONE), target(ONE)])

    return work


def available(house: House, customer: int, amount: Decimal) -> Leg:
    """A leg on a customer's available money."""
    return Leg(AccountKind.CUSTOMER_AVAILABLE, house.currency, amount, customer_id=customer)


def owned(house: House, kind: AccountKind, amount: Decimal) -> Leg:
    """A leg on an account of the house."""
    return Leg(kind, house.currency, amount)
