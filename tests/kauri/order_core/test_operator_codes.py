"""Above a threshold an operator proves anew that it is them: once, for this approval, and not by guessing."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal

import pytest
from django.db import IntegrityError, connection, transaction
from django_otp.oath import totp

from kauri.account.models import TOTPDevice, User
from kauri.account.second_factor import WRONG_CODES
from kauri.common.actor import SYSTEM, Actor
from kauri.core.models import AuditEntry, Currency
from kauri.exchange_rate.services import usd_rate_set
from kauri.order_core import risk
from kauri.order_core.models import ApprovalVote, OperatorLimit, Order
from kauri.withdrawal_order import services
from tests.moves import code_of, give, sandbox_on, withdraw

Ask = Callable[..., Order]
#: One that no authenticator shows: not six digits.
WRONG = "00000x"


@pytest.fixture
def ask(customer: Callable[..., User]) -> Ask:
    """A withdrawal of UAH of a new customer."""
    sandbox_on()

    def make(amount: str = "4000") -> Order:
        user = customer()
        give(user, "UAH", "10000")
        return withdraw(user, amount, currency="UAH", to="sandbox:success")

    return make


@pytest.fixture
def rate(house: None) -> None:
    usd_rate_set(
        currency_id=Currency.objects.get(code="UAH").pk,
        price="0.025",
        source="central bank",
        good_for=timedelta(hours=1),
        actor=SYSTEM,
    )


@pytest.fixture
def who(operator: Callable[..., Actor]) -> Actor:
    """Asked for a code above 50 USD, that is, 2,000 UAH."""
    actor = operator()
    TOTPDevice.objects.create(user_id=int(actor.id), name="authenticator", confirmed=True)
    OperatorLimit.objects.create(operator_id=int(actor.id), code_above=Decimal(50))
    return actor


def shown(actor: Actor) -> str:
    """What the operator's authenticator shows."""
    device = TOTPDevice.objects.get(user_id=int(actor.id))
    return f"{totp(device.bin_key, step=device.step, t0=device.t0, digits=device.digits):06d}"


def approve(order: Order, actor: Actor, code: str = "") -> str:
    return code_of(lambda: services.withdrawal_approve(order_id=order.public_id, actor=actor, code=code))


@pytest.mark.usefixtures("rate")
def test_above_the_threshold_a_code_is_asked_for_and_good_once(ask: Ask, who: Actor) -> None:
    small, big, next_one = ask("2000"), ask("2000.01"), ask()
    assert [risk.needs_code(order, int(who.id)) for order in (small, big)] == [False, True]
    assert approve(small, who) == "ok"
    assert approve(big, who) == "totp_required"
    code = shown(who)
    assert approve(big, who, code) == "ok"
    assert approve(next_one, who, code) == "totp_invalid"
    approved = ApprovalVote.objects.order_by("id").values_list("approval__order_id", flat=True)
    assert list(approved) == [small.pk, big.pk]


@pytest.mark.usefixtures("rate")
def test_wrong_codes_are_counted_and_audited_and_undo_nothing_else(ask: Ask, who: Actor) -> None:
    order = ask()
    assert [approve(order, who, WRONG) for _ in range(WRONG_CODES)] == ["totp_invalid"] * WRONG_CODES
    assert approve(order, who, shown(who)) == "rate_limited"
    assert ApprovalVote.objects.count() == 0
    entries = AuditEntry.objects.filter(verb="code_refused")
    assert [(row.actor_id, row.object_id, row.after) for row in entries] == [
        (who.id, str(order.public_id), {"act": "withdrawal_approve"})
    ] * WRONG_CODES
    assert AuditEntry.objects.filter(verb="withdrawal_approve").count() == 0


@pytest.mark.usefixtures("rate")
def test_another_operators_code_is_no_code(ask: Ask, who: Actor, operator: Callable[..., Actor]) -> None:
    other = operator()
    TOTPDevice.objects.create(user_id=int(other.id), name="authenticator", confirmed=True)
    order = ask()
    assert approve(order, who, shown(other)) == "totp_invalid"
    assert ApprovalVote.objects.count() == 0


def test_where_nobody_knows_the_worth_the_code_is_asked_for(ask: Ask, who: Actor) -> None:
    order = ask("100")
    assert approve(order, who) == "totp_required"
    assert approve(order, who, shown(who)) == "ok"


def test_a_rejection_asks_for_none(ask: Ask, who: Actor) -> None:
    order = ask()
    rejected = code_of(lambda: services.withdrawal_reject(order_id=order.public_id, actor=who, reason="no"))
    assert rejected == "ok"


def test_the_threshold_is_an_amount(who: Actor) -> None:
    update = "update order_core_operatorlimit set code_above = %s where operator_id = %s"
    for value in ("-1", "NaN"):
        with (
            pytest.raises(IntegrityError, match="operator_limit_code_above"),
            transaction.atomic(),
            connection.cursor() as cursor,
        ):
            cursor.execute(update, [value, int(who.id)])
