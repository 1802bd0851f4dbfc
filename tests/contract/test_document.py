"""What the API's document says is so: of itself, of who may call, of orders."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode

import jsonschema_rs
import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test.client import BOUNDARY, MULTIPART_CONTENT, encode_multipart
from schemathesis.specs.openapi.definitions import OPENAPI_31_VALIDATOR

from backoffice.collection import example
from backoffice.openapi import LINKS, SCOPES
from kauri.account import tokens
from kauri.account.models import ApiKey, User
from kauri.common.errors import CODES
from kauri.order_core.api import shapes
from tests.api.client import ApiClient
from tests.contract.caller import document
from tests.moves import give, sandbox_on

DOCUMENT = document()
OPERATIONS = {
    operation["operationId"]: (method.upper(), path, operation)
    for path, operations in DOCUMENT["paths"].items()
    for method, operation in operations.items()
}
HAVE_ACCOUNT = sorted(name for name, (_, _, operation) in OPERATIONS.items() if "security" in operation)


def nodes(part: Any, path: str = "#") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every object of the document, and where it is."""
    if isinstance(part, dict):
        yield path, part
    for key, item in (
        part.items() if isinstance(part, dict) else enumerate(part) if isinstance(part, list) else ()
    ):
        yield from nodes(item, f"{path}/{key}")


def fits(value: Any, schema: dict[str, Any]) -> None:
    whole = {**schema, "components": DOCUMENT["components"]}
    jsonschema_rs.Draft202012Validator(whole, validate_formats=True).validate(value)


def test_it_is_openapi_3_1() -> None:
    OPENAPI_31_VALIDATOR.validate(DOCUMENT)
    assert DOCUMENT["openapi"].startswith("3.1")
    for path, node in nodes(DOCUMENT):
        assert not [name for name in node if isinstance(name, str) and name.startswith("x-")], path


def test_every_example_fits_its_schema() -> None:
    count = 0
    for _, node in nodes(DOCUMENT["components"]["schemas"]):
        for found in node.get("examples", []):
            fits(found, node)
            count += 1
    assert count > 100


@pytest.mark.parametrize("name", sorted(OPERATIONS))
def test_the_example_of_a_body_fits(name: str) -> None:
    for content in OPERATIONS[name][2].get("requestBody", {}).get("content", {}).values():
        if content["schema"].get("$ref"):
            fits(example(content["schema"], DOCUMENT), content["schema"])


def test_every_refusal_names_its_codes() -> None:
    for name, (_, _, operation) in OPERATIONS.items():
        for status, answer in operation["responses"].items():
            if int(status) < 400:
                continue
            found = DOCUMENT["components"]["responses"][answer["$ref"].rpartition("/")[2]]
            codes = found["content"]["application/json"]["schema"]["properties"]["code"]["enum"]
            assert codes, (name, status)
            assert {CODES[code].status for code in codes} == {int(status)}
            assert all(f"`{code}`" in found["description"] for code in codes)
            assert set(found["content"]) == {"application/json", "application/problem+json"}
        assert "500" in operation["responses"], name
        assert ("401" in operation["responses"]) >= ("security" in operation), name


def test_links_lead_to_calls() -> None:
    for name, links in LINKS.items():
        found = {
            link: row["operationId"]
            for status, answer in OPERATIONS[name][2]["responses"].items()
            if int(status) < 300
            for link, row in answer["links"].items()
        }
        assert found == {link: target for link, (target, _) in links.items()}
        assert set(found.values()) <= set(OPERATIONS)


@pytest.fixture
def person(customer: Callable[..., User]) -> User:
    user = customer()
    give(user, "UAH", "1000")
    sandbox_on()
    return user


@pytest.mark.parametrize("name", HAVE_ACCOUNT)
def test_a_key_without_the_scope_is_refused(name: str, person: User) -> None:
    """... whatever other scopes it has; and a call without a scope in the document opens to no key at all."""
    needed = SCOPES.get(name)
    key = ApiKey.objects.create(
        user=person,
        name="all but one",
        key="k" * 40,
        secret="of the key",
        state="active",
        scopes=[scope for scope in ApiKey.Scope.values if scope != needed],
    )
    answer = call(ApiClient(key=key.key, secret=key.secret), name)
    assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
    assert answer.json()["detail"] == (f"this key lacks the scope {needed}" if needed else "sign in for this")


def call(api: ApiClient, name: str) -> Any:
    """The call with its document's examples."""
    method, path, operation = OPERATIONS[name]
    query = "&".join(
        f"{row['name']}={row.get('example', '0a6282ec-f63d-4a15-a16c-a128b46eb7eb')}"
        for row in operation["parameters"]
        if row["in"] == "query" and row["required"]
    )
    content = operation.get("requestBody", {}).get("content", {})
    if "multipart/form-data" in content:
        form = example(content["multipart/form-data"]["schema"], DOCUMENT)
        body = encode_multipart(BOUNDARY, {**form, "file": SimpleUploadedFile("one.png", b"png")})
        headers = api.sign(method, path, body)
        return api.http.generic(method, path, body, content_type=MULTIPART_CONTENT, headers=headers)
    data = example(content["application/json"]["schema"], DOCUMENT) if content else None
    return api.request(method, f"{path}?{query}" if query else path, data)


def test_orders_have_the_documented_fields_and_no_others(person: User, customer: Callable[..., User]) -> None:
    friend = customer()
    api = ApiClient(token=tokens.issue(person))
    paid = api.post(
        "/api/v1/withdrawal", {"currency": "UAH", "amount": "100", "wallet_to": "sandbox:success"}
    ).json()
    moved = api.post(
        "/api/v1/internal_movement",
        {"currency": "UAH", "amount": "10", "destination_account_email": friend.email},
    ).json()
    order = shapes.OrderInFull.__metadata__[0].json_schema
    ways = order["properties"]["details"]["anyOf"]
    seen = set()
    for token, answer in (
        (tokens.issue(person), paid),
        (tokens.issue(person), moved),
        (tokens.issue(friend), moved),
    ):
        for strings in ("", "; decimals=string"):
            found = ApiClient(token=token).get(
                f"/api/v1/orders/details?order_id={answer['order_id']}", Accept=f"application/json{strings}"
            )
            body = json.loads(found.content, parse_float=Decimal)["order_details"]
            assert set(body) == set(order["required"])
            titles = [way["title"] for way in ways if set(body["details"]) == set(way["properties"])]
            assert len(titles) == 1, body["details"]
            assert isinstance(body["amount"], str) == bool(strings)
            seen.add(titles[0])
    assert seen == {"Withdrawal", "Movement sent", "Movement received"}


def follow(api: ApiClient, name: str, link: str, answer: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    """Make the next call as the link of ``name`` says, with what it takes from the answer."""
    row = OPERATIONS[name][2]["responses"]["200"]["links"][link]
    taken = {}
    for field, expression in {**row.get("parameters", {}), **row.get("requestBody", {})}.items():
        value: Any = answer
        for step in expression.removeprefix("$response.body#/").split("/"):
            value = value[int(step)] if isinstance(value, list) else value[step]
        taken[field] = value
    method, path, _ = OPERATIONS[row["operationId"]]
    is_read = method == "GET"
    found = api.request(method, f"{path}?{urlencode(taken)}" if is_read else path, None if is_read else taken)
    return found.status_code, found.json()


def test_links_followed_from_an_order(person: User) -> None:
    api = ApiClient(token=tokens.issue(person))
    made = api.post(
        "/api/v1/withdrawal", {"currency": "UAH", "amount": "100", "wallet_to": "sandbox:success"}
    ).json()
    assert follow(api, "withdrawal_create", "details", made)[1]["order_id"] == made["order_id"]
    status, gone = follow(api, "withdrawal_create", "cancel", made)
    assert (status, gone["order_status"]) == (200, "CANCELLED")
    status, again = follow(api, "withdrawal_cancel", "repeat", gone)
    assert (status, again["order_id"] != made["order_id"]) == (200, True)
    history = api.get("/api/v1/orders/history?limit=1").json()
    assert follow(api, "orders_history", "details", history)[1]["order_id"] == again["order_id"]


def test_links_followed_from_a_key_and_a_session(person: User) -> None:
    api = ApiClient(token=tokens.issue(person))
    made = api.post("/api/v1/user/api_keys/create", {"name": "shop", "scopes": ["read"]}).json()
    status, deleted = follow(api, "api_key_create", "delete", made)
    assert (status, deleted["state"]) == (200, "revoked")
    listed = api.get("/api/v1/user/sessions").json()
    assert follow(api, "sessions", "end", listed)[0] == 200
    assert api.get("/api/v1/user/sessions").status_code == 401
