"""POST /withdrawal: one request, one order, one answer; every refusal has its code and leaves nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from kauri.account import tokens
from kauri.account.models import ApiKey, User
from kauri.balance import invariants
from kauri.common import clock
from kauri.core.models import Currency, IdempotencyRecord, Network, OutboxEvent, Provider, Switch
from kauri.core.services import IDEMPOTENCY_LIFE, idempotency_forget
from kauri.order_core.models import Order, Policy
from tests.api.client import ApiClient
from tests.moves import balance_of, give, sandbox_on, withdraw

PATH = "/api/v1/withdrawal"


@pytest.fixture
def user(customer: Callable[..., User]) -> User:
    """A customer with 1,000 UAH; a withdrawal of 100 costs the least fee of 5."""
    sandbox_on()
    person = customer()
    give(person, "UAH", "1000")
    return person


@pytest.fixture
def api(user: User) -> ApiClient:
    return ApiClient(token=tokens.issue(user))


def body(**fields: Any) -> dict[str, Any]:
    return {"currency": "UAH", "amount": "100.00", "wallet_to": "sandbox:success", **fields}


def nothing_happened(user: User) -> None:
    assert Order.objects.count() == OutboxEvent.objects.count() == IdempotencyRecord.objects.count() == 0
    assert balance_of(user, "UAH") == (Decimal(1000), Decimal(0))


def test_the_answer(api: ApiClient, user: User) -> None:
    answer = api.post(PATH, body(external_id="a-1", callback_url="https://shop.example/hook"))
    order = Order.objects.get()
    assert answer.status_code == 200
    expected = (
        '{"status":"success","order_id":"%s","order_status":"WAITING_FOR_OPERATOR_CONFIRMATION",'
        '"amount":105,"fee":5,"amount_to_withdrawal":100}'
    )
    assert answer.content.decode() == expected % order.public_id
    assert (order.amount_in, order.fee, order.amount_out) == (105, 5, 100)
    assert (order.external_id, order.callback_url) == ("a-1", "https://shop.example/hook")
    assert balance_of(user, "UAH") == (Decimal(895), Decimal(105))
    assert invariants.broken_laws() == []


def test_amounts_as_strings(api: ApiClient) -> None:
    answer = api.post(PATH, body(amount="100.10"), Accept="application/json; decimals=string")
    shown = answer.json()
    assert (shown["amount"], shown["fee"], shown["amount_to_withdrawal"]) == ("105.1", "5", "100.1")


@pytest.mark.parametrize("text", ["100", "100.00", '"100"', '" 100.00 "', "1e2"])
def test_amounts_are_read_from_their_text(api: ApiClient, text: str) -> None:
    raw = f'{{"currency": "uah", "amount": {text}, "wallet_to": "sandbox:success"}}'
    answer = api.http.generic(
        "POST", PATH, raw, content_type="application/json", headers={"Authorization": f"Bearer {api.token}"}
    )
    assert answer.status_code == 200, answer.content
    assert Order.objects.get().amount_out == Decimal(100)


@pytest.mark.parametrize(
    "headers",
    [
        [{"Idempotency-Key": "k-1"}] * 3,
        [{"Idempotency-Key": '"k-1"'}, {"Idempotency-Key": "k-1"}, {"Idempotency-Key": '"k-1"'}],
    ],
)
def test_a_key_quoted_or_bare_is_one_key(api: ApiClient, user: User, headers: list[dict[str, str]]) -> None:
    answers = [api.post(PATH, body(), **header) for header in headers]
    assert {answer.content for answer in answers} == {answers[0].content}
    assert [answer.headers.get("Idempotency-Replayed") for answer in answers] == [None, "true", "true"]
    assert Order.objects.count() == 1
    assert balance_of(user, "UAH") == (Decimal(895), Decimal(105))


def test_external_id_alone_and_with_a_key(api: ApiClient) -> None:
    first = api.post(PATH, body(external_id="a-1"))
    again = api.post(PATH, body(external_id="a-1"))
    with_key = api.post(PATH, body(external_id="a-1"), **{"Idempotency-Key": "k-1"})
    assert first.content == again.content == with_key.content
    assert Order.objects.count() == 1
    # The key was used with that request: it is no other's any more.
    stolen = api.post(PATH, body(external_id="a-2"), **{"Idempotency-Key": "k-1"})
    assert (stolen.status_code, stolen.json()["code"]) == (422, "idempotency_mismatch")
    assert Order.objects.count() == 1


@pytest.mark.parametrize(
    ("first", "then"),
    [
        ({"Idempotency-Key": "k-1"}, {"Idempotency-Key": "k-1"}),
        ({}, {}),
    ],
)
def test_the_same_name_for_another_body(
    api: ApiClient, user: User, first: dict[str, str], then: dict[str, str]
) -> None:
    named = {} if first else {"external_id": "a-1"}
    assert api.post(PATH, body(**named), **first).status_code == 200
    other = api.post(PATH, body(**named, amount="100.01"), **then)
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_mismatch")
    assert Order.objects.count() == 1
    assert balance_of(user, "UAH") == (Decimal(895), Decimal(105))


def test_a_failed_try_may_be_made_again(api: ApiClient, user: User) -> None:
    key = {"Idempotency-Key": "k-1"}
    poor = api.post(PATH, body(amount="5000", external_id="a-1"), **key)
    assert (poor.status_code, poor.json()["code"]) == (402, "insufficient_funds")
    nothing_happened(user)
    give(user, "UAH", "5000")
    assert api.post(PATH, body(amount="5000", external_id="a-1"), **key).status_code == 200
    assert Order.objects.count() == 1


def test_two_customers_may_use_one_name(api: ApiClient, customer: Callable[..., User]) -> None:
    other = customer()
    give(other, "UAH", "1000")
    second = ApiClient(token=tokens.issue(other))
    key = {"Idempotency-Key": "k-1"}
    assert api.post(PATH, body(external_id="a-1"), **key).status_code == 200
    answer = second.post(PATH, body(external_id="a-1"), **key)
    assert answer.status_code == 200
    assert "Idempotency-Replayed" not in answer.headers
    assert Order.objects.count() == 2


def test_a_forgotten_answer_makes_no_second_order(api: ApiClient) -> None:
    assert api.post(PATH, body(external_id="a-1")).status_code == 200
    with clock.standing_at(clock.now() + IDEMPOTENCY_LIFE / 2):
        assert idempotency_forget() == 0
    with clock.standing_at(clock.now() + IDEMPOTENCY_LIFE * 2):
        assert idempotency_forget() == 1
    late = api.post(PATH, body(external_id="a-1"))
    assert (late.status_code, late.json()["code"]) == (409, "conflict")
    assert Order.objects.count() == 1


@pytest.mark.parametrize("key", ["k" * 201, "k 1", "k\t1"])
def test_a_malformed_key(api: ApiClient, user: User, key: str) -> None:
    answer = api.post(PATH, body(), **{"Idempotency-Key": key})
    assert (answer.status_code, answer.json()["code"]) == (400, "validation_error")
    assert "Idempotency-Key" in answer.json()["field_errors"]
    nothing_happened(user)


@pytest.mark.parametrize(
    ("fields", "status", "code"),
    [
        ({"amount": "1000"}, 402, "insufficient_funds"),
        ({"amount": "995.01"}, 402, "insufficient_funds"),
        ({"amount": "49.99"}, 400, "below_minimum"),
        ({"amount": "1000000.01"}, 400, "above_maximum"),
        ({"amount": "100.001"}, 400, "invalid_amount"),
        ({"amount": "0"}, 400, "invalid_amount"),
        ({"amount": "-100"}, 400, "invalid_amount"),
        ({"amount": "NaN"}, 400, "invalid_amount"),
        ({"amount": "Infinity"}, 400, "invalid_amount"),
        ({"amount": "1e400"}, 400, "invalid_amount"),
        ({"amount": "100,00"}, 400, "invalid_amount"),
        ({"amount": ""}, 400, "invalid_amount"),
        ({"amount": None}, 400, "validation_error"),
        ({"amount": []}, 400, "validation_error"),
        ({"currency": "XXX"}, 400, "validation_error"),
        ({"wallet_to": "4111111111111112"}, 400, "invalid_destination"),
        ({"wallet_to": ""}, 400, "validation_error"),
        ({"payment_method": "SWIFT"}, 403, "operation_disabled"),
        ({"callback_url": "https://10.0.0.1/x"}, 400, "validation_error"),
        ({"callback_url": "ftp://shop.example/x"}, 400, "validation_error"),
        ({"comment": "a\x00b"}, 400, "validation_error"),
        ({"external_id": "\ud800"}, 400, "validation_error"),
        ({"additional_info": {"a\x00": 1}}, 400, "validation_error"),
        ({"additional_info": {"a": float("nan")}}, 400, "validation_error"),
    ],
)
def test_refusals_leave_nothing(
    api: ApiClient, user: User, fields: dict[str, Any], status: int, code: str
) -> None:
    answer = api.post(PATH, body(**fields), **{"Idempotency-Key": "k-1"})
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    nothing_happened(user)


def test_every_switch_has_a_code_of_its_own(api: ApiClient, user: User) -> None:
    def refused() -> tuple[int, str]:
        answer = api.post(PATH, body())
        return answer.status_code, answer.json()["code"]

    Switch.objects.filter(code="withdrawal").update(is_on=False, reason="test", off_at=clock.now())
    assert refused() == (403, "operation_disabled")
    Switch.objects.filter(code="withdrawal").update(is_on=True)
    Currency.objects.filter(code="UAH").update(is_enabled=False)
    assert refused() == (403, "currency_disabled")
    Currency.objects.filter(code="UAH").update(is_enabled=True)
    Policy.objects.filter(currency__code="UAH", operation="WITHDRAWAL").update(enabled=False)
    assert refused() == (403, "operation_disabled")
    Policy.objects.filter(currency__code="UAH", operation="WITHDRAWAL").update(enabled=None)
    Provider.objects.filter(code="sandbox").update(health="bad")
    assert refused() == (503, "provider_unavailable")
    Provider.objects.filter(code="sandbox").update(health="ok", is_enabled=False)
    assert refused() == (403, "operation_disabled")
    Provider.objects.filter(code="sandbox").update(is_enabled=True, settings={"network": "erc20"})
    Network.objects.filter(code="erc20").update(is_enabled=False)
    assert refused() == (403, "operation_disabled")
    User.objects.filter(pk=user.pk).update(verification_level=0)
    Network.objects.filter(code="erc20").update(is_enabled=True)
    assert refused() == (403, "verification_required")
    nothing_happened(user)
    User.objects.filter(pk=user.pk).update(verification_level=1)
    assert api.post(PATH, body()).status_code == 200


def test_who_may_ask(api: ApiClient, user: User) -> None:
    assert ApiClient().post(PATH, body()).json()["code"] == "unauthenticated"
    key = ApiKey.objects.create(
        user=user, name="r", key="reader", secret="s" * 20, scopes=["read", "trade"], state="active"
    )
    answer = ApiClient(key=key.key, secret=key.secret).post(PATH, body())
    assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
    nothing_happened(user)
    ApiKey.objects.filter(pk=key.pk).update(scopes=["withdraw"])
    assert ApiClient(key=key.key, secret=key.secret).post(PATH, body()).status_code == 200
    assert Order.objects.get().transitions.first().actor_kind == "api_key"  # type: ignore[union-attr]


def test_nobody_names_another_owner(api: ApiClient, user: User, customer: Callable[..., User]) -> None:
    other = customer()
    give(other, "UAH", "1000")
    assert api.post(PATH, body(user_id=other.pk, owner=other.email)).status_code == 200
    assert Order.objects.get().owner == user
    assert balance_of(other, "UAH") == (Decimal(1000), Decimal(0))


def test_additional_info_is_given_back_in_details(api: ApiClient) -> None:
    info = {"a": [1, "ї", None, True], "b": {"c": "x"}}
    order_id = api.post(PATH, body(additional_info=info)).json()["order_id"]
    answer = api.get(f"/api/v1/orders/details?order_id={order_id}")
    assert answer.json()["order_details"]["details"]["additional_info"] == info


def test_webhook_body_is_the_order_as_clients_know_it(user: User) -> None:
    order = withdraw(user, "100", currency="UAH", to="sandbox:success", callback_url="https://shop.example/")
    kinds = [event.kind for event in OutboxEvent.objects.filter(subject_id=order.public_id).order_by("id")]
    assert kinds == [
        "withdrawal.new",
        "withdrawal.waiting_for_operator_confirmation",
        "approval.waiting",
    ]
    told = json.loads(OutboxEvent.objects.get(kind="withdrawal.new").body)
    assert (told["external_id"], told["status"], told["amount"], told["fee"]) == (
        str(order.public_id),
        "NEW",
        105,
        5,
    )
    assert told["details"]["wallet_to"] == "sandbox:success"


def test_true_is_no_amount(api: ApiClient) -> None:
    answer = api.post(PATH, {"currency": "UAH", "amount": True, "wallet_to": "sandbox:success"})
    assert (answer.status_code, answer.json()["code"]) == (400, "validation_error")
    assert Order.objects.count() == 0
