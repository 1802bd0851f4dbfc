"""Deposits by API (52-56): the list, what a place has seen, cancelling and giving it again; only one's own."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from kauri.account import tokens
from kauri.account.models import User
from kauri.deposit_order.services import deposits_scan
from tests.api.client import ApiClient
from tests.house import Usdt
from tests.moves import address_of, balance_of, sandbox_on

ROOT = "/api/v1/deposit"


@pytest.fixture
def user(customer: Callable[..., User]) -> User:
    return customer()


@pytest.fixture
def api(user: User) -> ApiClient:
    return ApiClient(token=tokens.issue(user))


@pytest.fixture
def stranger(customer: Callable[..., User]) -> ApiClient:
    return ApiClient(token=tokens.issue(customer()))


def link(api: ApiClient, **fields: Any) -> Any:
    sandbox_on()
    return api.post(f"{ROOT}/address", {"currency": "UAH", "amount_to_spend": "100", **fields}).json()


def paid(usdt: Usdt, user: User, amount: str) -> str:
    address = address_of(user)
    deposits_scan(usdt.provider.pk)
    usdt.send(address, amount, mine=3)
    deposits_scan(usdt.provider.pk)
    return address


def code(answer: Any) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


def test_the_list_is_one_s_own_newest_first_and_paged(
    usdt: Usdt, user: User, api: ApiClient, stranger: ApiClient
) -> None:
    for amount in ("25.5", "7"):
        paid(usdt, user, amount)
    first = api.get(f"{ROOT}?limit=1").json()
    assert [row["amount"] for row in first["deposits"]] == [7]
    assert first["pages_count"] == 2
    second = api.get(f"{ROOT}?limit=1&cursor={first['next_cursor']}").json()
    assert [row["amount"] for row in second["deposits"]] == [25.5]
    assert second["next_cursor"] is None
    assert api.get(f"{ROOT}?currency=BTC").json()["deposits"] == []
    assert stranger.get(ROOT).json()["deposits"] == []
    assert code(api.get(f"{ROOT}?limit=1000")) == (400, "validation_error")


def test_an_address_tells_what_came_and_on_what_terms(
    usdt: Usdt, user: User, api: ApiClient, stranger: ApiClient
) -> None:
    address = paid(usdt, user, "25.5")
    told = api.get(f"{ROOT}/address/details?address={address}").json()
    assert (told["addr"], told["network"], told["confirmations"], told["state"]) == (
        address,
        "erc20",
        3,
        "open",
    )
    [received] = told["received"]
    assert (received["amount"], received["status"]) == (25.5, "CLOSED")
    assert balance_of(user) == (Decimal("25.5"), Decimal(0))
    assert told["limits"]
    assert told["fees"]
    for who in (stranger, ApiClient()):
        assert who.get(f"{ROOT}/address/details?address={address}").status_code in {401, 404}
    assert code(api.get(f"{ROOT}/address/details?address=0x1")) == (404, "not_found")


def test_less_than_the_least_is_shown_without_an_order(usdt: Usdt, user: User, api: ApiClient) -> None:
    address = paid(usdt, user, "0.5")
    [received] = api.get(f"{ROOT}/address/details?address={address}").json()["received"]
    assert (received["amount"], received["order_id"], received["status"]) == (0.5, None, None)
    assert balance_of(user) == (Decimal(0), Decimal(0))
    assert api.get(ROOT).json()["deposits"] == []


def test_an_unpaid_link_is_cancelled_once_and_not_given_again(
    house: None, api: ApiClient, stranger: ApiClient
) -> None:
    name = link(api)["external_id"]
    assert code(stranger.post(f"{ROOT}/cancel", {"external_id": name})) == (404, "not_found")
    again = api.post(f"{ROOT}/repeat", {"external_id": name})
    assert (again.status_code, again.json()["external_id"]) == (200, name)
    assert api.post(f"{ROOT}/cancel", {"external_id": name}).json() == {"status": "success"}
    assert api.get(f"{ROOT}/address/details?external_id={name}").json()["state"] == "cancelled"
    assert code(api.post(f"{ROOT}/repeat", {"external_id": name})) == (409, "wrong_state")


def test_an_address_takes_money_for_ever(usdt: Usdt, user: User, api: ApiClient) -> None:
    address = address_of(user)
    assert code(api.post(f"{ROOT}/cancel", {"address": address})) == (409, "wrong_state")
    assert api.post(f"{ROOT}/repeat", {"address": address}).json()["addr"] == address


def test_the_fee_inside_or_on_top(house: None, api: ApiClient) -> None:
    """The shipped policy takes 1 % of hryvnia deposits."""
    inside = api.get(f"{ROOT}/address/details?external_id={link(api)['external_id']}").json()
    assert inside["amount"] == 100
    top = link(api, amount_to_spend=None, amount_to_receive="100")
    told = api.get(f"{ROOT}/address/details?external_id={top['external_id']}").json()
    # On top the fee is that of what arrives, agreed when the link is made.
    assert (told["amount"], told["fee"]) == (101, 1)
    both = {"currency": "UAH", "amount_to_spend": "1", "amount_to_receive": "1"}
    assert code(api.post(f"{ROOT}/address", both)) == (400, "validation_error")
