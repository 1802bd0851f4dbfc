"""Call 10: what the account has, what it is worth in the other currencies, and where it pays in."""

from __future__ import annotations

import base64
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from kauri.account import tokens
from kauri.account.models import User
from kauri.common import clock
from kauri.common.actor import SYSTEM
from kauri.core.models import Currency
from kauri.exchange_rate.services import usd_rate_set
from kauri.wallet.models import DepositAddress
from tests.api.client import ApiClient
from tests.house import Usdt
from tests.moves import give, withdraw

BALANCE = "/api/v1/user/balance"


def rate(code: str, price: str, good_for: timedelta = timedelta(hours=1)) -> None:
    usd_rate_set(
        currency_id=Currency.objects.get(code=code).pk,
        price=price,
        source="bank",
        good_for=good_for,
        actor=SYSTEM,
    )


@pytest.fixture
def user(customer: Callable[..., User]) -> User:
    person = customer()
    give(person, "UAH", "1000")
    give(person, "BTC", "0.5")
    return person


@pytest.fixture
def api(user: User) -> ApiClient:
    return ApiClient(token=tokens.issue(user))


def balance(api: ApiClient, query: str = "") -> dict[str, Any]:
    answer = api.get(f"{BALANCE}{query}", Accept="application/json; decimals=string")
    assert answer.status_code == 200, answer.content
    return answer.json()


def test_worth_in_every_other_currency(api: ApiClient) -> None:
    rate("UAH", "0.024")
    rate("BTC", "64000")
    said = balance(api)["balance"]
    assert said["UAH"]["UAH"] == {"total": "1000", "reserved": "0"}
    assert said["UAH"]["USD"] == {"total": "24", "reserved": "0"}
    assert said["UAH"]["BTC"] == {"total": "0.000375", "reserved": "0"}
    assert said["BTC"]["UAH"]["total"] == "1333333.33"  # rounded down, to the other's scale
    assert said["BTC"]["USD"]["total"] == "32000"
    assert said["USD"]["BTC"] == {"total": "0", "reserved": "0"}
    assert said["UAH"]["EUR"] == {"total": None, "reserved": None}  # no rate is not zero
    assert said["EUR"]["USD"] == {"total": None, "reserved": None}
    assert set(said["EUR"]) >= {"currency", "available", "held", "BTC", "EUR", "UAH"}


def test_a_rate_that_went_stale_is_no_rate(api: ApiClient) -> None:
    rate("UAH", "0.020")
    rate("UAH", "0.024", good_for=timedelta(minutes=1))
    assert balance(api)["balance"]["UAH"]["USD"]["total"] == "24"
    with clock.standing_at(clock.now() + timedelta(minutes=2)):
        assert balance(api)["balance"]["UAH"]["USD"]["total"] is None


def test_as_of_a_past_moment_with_the_rates_of_then(api: ApiClient, user: User) -> None:
    rate("UAH", "0.020")
    then = clock.now()
    rate("UAH", "0.024")
    give(user, "UAH", "500")
    said = balance(api, "?at=" + then.isoformat().replace("+00:00", "Z"))["balance"]
    assert (said["UAH"]["available"], said["UAH"]["USD"]["total"]) == ("1000", "20")
    assert balance(api)["balance"]["UAH"]["USD"]["total"] == "36"


def test_what_is_held_is_worth_something_too(user: User, usdt: Usdt, api: ApiClient) -> None:
    give(user, "USDT", "100")
    withdraw(user, "10", to="0x" + "12" * 20)
    rate("USDT", "1.001")
    tether = balance(api)["balance"]["USDT"]
    held = Decimal(tether["held"])
    assert held > 10
    assert Decimal(tether["USD"]["reserved"]) == (held * Decimal("1.001")).quantize(
        Decimal("0.01"), "ROUND_DOWN"
    )


def test_wallets_are_ones_own_newest_addresses(
    user: User, usdt: Usdt, api: ApiClient, customer: Callable[..., User]
) -> None:
    assert balance(api)["wallets"] == {}
    mine = api.post("/api/v1/deposit/address", {"currency": "USDT"}).json()
    other = (
        ApiClient(token=tokens.issue(customer())).post("/api/v1/deposit/address", {"currency": "USDT"}).json()
    )
    wallets = balance(api)["wallets"]
    assert set(wallets) == {"USDT"}
    assert (wallets["USDT"]["address"], wallets["USDT"]["network"]) == (mine["addr"], mine["network"])
    assert wallets["USDT"]["qr_file_data"] == mine["qr"]
    assert base64.b64decode(mine["qr"]).startswith(b"\x89PNG")
    assert other["addr"] != mine["addr"]
    assert DepositAddress.objects.get(address=mine["addr"]).user == user


def test_all_of_it_in_one_query_beside_the_callers(
    user: User, usdt: Usdt, api: ApiClient, django_assert_num_queries: Any
) -> None:
    for code in ("UAH", "BTC", "EUR"):
        rate(code, "2")
    api.post("/api/v1/deposit/address", {"currency": "USDT"})
    balance(api)
    with django_assert_num_queries(3):  # session, rates of requests, and everything else
        assert balance(api)["balance"]["UAH"]["EUR"]["total"] == "1000"
