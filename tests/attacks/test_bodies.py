"""Hostile JSON in every field of every operation that takes an object: refused or harmless, never a failure of ours."""

from __future__ import annotations

import gc
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.api.client import ApiClient
from tests.attacks.bodies import BODIES, Body, Scene
from tests.attacks.document import Operation, operations, posts
from tests.attacks.rows import every_row, forget_calls

#: Written as they are: what a JSON library of ours would not write.
NUMBERS = [
    "1e400",
    "1E-400",
    "1e999999999",
    "1e-999999999",
    "1" + "0" * 4000,
    "1" + "0" * 5000,
    "-" + "9" * 39,
]
SHAPES = [
    "[]",
    '{"a":' * 500 + "1" + "}" * 500,
    '{"$ne": null}',
    "true",
    "null",
    '" "',
    '"\\u0000"',
    '"\\ud800"',
    '"1e999999999"',
    '"sNaN123"',
    '"' + "x" * 70_000 + '"',
]
#: These in each field alone too: what no field may do a long sum with.
WORST = ["1e999999999", "-1e999999999"]
#: A second of one core is already far more than any refusal needs.
LONGEST = 1.0


def spoilt(body: Body) -> dict[str, str]:
    return {name: json.dumps(value) for name, value in body.items()}


def requests(operation: Operation, body: Body) -> Iterator[tuple[str, bytes]]:
    """The whole body with something hostile in every field at once, then with the worst in one at a time."""
    whole = spoilt(body)
    for value in [*NUMBERS, *SHAPES]:
        yield value[:40], written(dict.fromkeys(operation.properties, value))
    for name in operation.properties:
        for value in WORST:
            yield f"{name}: {value}", written({**whole, name: value})


def written(fields: dict[str, str]) -> bytes:
    return f"{{{', '.join(f'"{name}": {value}' for name, value in fields.items())}}}".encode()


@contextmanager
def uncollected() -> Iterator[None]:
    """Without the collector: what thousands of tests have left behind takes it a second, which is no request's fault."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


@pytest.mark.parametrize("name", BODIES)
def test_no_value_of_any_field_is_a_failure(name: str, scene: Scene) -> None:
    [operation] = [operation for operation in posts() if operation.name == name]
    failures, slow = [], []
    for what, raw in requests(operation, BODIES[name](scene)):
        forget_calls()
        with uncollected():
            start = time.process_time()
            answer = scene.send(operation, raw)
            took = time.process_time() - start
        if took > LONGEST:
            slow.append(what)
        if answer.status_code >= 500 or len(answer.content) > 10_000:
            failures.append((what, answer.status_code, answer.content[:200]))
    assert (failures, slow) == ([], [])


MONEY = {
    "withdrawal_create": "amount",
    "withdrawal_repeat": "amount",
    "internal_movement_create": "amount",
    "internal_movement_repeat": "amount",
    "deposit_address": "amount_to_spend",
}
NO_AMOUNTS = [
    *NUMBERS[:9],
    '"NaN"',
    '"-Infinity"',
    '"sNaN123"',
    "-1",
    '"-1"',
    "0",
    '"100.001"',
    "[100]",
    '"1e30"',
]


@pytest.mark.parametrize("name", MONEY)
def test_no_such_amount_moves_anything(name: str, scene: Scene) -> None:
    [operation] = [operation for operation in posts() if operation.name == name]
    whole = spoilt(BODIES[name](scene))
    before = every_row()
    for value in NO_AMOUNTS:
        answer = scene.send(operation, written({**whole, MONEY[name]: value}))
        assert (answer.status_code, answer.json()["status"]) == (400, "error"), value
        forget_calls()
    assert every_row() == before


@pytest.mark.parametrize("name", BODIES)
def test_a_name_given_twice_and_a_body_that_is_too_large(name: str, scene: Scene, settings: Any) -> None:
    [operation] = [operation for operation in posts() if operation.name == name]
    body = spoilt(BODIES[name](scene))
    first, value = next(iter(body.items()))
    text = ", ".join(f'"{field}": {given}' for field, given in body.items())
    before = every_row()
    twice = scene.send(operation, f'{{"{first}": {value}, {text}}}'.encode())
    assert (twice.status_code, twice.json()["code"]) == (400, "validation_error")
    large = f'{{{text}, "x": "{"x" * settings.DATA_UPLOAD_MAX_MEMORY_SIZE}"}}'.encode()
    answer = scene.send(operation, large)
    assert (answer.status_code, answer.json()["code"]) == (413, "payload_too_large")
    assert every_row() == before


QUERIES = {
    "orders_history": (
        "page",
        "limit",
        "limits",
        "cursor",
        "from_timestamp",
        "currency",
        "external_id",
        "order_type",
    ),
    "orders_details": ("order_id",),
    "balance_read": ("at",),
    "statistics": ("period", "from_timestamp", "till_timestamp", "of"),
    "currency_list": ("details",),
}


@pytest.mark.parametrize("name", QUERIES)
def test_no_value_of_a_query_is_a_failure(name: str, scene: Scene) -> None:
    [operation] = [operation for operation in operations() if operation.name == name]
    api = ApiClient(token=scene.token)
    values = [
        *(
            "1e400",
            "1e999999999",
            "9" * 5000,
            "-1",
            "NaN",
            "Infinity",
            "%00",
            "%ed%a0%80",
            "%ff",
            "'",
            "\\",
            "[]",
        ),
        *("0001-01-01T00:00:00%2B23:59", "9999-12-31T23:59:59-23:59", "1e18", "-1e18", "9223372036854775808"),
        *("a" * 7000, "%F0%9F%92%A9", "..%2F..", "None", "true", ""),
    ]
    for field in QUERIES[name]:
        for value in values:
            forget_calls()
            with uncollected():
                start = time.process_time()
                answer = api.get(f"{operation.path}?{field}={value}")
                took = time.process_time() - start
            assert answer.status_code < 500, (field, value)
            assert took < LONGEST, (field, value)
