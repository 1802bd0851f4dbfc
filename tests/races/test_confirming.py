"""A code, the end of its time and its customer's change of mind at one moment: the money goes one way, once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from decimal import Decimal

import pytest

from kauri.account.codes import code_make
from kauri.account.models import ConfirmationCode, User
from kauri.balance.chart import TransferKind
from kauri.common import clock
from kauri.order_core.models import Order, Policy
from kauri.order_core.services import books_check
from kauri.payment_provider.models import Payout
from kauri.withdrawal_order.confirming import confirmation_expire, withdrawal_confirm
from kauri.withdrawal_order.models import ReviewRule, WithdrawalDetail
from kauri.withdrawal_order.services import withdrawal_cancel
from kauri.withdrawal_order.steps import PURPOSE
from tests.moves import as_owner, balance_of, code_of, give, sandbox_on, together, transfers, withdraw

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def user(customer: Callable[..., User]) -> User:
    sandbox_on()
    ReviewRule.objects.update(is_enabled=False)
    Policy.objects.filter(operation="WITHDRAWAL", currency__code="UAH").update(email_above=Decimal(50))
    person = customer()
    give(person, "UAH", "1000")
    return person


def asked(user: User) -> tuple[Order, str]:
    """A withdrawal that waits, and a code of it."""
    order = withdraw(user, "100", currency="UAH", to="sandbox:success")
    until = WithdrawalDetail.objects.get(pk=order.pk).confirm_until
    assert until is not None
    return order, code_make(user, PURPOSE, order.public_id, until)


def confirm(user: User, order: Order, code: str) -> Order:
    return withdrawal_confirm(
        order_id=order.public_id, code=code, totp_code="", user_id=user.pk, actor=user.as_actor()
    )


def test_many_confirms_pay_once(user: User) -> None:
    order, code = asked(user)
    said = together(8, lambda _: code_of(lambda: confirm(user, order, code)))
    assert said == ["ok"] * 8
    assert Payout.objects.filter(order_id=order.public_id).count() == 1
    assert balance_of(user, "UAH") == (Decimal(895), Decimal(105))
    assert books_check(full=True).is_clean


def test_wrong_codes_at_once_are_five_at_most(user: User) -> None:
    order, _code = asked(user)
    said = Counter(together(8, lambda number: code_of(lambda: confirm(user, order, f"{number:08d}"))))
    assert said == {"wrong_code": 8}
    assert ConfirmationCode.objects.latest("id").tries_left == 0
    assert Payout.objects.count() == 0


def test_confirm_against_expiry(user: User) -> None:
    for _ in range(3):
        order, code = asked(user)
        # The law of the trigger stands; only its moment is brought nearer.
        with as_owner() as cursor:
            cursor.execute(
                "update withdrawal_order_withdrawaldetail set confirm_until = clock_timestamp()"
                " + interval '30 milliseconds' where order_id = %s",
                [order.pk],
            )

        def act(number: int, order: Order = order, code: str = code) -> str:
            if number == 0:
                return code_of(lambda: confirm(user, order, code))
            until = WithdrawalDetail.objects.get(pk=order.pk).confirm_until
            while until is not None and clock.now() < until:
                pass
            confirmation_expire(order.pk)
            return ""

        said = together(2, act)[0]
        order.refresh_from_db()
        paid = Payout.objects.filter(order_id=order.public_id).count()
        assert (said, order.status, paid) in {
            ("ok", "PAYMENT_IN_PROGRESS", 1),
            ("wrong_state", "EXPIRED", 0),
        }
    assert books_check(full=True).is_clean


def test_cancel_against_confirm(user: User) -> None:
    for _ in range(4):
        order, code = asked(user)
        acts = [
            lambda order=order, code=code: confirm(user, order, code),
            lambda order=order: withdrawal_cancel(
                order_id=order.public_id, user_id=user.pk, actor=user.as_actor()
            ),
        ]
        said = together(2, lambda number, acts=acts: code_of(acts[number]))
        # The customer has the last word while nothing was sent.
        assert said in (["ok", "ok"], ["wrong_state", "ok"])
        order.refresh_from_db()
        states = Payout.objects.filter(order_id=order.public_id).values_list("state", flat=True)
        assert (order.status, list(states)) == ("CANCELLED", ["failed"] if said[0] == "ok" else [])
    cancelled = Order.objects.filter(status="CANCELLED").count()
    assert transfers(TransferKind.WITHDRAWAL_RELEASE) == cancelled
    assert books_check(full=True).is_clean
