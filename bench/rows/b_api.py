"""Requests through the whole of Django: middleware, signature, limits, service, answer."""

from __future__ import annotations

import itertools
import json
import random
import secrets
from collections.abc import Callable, Iterator

from bench.clients import WARM_CALLS, OurClients, Work
from bench.door import Door, Overheard
from bench.house import House
from bench.measure import interleaved
from bench.row import Row, rows

QUERIES = 3
HISTORY = 15
#: What a signed GET may ask of the database.
READS = {"user/balance": "/api/v1/user/balance", "orders/history": "/api/v1/orders/history"}


def withdraw(door: Door, key: tuple[str, str]) -> bytes:
    """A customer's program asks for a payout, under an idempotency name of its own."""
    body = {
        "currency": "UAH",
        "amount": "100.00",
        "wallet_to": "4111111111111111",
        "external_id": secrets.token_hex(12),
    }
    return door.call("POST", "/api/v1/withdrawal", json.dumps(body).encode(), key)


@rows()
def api(house: House) -> Iterator[Row]:
    """CPU and statements of signed requests; the peer is /healthz: Django, the middleware and nothing more."""
    door = Door()
    reader, *spenders = house.keys
    for _ in range(HISTORY):
        withdraw(door, reader)

    def getter(path: str) -> Callable[[tuple[str, str]], bytes]:
        return lambda key: door.call("GET", path, key=reader)

    calls: dict[str, Callable[[tuple[str, str]], bytes]] = {
        "withdrawal": lambda key: withdraw(door, key),
        **{name: getter(path) for name, path in READS.items()},
    }
    # Each spender may do twenty a day: everyone is asked in turn, by chance from where.
    start = random.randrange(len(spenders))
    turn = itertools.cycle(spenders[start:] + spenders[:start])

    def client(name: str) -> OurClients:
        def prepare(number: int) -> Work:
            random.seed()
            random.shuffle(spenders)
            mine = itertools.cycle(spenders)
            return lambda: calls[name](next(mine))

        return OurClients(prepare)

    heard = {}
    for name, call in calls.items():
        for _ in range(WARM_CALLS):  # the first calls also prepare their statements
            call(next(turn))
        with Overheard() as heard[name]:
            call(next(turn))
    floor = OurClients(lambda number: lambda: door.call("GET", "/healthz"))
    result = interleaved({"floor": floor, **{name: client(name) for name in calls}}, 1)
    for name in calls:
        title = f"signed {'POST' if name == 'withdrawal' else 'GET'} {name}"
        other = {
            "requests_per_second": round(result.rate(name), 1),
            "server_cpu_us": round(result.server(name) or 0),
            "round_trips": heard[name].round_trips,
            "statements": heard[name].statements,
        }
        ratio = result.cpu_ratio(name, "floor")
        yield Row(
            f"{title}: CPU / healthz",
            "CPU µs each",
            result.cpu(name),
            result.cpu("floor"),
            ratio,
            other=other,
        )
        most = QUERIES if name in READS else None
        yield Row(f"{title}: queries", "queries", len(heard[name].statements), most=most)
