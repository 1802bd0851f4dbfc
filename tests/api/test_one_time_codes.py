"""Above a threshold of the policy money moves only with a one-time code, and a code moves it once."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django_otp.oath import TOTP

from kauri.account import tokens
from kauri.account.models import Session, TOTPDevice, User
from kauri.common.actor import SYSTEM
from kauri.core.models import Currency
from kauri.exchange_rate.services import usd_rate_set
from kauri.order_core.models import Order, Policy
from kauri.order_core.money_call import WRONG_CODES
from tests.api.client import ApiClient
from tests.moves import balance_of, give, sandbox_on

MOVE = "/api/v1/internal_movement"


class Sender:
    """A customer with money, an authenticator, and a threshold of 50 UAH."""

    def __init__(self, user: User, receiver: User) -> None:
        self.user, self.receiver = user, receiver
        self.device = TOTPDevice.objects.create(user=user, name="phone", confirmed=True)
        session = Session.objects.create(user=user, epoch=user.token_epoch, second_factor=self.device)
        self.api = ApiClient(token=tokens.issue(user, session))

    def code(self, step: int = 0) -> str:
        """The code of now, or of a neighbouring half minute."""
        totp = TOTP(self.device.bin_key, self.device.step, self.device.t0, self.device.digits)
        totp.time = time.time() + step * self.device.step
        return f"{totp.token():06d}"

    def move(self, amount: str, code: str | None, **more: Any) -> tuple[int, str]:
        body = {"currency": "UAH", "amount": amount, "destination_account_email": self.receiver.email, **more}
        answer = self.api.post(MOVE, {**body, "totp_code": code})
        return answer.status_code, answer.json().get("code", "")

    @property
    def moved(self) -> Decimal:
        return Decimal(1000) - balance_of(self.user, "UAH")[0]


@pytest.fixture
def sender(customer: Callable[..., User]) -> Sender:
    made = Sender(customer(), customer())
    give(made.user, "UAH", "1000")
    Policy.objects.filter(operation="INTERNAL_MOVEMENT", currency__code="UAH").update(totp_above=Decimal(50))
    return made


def test_above_the_threshold_a_code_is_needed_and_good_once(sender: Sender) -> None:
    assert sender.move("50", None) == (200, "")
    assert sender.move("50.01", None) == (403, "totp_required")
    assert sender.move("50.01", "") == (403, "totp_required")
    assert sender.move("50.01", "000000") == (403, "totp_invalid")
    assert (sender.moved, Order.objects.count()) == (50, 1)
    code = sender.code()
    assert sender.move("60", code) == (200, "")
    assert sender.move("60", code) == (403, "totp_invalid")
    assert (sender.moved, Order.objects.count()) == (110, 2)
    limit = next(
        row for row in Order.objects.latest("id").explanation["limits"] if row["limit"] == "totp_above"
    )
    assert (limit["value"], limit["bound"], limit["unit"]) == ("60", "50", "UAH")


def test_a_code_that_is_not_needed_or_did_not_help_stays_good(sender: Sender) -> None:
    code = sender.code()
    assert sender.move("10", code) == (200, "")
    assert sender.move("5000", code) == (402, "insufficient_funds")
    assert sender.move("60", code) == (200, "")
    assert sender.moved == 70


def test_after_some_wrong_codes_the_right_one_waits_too(sender: Sender) -> None:
    for _ in range(WRONG_CODES):
        assert sender.move("60", "000000") == (403, "totp_invalid")
    assert sender.move("60", sender.code()) == (429, "rate_limited")
    assert sender.move("50", None) == (200, "")
    assert sender.moved == 50


def test_another_customers_code_and_an_unconfirmed_authenticator_are_wrong(sender: Sender) -> None:
    other = TOTPDevice.objects.create(user=sender.receiver, name="phone", confirmed=True)
    assert sender.move("60", f"{TOTP(other.bin_key).token():06d}") == (403, "totp_invalid")
    TOTPDevice.objects.filter(pk=sender.device.pk).update(confirmed=False)
    assert sender.move("60", sender.code()) == (403, "totp_invalid")
    assert sender.moved == 0


def test_the_lost_answer_is_asked_for_again_with_the_same_code(sender: Sender) -> None:
    code = sender.code()
    assert sender.move("60", code, external_id="rent") == (200, "")
    assert sender.move("60", code, external_id="rent") == (200, "")
    assert (sender.moved, Order.objects.count()) == (60, 1)


def test_a_repeat_of_a_movement_needs_its_own_code(sender: Sender) -> None:
    assert sender.move("60", sender.code()) == (200, "")
    order_id = str(Order.objects.get().public_id)
    answer = sender.api.post(f"{MOVE}/repeat", {"order_id": order_id, "totp_code": None})
    assert (answer.status_code, answer.json()["code"]) == (403, "totp_required")
    answer = sender.api.post(f"{MOVE}/repeat", {"order_id": order_id, "totp_code": sender.code(1)})
    assert answer.status_code == 200
    assert sender.moved == 120


def test_a_withdrawal_above_the_threshold(sender: Sender) -> None:
    sandbox_on()
    Policy.objects.filter(operation="WITHDRAWAL", currency__code="UAH").update(
        unit="usd",
        totp_above=Decimal(2),
        min_amount=None,
        max_amount=None,
        daily_amount=None,
        approval_above=None,
    )
    body = {"currency": "UAH", "amount": "100", "wallet_to": "sandbox:success"}
    answer = sender.api.post("/api/v1/withdrawal", {**body, "totp_code": sender.code()})
    assert answer.json()["code"] == "rate_unavailable"
    uah = Currency.objects.get(code="UAH")
    usd_rate_set(currency_id=uah.pk, price="0.02", source="bank", good_for=timedelta(hours=1), actor=SYSTEM)
    answer = sender.api.post("/api/v1/withdrawal", body)
    assert answer.status_code == 200, "worth two dollars: not above"
    answer = sender.api.post("/api/v1/withdrawal", {**body, "amount": "100.01"})
    assert (answer.status_code, answer.json()["code"]) == (403, "totp_required")
    answer = sender.api.post("/api/v1/withdrawal", {**body, "amount": "100.01", "totp_code": sender.code()})
    assert answer.status_code == 200
    assert Order.objects.count() == 2
