"""POST /withdrawal/repeat and /withdrawal/cancel: whose, when, once."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from kauri.account import tokens
from kauri.account.models import ApiKey, User
from kauri.balance import invariants
from kauri.balance.chart import TransferKind
from kauri.common.actor import Actor
from kauri.core.models import AuditEntry
from kauri.order_core.models import Approval, Order, Transition
from kauri.payment_provider.models import Payout
from kauri.withdrawal_order.services import (
    withdrawal_approve,
    withdrawal_cancel,
    withdrawal_reject,
)
from kauri.withdrawal_order.waiting import withdrawal_take
from tests.api.client import ApiClient
from tests.moves import balance_of, code_of, events, give, sandbox_on, together, transfers, withdraw

REPEAT = "/api/v1/withdrawal/repeat"
CANCEL = "/api/v1/withdrawal/cancel"


@pytest.fixture
def user(customer: Callable[..., User]) -> User:
    """A customer with 1,000 UAH; a withdrawal of 100 costs the least fee of 5 and waits for an operator."""
    sandbox_on()
    person = customer()
    give(person, "UAH", "1000")
    return person


@pytest.fixture
def api(user: User) -> ApiClient:
    return ApiClient(token=tokens.issue(user))


def asked(user: User, amount: str = "100", **fields: Any) -> Order:
    return withdraw(user, amount, currency="UAH", to="sandbox:success", **fields)


def code(answer: Any) -> tuple[int, str]:
    return answer.status_code, answer.json().get("code", "")


def held(user: User, amount: int) -> None:
    assert balance_of(user, "UAH") == (Decimal(1000 - amount), Decimal(amount))
    assert invariants.broken_laws() == []


def test_cancel_releases_the_hold_and_tells(api: ApiClient, user: User) -> None:
    order = asked(user, callback_url="https://shop.example/hook")
    held(user, 105)
    answer = api.post(CANCEL, {"order_id": str(order.public_id)})
    assert answer.json() == {
        "status": "success",
        "order_id": str(order.public_id),
        "order_status": "CANCELLED",
        "amount": 105,
        "fee": 5,
        "amount_to_withdrawal": 100,
    }
    held(user, 0)
    approval = Approval.objects.get(order=order)
    assert (approval.state, approval.taken_by, approval.votes.count()) == ("withdrawn", None, 0)
    assert approval.decided_at is not None
    assert [row.to_status for row in Transition.objects.filter(order=order)] == [
        "NEW",
        "WAITING_FOR_OPERATOR_CONFIRMATION",
        "CANCELLED",
    ]
    assert [event.payload["status"] for event in events("withdrawal.cancelled")] == ["CANCELLED"]
    assert AuditEntry.objects.filter(verb="withdrawal_cancel").count() == 1
    assert transfers(TransferKind.WITHDRAWAL_RELEASE) == 1
    assert Payout.objects.count() == 0


def test_cancel_twice_releases_once(api: ApiClient, user: User) -> None:
    order = asked(user)
    answers = [api.post(CANCEL, {"order_id": str(order.public_id)}) for _ in range(3)]
    assert {answer.content for answer in answers} == {answers[0].content}
    assert transfers(TransferKind.WITHDRAWAL_RELEASE) == 1
    assert AuditEntry.objects.filter(verb="withdrawal_cancel").count() == 1
    held(user, 0)


def test_an_operator_who_took_it_finds_it_gone(
    api: ApiClient, user: User, operator: Callable[..., Actor]
) -> None:
    order, somebody = asked(user), operator()
    withdrawal_take(order_id=order.public_id, actor=somebody)
    assert api.post(CANCEL, {"order_id": str(order.public_id)}).status_code == 200
    for act in (
        lambda: withdrawal_approve(order_id=order.public_id, actor=somebody),
        lambda: withdrawal_reject(order_id=order.public_id, actor=somebody, reason="no"),
    ):
        assert code_of(act) == "wrong_state"
    assert Payout.objects.count() == 0
    held(user, 0)


def test_what_is_on_its_way_or_has_ended_is_not_cancelled(
    api: ApiClient, user: User, operator: Callable[..., Actor], drain: Callable[..., int]
) -> None:
    order = asked(user)
    withdrawal_approve(order_id=order.public_id, actor=operator())
    payout = Payout.objects.get()
    Payout.objects.filter(pk=payout.pk).update(state="prepared", payload="{}", provider_reference="out-1")
    on_its_way = api.post(CANCEL, {"order_id": str(order.public_id)})
    assert code(on_its_way) == (409, "wrong_state")
    held(user, 105)
    Payout.objects.filter(pk=payout.pk).update(state="new", payload="", provider_reference="")
    drain()
    assert code(api.post(CANCEL, {"order_id": str(order.public_id)})) == (409, "wrong_state")
    assert Order.objects.get().status == "CLOSED"
    assert balance_of(user, "UAH") == (Decimal(895), Decimal(0))
    assert transfers(TransferKind.WITHDRAWAL_RELEASE) == 0


@pytest.mark.django_db(transaction=True)
def test_cancel_and_approval_at_one_moment(user: User, operator: Callable[..., Actor]) -> None:
    """The customer has the last word while nothing was sent: an approval before it changes nothing."""
    somebody = operator()
    for _ in range(4):
        order = asked(user)
        acts = [
            lambda order=order: withdrawal_cancel(
                order_id=order.public_id, user_id=user.pk, actor=user.as_actor()
            ),
            lambda order=order: withdrawal_approve(order_id=order.public_id, actor=somebody),
        ]
        codes = together(2, lambda number, acts=acts: code_of(acts[number]))
        assert codes in (["ok", "ok"], ["ok", "wrong_state"])
        payouts = Payout.objects.filter(order_id=order.public_id)
        order.refresh_from_db()
        assert order.status == "CANCELLED"
        assert list(payouts.values_list("state", flat=True)) == (["failed"] if codes[1] == "ok" else [])
        assert balance_of(user, "UAH") == (1000, 0)
    assert invariants.broken_laws() == []


def test_repeat_asks_for_the_same_again(
    api: ApiClient, user: User, operator: Callable[..., Actor], drain: Callable[..., int]
) -> None:
    order = asked(
        user,
        external_id="a-1",
        comment="rent",
        callback_url="https://shop.example/hook",
        additional_info={"withdrawal_email": "a@example.com"},
    )
    assert code(api.post(REPEAT, {"order_id": str(order.public_id)})) == (409, "wrong_state")
    withdrawal_approve(order_id=order.public_id, actor=operator())
    drain()
    answer = api.post(REPEAT, {"order_id": str(order.public_id)})
    second = Order.objects.latest("id")
    assert answer.json()["order_id"] == str(second.public_id) != str(order.public_id)
    same = ("currency_in_id", "amount_in", "amount_out", "fee", "comment", "callback_url", "additional_info")
    assert [getattr(second, name) for name in same] == [getattr(order, name) for name in same]
    assert (second.external_id, second.withdrawal.destination) == ("", "sandbox:success")
    assert second.withdrawal.network_id == order.withdrawal.network_id
    other = api.post(REPEAT, {"order_id": str(order.public_id), "amount": "60.50"})
    assert (other.json()["amount_to_withdrawal"], other.json()["fee"]) == (60.5, 5)
    assert Order.objects.count() == 3
    assert invariants.broken_laws() == []


def test_repeat_is_done_once_by_its_key(api: ApiClient, user: User) -> None:
    order = asked(user)
    api.post(CANCEL, {"order_id": str(order.public_id)})
    body, key = {"order_id": str(order.public_id)}, {"Idempotency-Key": '"again-1"'}
    answers = [api.post(REPEAT, body, **key) for _ in range(2)]
    assert answers[0].content == answers[1].content
    changed = api.post(REPEAT, {**body, "amount": "60"}, **key)
    assert code(changed) == (422, "idempotency_mismatch")
    assert Order.objects.count() == 2
    held(user, 105)


@pytest.mark.parametrize(
    ("amount", "refused"),
    [
        ("49.99", "below_minimum"),
        ("5000", "insufficient_funds"),
        ("0.001", "invalid_amount"),
        ("-1", "invalid_amount"),
        ("NaN", "invalid_amount"),
        (True, "validation_error"),
    ],
)
def test_a_repeat_is_judged_as_any_other(api: ApiClient, user: User, amount: Any, refused: str) -> None:
    order = asked(user)
    withdrawal_cancel(order_id=order.public_id, user_id=user.pk, actor=user.as_actor())
    assert api.post(REPEAT, {"order_id": str(order.public_id), "amount": amount}).json()["code"] == refused
    assert Order.objects.count() == 1
    held(user, 0)


@pytest.mark.parametrize("path", [REPEAT, CANCEL])
def test_nobody_elses_and_only_with_the_scope(
    path: str, api: ApiClient, user: User, customer: Callable[..., User]
) -> None:
    order = asked(user)
    body = {"order_id": str(order.public_id)}
    stranger = ApiClient(token=tokens.issue(customer()))
    foreign, none = stranger.post(path, body), stranger.post(path, {"order_id": str(uuid.uuid4())})
    assert code(foreign) == (404, "not_found")
    assert {**foreign.json(), "request_id": ""} == {**none.json(), "request_id": ""}
    key = ApiKey.objects.create(
        user=user, name="r", key="reader", secret="s" * 20, scopes=["read", "trade"], state="active"
    )
    assert code(ApiClient(key=key.key, secret=key.secret).post(path, body)) == (403, "forbidden")
    assert code(ApiClient().post(path, body)) == (401, "unauthenticated")
    for wrong in ({}, {"order_id": "1"}, {"order_id": None}, {"order_id": [str(order.public_id)]}):
        assert code(api.post(path, wrong)) == (400, "validation_error")
    assert Order.objects.count() == 1
    held(user, 105)
