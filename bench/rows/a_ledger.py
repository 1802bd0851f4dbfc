"""The ledger alone: against the limit and the peers, with hot accounts, with holds."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from decimal import Decimal

from bench import cases
from bench.cases import ONE
from bench.clients import Work
from bench.house import House
from bench.measure import interleaved
from bench.row import Row, cpu, rate, rows
from kauri.balance import ledger
from kauri.balance.chart import AccountKind, TransferKind
from kauri.balance.ledger import Leg
from kauri.common.actor import SYSTEM

#: Client processes -> least share of the limit's transfers a second.
SHARE = {1: 0.65, 4: None, 8: 0.55}
CPU = 2.2
OVER = {"plain ORM": 8, "pgledger-like SQL": 1.6, "django-hordak": 8}


@rows()
def post(house: House) -> Iterator[Row]:
    """One transfer between two random customers, in autocommit."""
    work = cases.random_post(house)
    for processes, share in SHARE.items():
        peers = cases.peers(house, is_hot=False)
        result = interleaved(
            {
                "limit": cases.limit(),
                "ours": cases.ours(work),
                "atomic": cases.ours(cases.inside_atomic(work)),
                **peers,
            },
            processes,
        )
        clients = _clients(processes)
        if processes == 4:
            house.notes["cpu of a post over the limit's"] = result.cpu_ratio("ours", "limit")
        yield rate(f"post / limit, {clients}", result, "ours", "limit", least=share)
        yield cpu(f"CPU of a post / limit, {clients}", result, "ours", "limit", most=CPU)
        for peer in peers:
            yield rate(f"post / {peer}, {clients}", result, "ours", peer, least=OVER[peer])
            yield cpu(f"CPU of a post / {peer}, {clients}", result, "ours", peer)
        yield rate(f"post inside an extra atomic() / limit, {clients}", result, "atomic", "limit")


@rows()
def hot(house: House) -> Iterator[Row]:
    """From random customers to one account of the house; the peers', having no queue, to one like all others."""
    queued = cases.into(lambda amount: cases.owned(house, AccountKind.FEE_INCOME, amount), house)
    for processes in SHARE:
        peers = cases.peers(house, is_hot=True)
        result = interleaved(
            {
                "limit": cases.limit(cases.HOT_LIMIT_SCRIPT),
                "ours": cases.ours(queued, meanwhile=ledger.roll),
                **peers,
            },
            processes,
        )
        for peer in ("limit", *peers):
            name = f"hot account: post / {peer}, {_clients(processes)}"
            yield rate(name, result, "ours", peer)
            yield cpu(f"CPU: {name}", result, "ours", peer)
    yield from _four_legs(house, queued)


def _four_legs(house: House, queued: Work) -> Iterator[Row]:
    def four_legs() -> None:
        source, target = house.two()
        cases.post(
            [
                cases.available(house, source, Decimal("-1.00")),
                cases.available(house, target, Decimal("0.90")),
                cases.owned(house, AccountKind.FEE_INCOME, Decimal("0.07")),
                cases.owned(house, AccountKind.EXCHANGE_POSITION, Decimal("0.03")),
            ]
        )

    inline = cases.into(lambda amount: cases.available(house, house.customers[0], amount), house)
    result = interleaved(
        {
            "two legs": cases.ours(cases.random_post(house)),
            "four legs": cases.ours(four_legs, meanwhile=ledger.roll),
            "queued": cases.ours(queued, meanwhile=ledger.roll),
            "inline": cases.ours(inline),
        },
        8,
    )
    name = "4 legs, two of them hot / 2 random legs, 8 clients"
    yield rate(name, result, "four legs", "two legs", least=0.7)
    yield cpu(f"CPU: {name}", result, "four legs", "two legs")
    yield rate(
        "4 legs, two of them hot / inline hot balance, 8 clients", result, "four legs", "inline", least=2
    )
    yield rate("hot account by the queue / inline, 8 clients", result, "queued", "inline", least=2)


@rows()
def holds(house: House) -> Iterator[Row]:
    """Money set aside and then taken or given back, against two single posts."""

    def hold(customer: int) -> uuid.UUID:
        order = uuid.uuid4()
        ledger.hold(
            order,
            TransferKind.WITHDRAWAL_HOLD,
            customer_id=customer,
            currency=house.currency,
            amount=ONE,
            actor=SYSTEM,
        )
        return order

    def hold_capture() -> None:
        customer, _ = house.two()
        legs = [
            Leg(AccountKind.CUSTOMER_HELD, house.currency, -ONE, customer_id=customer),
            Leg(AccountKind.PROVIDER_FLOAT, house.currency, Decimal("0.95"), provider_id=house.sandbox.pk),
            cases.owned(house, AccountKind.FEE_INCOME, Decimal("0.05")),
        ]
        ledger.capture(hold(customer), TransferKind.WITHDRAWAL_CAPTURE, legs, amount=ONE, actor=SYSTEM)

    def hold_release() -> None:
        customer, _ = house.two()
        ledger.release(
            hold(customer),
            TransferKind.WITHDRAWAL_RELEASE,
            customer_id=customer,
            currency=house.currency,
            amount=ONE,
            actor=SYSTEM,
        )

    single = cases.random_post(house)

    def two_posts() -> None:
        single()
        single()

    result = interleaved(
        {
            "two posts": cases.ours(two_posts),
            "capture": cases.ours(hold_capture, meanwhile=ledger.roll),
            "release": cases.ours(hold_release),
        },
        4,
    )
    for name in ("capture", "release"):
        yield rate(f"hold, then {name} / two posts, 4 clients", result, name, "two posts", least=0.45)
        yield cpu(f"CPU: hold, then {name} / two posts, 4 clients", result, name, "two posts")


def _clients(processes: int) -> str:
    return f"{processes} client{'s' if processes > 1 else ''}"
