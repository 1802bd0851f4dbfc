"""Whole requests over HTTP: ours on granian, signed, beside a Django REST framework twin on gunicorn, with a token."""

from __future__ import annotations

import http.client
import json
import random
import secrets
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from statistics import median

from bench.clients import WARM_CALLS
from bench.door import Door, Overheard, signed
from bench.house import House
from bench.load import Ask, Load, load
from bench.measure import ROUNDS
from bench.row import Row, rows
from bench.settings import HAS_PEERS
from bench.web import served
from kauri.account.models import ApiKey
from kauri.order_core.models import Policy

CLIENTS = (1, 8, 32)
CPU = 0.5
TAIL = 5
HISTORY = 15
READERS = 20
CALLS = {
    "user/balance": ("GET", "/api/v1/user/balance"),
    "orders/history": ("GET", "/api/v1/orders/history"),
    "internal_movement": ("POST", "/api/v1/internal_movement"),
    "withdrawal": ("POST", "/api/v1/withdrawal"),
}


@rows()
def web(house: House) -> Iterator[Row]:
    """Requests a second, p50 and p99 at 1, 8 and 32 clients; CPU a request of the web server and PostgreSQL."""
    people = _people(house)
    names = ["ours", *(["twin"] if HAS_PEERS else [])]
    with ExitStack() as stack:
        stack.enter_context(_no_daily_limits())
        heard = {call: _heard(call, people) for call in CALLS}
        servers = {name: stack.enter_context(served(name)) for name in names}
        for name, (port, pid) in servers.items():
            _fill(name, port, people)
            for call in CALLS:  # the first calls also prepare their statements
                load(_asker(name, call, people), port, pid, 2)
        for call in CALLS:
            for clients in CLIENTS:
                found: dict[str, list[Load]] = {name: [] for name in names}
                for turn in range(ROUNDS):
                    for name in names[turn % len(names) :] + names[: turn % len(names)]:
                        found[name].append(load(_asker(name, call, people), *servers[name], clients))
                yield from _rows(call, clients, found, heard[call])


def _rows(call: str, clients: int, found: dict[str, list[Load]], statements: list[str]) -> Iterator[Row]:
    method = CALLS[call][0]
    title = f"HTTP {method} {call}, {clients} client{'s' if clients > 1 else ''}"
    ours, twin = found["ours"], found.get("twin", [])
    other = {
        f"{name}_{what}": round(median(getattr(one, what) for one in some), 1)
        for name, some in found.items()
        for what in ("p50", "p99", "database")
    }
    ratio = median(a.rate / b.rate for a, b in zip(ours, twin, strict=True)) if twin else None
    peer = median(one.rate for one in twin) if twin else None
    yield Row(title, "per second", median(one.rate for one in ours), peer, ratio, other=other)
    ratio = median(a.cpu / b.cpu for a, b in zip(ours, twin, strict=True)) if twin else None
    yield Row(
        f"CPU: {title}",
        "CPU µs each",
        median(one.cpu for one in ours),
        median(one.cpu for one in twin) if twin else None,
        ratio,
        most=CPU if method == "GET" else None,
        other={"queries": len(statements), "statements": statements},
    )
    tail = median(one.p99 / one.p50 for one in ours)
    is_goal = method == "POST" and clients == CLIENTS[-1]
    yield Row(f"p99 / p50: {title}", "x p50", tail, most=TAIL if is_goal else None)
    for name, some in found.items():
        errors = sum(one.errors for one in some)
        yield Row(f"errors of {name}: {title}", "errors", errors, most=0)


Person = tuple[int, str, tuple[str, str]]


def _people(house: House) -> list[Person]:
    """Who asks: number, e-mail, key."""
    known = {key.key: key for key in ApiKey.objects.select_related("user")}
    for key in known.values():  # money between people is a scope of its own
        key.scopes = [*key.scopes, ApiKey.Scope.TRADE.value]
    ApiKey.objects.bulk_update(known.values(), ["scopes"])
    return [(known[key[0]].user_id, known[key[0]].user.email, key) for key in house.keys]


def _asker(name: str, call: str, people: list[Person]) -> Ask:
    method, path = CALLS[call]
    askers = people[:READERS] if method == "GET" else people

    def ask() -> tuple[str, str, bytes, dict[str, str]]:
        number, email, key = random.choice(askers)
        friend = email
        while call == "internal_movement" and friend == email:
            friend = random.choice(people)[1]
        body = b"" if method == "GET" else json.dumps(_body(call, friend)).encode()
        proof = (
            signed(method, path, body, key) if name == "ours" else {"Authorization": f"Token {number:040d}"}
        )
        return method, path, body, {"Content-Type": "application/json", **proof}

    return ask


def _fill(name: str, port: int, people: list[Person]) -> None:
    """Whoever reads has more than a page of history, as many orders on both sides."""
    line = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    for reader in people[:READERS]:
        ask = _asker(name, "withdrawal", [reader])
        for _ in range(HISTORY):
            line.request(*ask())
            answer = line.getresponse()
            if answer.read() and answer.status != http.client.OK:
                raise RuntimeError(f"{name} answered {answer.status}")
    line.close()


def _body(call: str, friend: str) -> dict[str, str]:
    where = (
        {"destination_account_email": friend}
        if call == "internal_movement"
        else {"wallet_to": "4111111111111111"}
    )
    return {"currency": "UAH", "amount": "100.00", "external_id": secrets.token_hex(12), **where}


def _heard(call: str, people: list[Person]) -> list[str]:
    """The statements of one call of ours, once its like were prepared."""
    door = Door()
    ask = _asker("ours", call, people)

    def once() -> None:
        method, path, body, _ = ask()
        door.call(method, path, body, people[-1][2])

    for _ in range(WARM_CALLS):
        once()
    with Overheard() as overheard:
        once()
    return overheard.statements


@contextmanager
def _no_daily_limits() -> Iterator[None]:
    """Both sides read the same rules; three hundred people would soon have asked for enough."""
    before = list(Policy.objects.filter(daily_count__isnull=False))
    Policy.objects.filter(daily_count__isnull=False).update(daily_count=10**9, daily_amount=10**15)
    try:
        yield
    finally:
        for row in before:
            Policy.objects.filter(pk=row.pk).update(
                daily_count=row.daily_count, daily_amount=row.daily_amount
            )
