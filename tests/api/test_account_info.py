"""What an account reads of its own terms, settings and statistics."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pyotp
import pytest
from django.contrib.auth.models import Group, Permission

from kauri.account import tokens
from kauri.account.models import ApiKey, CustomerGroup, TOTPDevice, User
from kauri.account.second_factor import WRONG_CODES
from kauri.common import clock
from kauri.core.models import AuditEntry, Currency, Network, Switch
from kauri.internal_movement_order.models import MovementDetail
from kauri.internal_movement_order.services import MovementRequest, movement_create
from kauri.order_core.models import Order, Policy
from kauri.withdrawal_order.services import withdrawal_cancel
from tests.api.account_moves import passed
from tests.api.client import ApiClient
from tests.moves import code_of, give, sandbox_on, withdraw

INFO = "/api/v1/user/account_info"
SETTING = "/api/v1/user/account/setting"
STATISTICS = "/api/v1/statistics"
START = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)


@pytest.fixture
def user(customer: Callable[..., User]) -> User:
    sandbox_on()
    person = customer()
    give(person, "UAH", "10000")
    return person


@pytest.fixture
def api(user: User) -> ApiClient:
    return ApiClient(token=tokens.issue(user))


def keyed(user: User, *scopes: str) -> ApiClient:
    name = f"k{ApiKey.objects.count()}"
    key = ApiKey.objects.create(
        user=user, name=name, key=name, secret="s" * 20, scopes=list(scopes), state="active"
    )
    return ApiClient(key=key.key, secret=key.secret)


def code(answer: Any) -> tuple[int, str]:
    return answer.status_code, answer.json().get("code", "")


def uah(block: str, info: dict[str, Any]) -> dict[str, Any]:
    sub_type = "CROSS_ACCOUNT" if block.startswith("internal") else "GATEWAY"
    found: dict[str, Any] = info[block]["UAH"][sub_type]
    return found["P2P"] if block.startswith("deposit") else found


def test_every_block_of_a_new_account(api: ApiClient, user: User) -> None:
    info = api.get(INFO).json()
    assert (info["email"], info["account_number"]) == (user.email, user.number)
    assert (info["account_type"], info["referral_id"], info["is_2fa_enabled"]) == ("VERIFIED", None, False)
    assert uah("withdrawal_order_limits", info) == {
        "min_amount": 50,
        "max_amount": 1000000,
        "daily_amount": 2000000,
        "monthly_amount": None,
        "daily_count": 20,
    }
    assert uah("withdrawal_order_fees", info) == {
        "static_fee": 0,
        "percent_fee": 0.5,
        "min_fee": 5,
        "max_fee": None,
        "parent_currency_static_fee": 0,
    }
    assert uah("withdrawal_order_processing_rules", info) == {
        "is_withdrawal_enabled": True,
        "disable_description": "",
        "is_repeat_enabled": True,
        "required_level": 1,
        "is_cancel_enabled": True,
    }
    assert uah("deposit_order_fees", info) == {
        "static_fee": 0,
        "percent_fee": 1,
        "min_fee": None,
        "max_fee": None,
        "payment_provider_static_fee": 0,
    }
    assert uah("deposit_order_processing_rules", info)["confirmations_count"] is None
    usdt = info["deposit_order_processing_rules"]["USDT"]["GATEWAY"]["P2P"]
    assert usdt["confirmations_count"] == Network.objects.get(code="erc20").confirmations
    assert uah("internal_movement_fees", info)["fee_payer"] == "sender"


def test_a_currency_of_two_networks_has_one_more_level(api: ApiClient) -> None:
    Network.objects.create(
        code="trc20",
        title="Tron",
        currency=Currency.objects.get(code="USDT"),
        environment="testnet",
        confirmations=20,
        is_enabled=False,
    )
    rules = api.get(INFO).json()["withdrawal_order_processing_rules"]["USDT"]["GATEWAY"]
    assert (rules["ERC20"]["is_withdrawal_enabled"], rules["TRC20"]["is_withdrawal_enabled"]) == (True, False)
    assert rules["TRC20"]["disable_description"] == "This operation is switched off."


def test_the_most_specific_policy_speaks_field_by_field(
    api: ApiClient, user: User, customer: Callable[..., User]
) -> None:
    currency = Currency.objects.get(code="UAH")
    other = ApiClient(token=tokens.issue(customer(group=CustomerGroup.objects.create(code="o", title="o"))))
    Policy.objects.create(operation="WITHDRAWAL", currency=currency, user=user, fee_percent="0.1")
    Policy.objects.create(operation="WITHDRAWAL", currency=currency, group=user.group, min_amount="70")
    Policy.objects.create(operation="WITHDRAWAL", user=user, unit="usd", max_amount="1000")
    mine, theirs = api.get(INFO).json(), other.get(INFO).json()
    assert uah("withdrawal_order_fees", mine)["percent_fee"] == 0.1
    limits = uah("withdrawal_order_limits", mine)
    # A limit in dollars is never shown as one of hryvnias.
    assert (limits["min_amount"], limits["max_amount"], limits["max_amount_usd"]) == (70, None, 1000)
    assert uah("withdrawal_order_fees", theirs)["percent_fee"] == 0.5
    assert uah("withdrawal_order_limits", theirs)["min_amount"] == 50


@pytest.mark.parametrize("case", ["switch", "currency", "currency switch", "policy", "level", "open"])
def test_what_is_said_to_be_closed_is_what_is_refused(api: ApiClient, user: User, case: str) -> None:
    currency = Currency.objects.get(code="UAH")
    off = {"is_on": False, "reason": "maintenance", "off_at": clock.now()}
    if case == "switch":
        Switch.objects.update_or_create(code="withdrawal", defaults=off)
    elif case == "currency":
        currency.is_enabled = False
        currency.save()
    elif case == "currency switch":
        Switch.objects.update_or_create(code="currency:UAH", defaults=off)
    elif case == "policy":
        Policy.objects.create(operation="WITHDRAWAL", currency=currency, user=user, enabled=False)
    elif case == "level":
        User.objects.filter(pk=user.pk).update(verification_level=0)
    rules = uah("withdrawal_order_processing_rules", api.get(INFO, **{"Accept-Language": "uk"}).json())
    refused = code_of(lambda: withdraw(user, "100", currency="UAH", to="sandbox:success"))
    assert rules["is_withdrawal_enabled"] is (refused == "ok")
    words = {
        "ok": "",
        "operation_disabled": "Цю операцію вимкнено.",
        "currency_disabled": "Цю валюту вимкнено.",
        "verification_required": "Потрібен вищий рівень верифікації.",
    }
    assert rules["disable_description"] == words[refused]
    assert (refused == "ok") is (case == "open")


def test_account_info_costs_the_same_whatever_the_policies(
    user: User, django_assert_num_queries: Any
) -> None:
    signed = keyed(user, "read")
    signed.get(INFO)
    with django_assert_num_queries(7):
        signed.get(INFO)
    for currency in Currency.objects.all():
        Policy.objects.create(operation="WITHDRAWAL", currency=currency, user=user, fee_percent="0.1")
    with django_assert_num_queries(7):
        assert uah("withdrawal_order_fees", signed.get(INFO).json())["percent_fee"] == 0.1
    assert code(keyed(user, "trade", "withdraw").get(INFO)) == (403, "forbidden")


def test_settings_are_read_and_set(api: ApiClient, user: User) -> None:
    assert api.get(SETTING).json()["settings"] == {
        "language": "en",
        "callback_url": "",
        "auto_conversion": "",
    }
    done = api.post(SETTING, {"name": "callback_url", "value": "https://shop.example/kauri"})
    assert done.json() == {
        "status": "success",
        "settings": {
            "language": "en",
            "callback_url": "https://shop.example/kauri",
            "auto_conversion": "",
        },
    }
    [entry] = AuditEntry.objects.filter(verb="account_setting_set")
    assert (entry.before, entry.after) == (
        {"callback_url": ""},
        {"callback_url": "https://shop.example/kauri"},
    )
    # Orders without a callback of their own are told there.
    withdraw(user, "100", currency="UAH", to="sandbox:success")
    user.refresh_from_db()
    assert user.callback_url == "https://shop.example/kauri"
    assert api.post(SETTING, {"name": "callback_url", "value": ""}).json()["settings"]["callback_url"] == ""


@pytest.mark.parametrize(
    "body",
    [
        {"name": "callback_url", "value": "http://shop.example/"},
        {"name": "callback_url", "value": "https://127.0.0.1/"},
        {"name": "callback_url", "value": "https://[::1]/"},
        {"name": "callback_url", "value": "https://user@shop.example/"},
        {"name": "callback_url", "value": "javascript:alert(1)"},
        {"name": "language", "value": "de"},
        {"name": "verification_level", "value": "3"},
        {"name": "is_staff", "value": "true"},
        {"name": "webhook_secret", "value": "whsec_x"},
        {"name": "language"},
        {"name": "language", "value": None},
        {"name": "language", "value": {"x": 1}},
    ],
)
def test_wrong_settings_change_nothing(api: ApiClient, user: User, body: dict[str, Any]) -> None:
    before = User.objects.filter(pk=user.pk).values().get()
    assert code(api.post(SETTING, body)) == (400, "validation_error")
    assert User.objects.filter(pk=user.pk).values().get() == before


def test_fields_that_nobody_asked_for_are_not_written(api: ApiClient, user: User) -> None:
    before = User.objects.filter(pk=user.pk).values().get()
    body = {"name": "language", "value": "ru", "is_staff": True, "verification_level": 3, "user_id": 1}
    assert api.post(SETTING, body).status_code == 200
    assert User.objects.filter(pk=user.pk).values().get() == {**before, "language": "ru"}


def test_a_setting_needs_scope_and_one_time_code(api: ApiClient, user: User) -> None:
    wanted = {"name": "language", "value": "uk"}
    assert code(keyed(user, "read", "withdraw").post(SETTING, wanted)) == (403, "forbidden")
    device = TOTPDevice.objects.create(user=user, confirmed=True)
    phone = pyotp.TOTP(pyotp.random_base32())
    device.key = phone.byte_secret().hex()
    device.save()
    api.token = passed(user)
    assert code(api.post(SETTING, wanted)) == (403, "totp_required")
    assert code(api.post(SETTING, {**wanted, "totp_code": "000000"})) == (403, "totp_invalid")
    TOTPDevice.objects.update(throttling_failure_count=0, throttling_failure_timestamp=None)
    now = phone.now()
    assert api.post(SETTING, {**wanted, "totp_code": now}).json()["settings"]["language"] == "uk"
    again = {"name": "language", "value": "ru", "totp_code": now}
    assert code(api.post(SETTING, again)) == (403, "totp_invalid")
    user.refresh_from_db()
    assert user.language == "uk"


def test_wrong_one_time_codes_are_counted(api: ApiClient, user: User) -> None:
    TOTPDevice.objects.create(user=user, confirmed=True)
    api.token = passed(user)
    wrong = {"name": "language", "value": "uk", "totp_code": "000000"}
    answers = [code(api.post(SETTING, wrong)) for _ in range(WRONG_CODES + 1)]
    assert answers == [(403, "totp_invalid")] * WRONG_CODES + [(429, "rate_limited")]


def rows(api: ApiClient, query: str = "") -> list[tuple[Any, ...]]:
    answer = api.get(f"{STATISTICS}?from_timestamp=2026-03-01T00:00:00Z&till_timestamp=2026-05-01{query}")
    assert answer.status_code == 200, answer.content
    return [tuple(row.values()) for row in answer.json()["statistics"]]


def test_statistics(
    user: User, api: ApiClient, customer: Callable[..., User], django_assert_num_queries: Any
) -> None:
    friend = customer()
    friends = ApiClient(token=tokens.issue(friend))

    def move(day: int, amount: str) -> None:
        with clock.standing_at(START + timedelta(days=day)):
            movement_create(
                request=MovementRequest(
                    user_id=user.pk,
                    currency="UAH",
                    amount=amount,
                    addressed_by=MovementDetail.AddressedBy.EMAIL,
                    addressed_to=friend.email,
                ),
                actor=user.as_actor(),
            )

    move(0, "100")
    move(0, "50")
    move(30, "10")
    with clock.standing_at(START):
        order = withdraw(user, "100", currency="UAH", to="sandbox:success")
        withdrawal_cancel(order_id=order.public_id, user_id=user.pk, actor=user.as_actor())
    assert rows(api) == [
        ("2026-03-04", "INTERNAL_MOVEMENT", "out", "UAH", 2, 2, 150, "UAH", 0),
        ("2026-03-04", "WITHDRAWAL", "out", "UAH", 1, 0, 0, "UAH", 0),
        ("2026-04-03", "INTERNAL_MOVEMENT", "out", "UAH", 1, 1, 10, "UAH", 0),
    ]
    assert rows(api, "&period=month&order_type=INTERNAL_MOVEMENT") == [
        ("2026-03-01", "INTERNAL_MOVEMENT", "out", "UAH", 2, 2, 150, "UAH", 0),
        ("2026-04-01", "INTERNAL_MOVEMENT", "out", "UAH", 1, 1, 10, "UAH", 0),
    ]
    assert rows(friends) == [
        ("2026-03-04", "INTERNAL_MOVEMENT", "in", "UAH", 2, 2, 150, "UAH", 0),
        ("2026-04-03", "INTERNAL_MOVEMENT", "in", "UAH", 1, 1, 10, "UAH", 0),
    ]
    assert rows(ApiClient(token=tokens.issue(customer()))) == []
    signed = keyed(user, "read")
    signed.get(STATISTICS)
    with django_assert_num_queries(4):
        assert len(rows(signed)) == 3
    assert Order.objects.count() == 4


@pytest.mark.parametrize(
    "query",
    [
        "period=hour",
        "from_timestamp=x",
        "from_timestamp=2020-01-01&till_timestamp=2026-01-01",
        "from_timestamp=2026-01-02&till_timestamp=2026-01-01",
        "order_type=X",
        "of=everybody",
        "till_timestamp=0001-01-02T00:00:00Z",
        "from_timestamp=0001-01-01T00:00:00%2B14:00",
        "till_timestamp=9999-12-31T23:59:59-14:00",
    ],
)
def test_wrong_questions(api: ApiClient, query: str) -> None:
    assert code(api.get(f"{STATISTICS}?{query}")) == (400, "validation_error")


def test_the_systems_statistics_are_for_operators_who_may_see_orders(
    api: ApiClient, user: User, customer: Callable[..., User]
) -> None:
    with clock.standing_at(START):
        withdraw(user, "100", currency="UAH", to="sandbox:success")
    assert code(api.get(f"{STATISTICS}?of=system")) == (403, "forbidden")
    seer = Permission.objects.get(codename="view_order", content_type__app_label="order_core")
    # The right alone makes nobody an operator, and an operator without it sees nothing.
    seers = Group.objects.create(name="Seers")
    seers.permissions.add(seer)
    user.groups.add(seers)
    assert code(api.get(f"{STATISTICS}?of=system")) == (403, "forbidden")
    staff = customer(is_staff=True)
    operators = keyed(staff, "read")
    assert code(operators.get(f"{STATISTICS}?of=system")) == (403, "forbidden")
    # Rights come by roles: one that a row gives a person alone is none.
    staff.user_permissions.add(seer)
    assert code(operators.get(f"{STATISTICS}?of=system")) == (403, "forbidden")
    staff.groups.add(seers)
    assert rows(operators, "&of=system") == [
        ("2026-03-04", "WITHDRAWAL", "out", "UAH", 1, 0, Decimal(0), "UAH", 0)
    ]
    assert rows(operators) == []
    assert code(keyed(staff, "trade").get(f"{STATISTICS}?of=system")) == (403, "forbidden")
