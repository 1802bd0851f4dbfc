"""POST /withdrawal/confirm and /withdrawal/confirm/resend: whose, once, by token and by key; the caller's country."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from django.core import mail

from kauri.account import tokens
from kauri.account.models import ApiKey, ConfirmationCode, User
from kauri.balance import invariants
from kauri.order_core.models import Order, Policy
from kauri.payment_provider.models import Payout
from kauri.withdrawal_order.models import ReviewRule
from tests.api.client import ApiClient
from tests.moves import balance_of, give, sandbox_on

ASK = "/api/v1/withdrawal"
CONFIRM = "/api/v1/withdrawal/confirm"
RESEND = "/api/v1/withdrawal/confirm/resend"
BODY = {"currency": "UAH", "amount": "100", "wallet_to": "sandbox:success"}


@pytest.fixture
def user(customer: Callable[..., User]) -> User:
    sandbox_on()
    ReviewRule.objects.update(is_enabled=False)
    Policy.objects.filter(operation="WITHDRAWAL", currency__code="UAH").update(email_above=Decimal(50))
    person = customer()
    give(person, "UAH", "1000")
    return person


@pytest.fixture
def api(user: User) -> ApiClient:
    return ApiClient(token=tokens.issue(user))


def code(answer: Any) -> tuple[int, str]:
    return answer.status_code, answer.json().get("code", "")


def sent() -> str:
    return re.findall(r"^(\d{8})$", str(mail.outbox[-1].body), re.MULTILINE)[-1]


def test_ask_confirm_and_the_same_answer_again(api: ApiClient, user: User, drain: Callable[..., int]) -> None:
    asked = api.post(ASK, BODY).json()
    assert (asked["status"], asked["order_status"]) == ("success", "WAITING_FOR_CONFIRMATION")
    drain()
    body = {"order_id": asked["order_id"], "code": "00000000"}
    assert code(api.post(CONFIRM, body)) == (400, "wrong_code")
    assert ConfirmationCode.objects.get().tries_left == 4, "the refusal undid nothing of it"
    answers = [api.post(CONFIRM, {**body, "code": sent()}) for _ in range(2)]
    assert answers[0].content == answers[1].content
    expected = (
        '{"status":"success","order_id":"%s","order_status":"PAYMENT_IN_PROGRESS",'
        '"amount":105,"fee":5,"amount_to_withdrawal":100}'
    )
    assert answers[0].content.decode() == expected % asked["order_id"]
    assert Payout.objects.count() == 1
    drain()
    assert balance_of(user, "UAH") == (Decimal(895), Decimal(0))
    assert invariants.broken_laws() == []


def test_resend(api: ApiClient, drain: Callable[..., int]) -> None:
    asked = api.post(ASK, BODY).json()
    drain()
    first = sent()
    for _ in range(4):
        assert code(api.post(RESEND, {"order_id": asked["order_id"]})) == (200, "")
    assert code(api.post(RESEND, {"order_id": asked["order_id"]})) == (429, "rate_limited")
    drain()
    assert len(mail.outbox) == 5
    assert code(api.post(CONFIRM, {"order_id": asked["order_id"], "code": first})) == (400, "wrong_code")
    assert code(api.post(CONFIRM, {"order_id": asked["order_id"], "code": sent()})) == (200, "")
    assert code(api.post(RESEND, {"order_id": asked["order_id"]})) == (409, "wrong_state")


@pytest.mark.parametrize("path", [CONFIRM, RESEND])
def test_nobody_elses_and_only_with_the_scope(
    path: str, api: ApiClient, user: User, customer: Callable[..., User], drain: Callable[..., int]
) -> None:
    asked = api.post(ASK, BODY).json()
    drain()
    body = {"order_id": asked["order_id"], "code": sent()}
    stranger = ApiClient(token=tokens.issue(customer()))
    foreign, none = stranger.post(path, body), stranger.post(path, {**body, "order_id": str(uuid.uuid4())})
    assert code(foreign) == (404, "not_found")
    assert {**foreign.json(), "request_id": ""} == {**none.json(), "request_id": ""}
    for scopes, expected in ((["read", "trade"], (403, "forbidden")), (["withdraw"], (200, ""))):
        key = ApiKey.objects.create(
            user=user, name="k", key=f"k{len(scopes)}", secret="s" * 20, scopes=scopes, state="active"
        )
        assert code(ApiClient(key=key.key, secret=key.secret).post(path, body)) == expected
    assert code(ApiClient().post(path, body)) == (401, "unauthenticated")
    assert code(api.post(path, {"order_id": "1"})) == (400, "validation_error")


def test_it_may_be_taken_back_by_api(api: ApiClient, user: User) -> None:
    asked = api.post(ASK, BODY).json()
    gone = api.post("/api/v1/withdrawal/cancel", {"order_id": asked["order_id"]})
    assert gone.json()["order_status"] == "CANCELLED"
    assert balance_of(user, "UAH") == (Decimal(1000), Decimal(0))


@pytest.mark.parametrize(
    ("proxies", "header", "said", "kept"),
    [
        ("127.0.0.0/8", "CF-IPCountry", "ua", "UA"),
        ("127.0.0.0/8", "CF-IPCountry", "XX", ""),
        ("127.0.0.0/8", "CF-IPCountry", "T1", ""),
        ("127.0.0.0/8", "CF-IPCountry", "Ukraine", ""),
        ("127.0.0.0/8", "", "UA", ""),
        ("10.0.0.0/8", "CF-IPCountry", "UA", ""),
    ],
)
def test_a_country_is_what_a_trusted_proxy_says(
    api: ApiClient, settings: Any, proxies: str, header: str, said: str, kept: str
) -> None:
    settings.KAURI = settings.KAURI.model_copy(
        update={"trusted_proxies": [proxies], "country_header": header}
    )
    answer = api.post(ASK, {**BODY, "amount": "50"}, **{"CF-IPCountry": said})
    assert answer.status_code == 200
    assert Order.objects.get().withdrawal.country == kept
