"""The books by example, for whoever keeps books: what is posted, account by account, and what stands then.

Signs are the ledger's own: what we owe and earn is positive, what we have and spend is negative, and
each transfer sums to zero per currency. ``stands`` reads every kind in its normal sign, as a trial
balance does.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

import pytest

from kauri.account.models import User
from kauri.balance import adjustments, invariants, ledger
from kauri.balance.adjustments import Place
from kauri.balance.chart import AccountKind, TransferKind
from kauri.balance.ledger import Leg
from kauri.balance.selectors import coverage, trial_balance
from kauri.common.actor import SYSTEM, Actor
from kauri.common.documents import Document
from kauri.common.ids import ledger_key
from kauri.core.models import Currency, Provider

AVAILABLE, HELD = AccountKind.CUSTOMER_AVAILABLE, AccountKind.CUSTOMER_HELD
FLOAT, FEES, COST = AccountKind.PROVIDER_FLOAT, AccountKind.FEE_INCOME, AccountKind.PROVIDER_COST
POSITION, SUSPENSE, CAPITAL = AccountKind.EXCHANGE_POSITION, AccountKind.SUSPENSE, AccountKind.CAPITAL


class Books:
    """A ledger to write examples in."""

    def __init__(self, customer: User) -> None:
        self.customer = customer
        self.provider = Provider.objects.get(code="sandbox")
        self.steps = 0

    def leg(self, kind: AccountKind, amount: str, code: str = "UAH") -> Leg:
        owner = {}
        if kind in (AVAILABLE, HELD):
            owner = {"customer_id": self.customer.pk}
        if kind is FLOAT:
            owner = {"provider_id": self.provider.pk}
        return Leg(kind, Currency.objects.get(code=code), Decimal(amount), **owner)

    def post(self, kind: TransferKind, *legs: tuple[AccountKind, str] | tuple[AccountKind, str, str]) -> int:
        self.steps += 1
        key = ledger_key("example", self.customer.pk, self.steps)
        return ledger.post(key, kind, [self.leg(*leg) for leg in legs], actor=SYSTEM).transfer_id

    def stands(self, code: str = "UAH") -> dict[str, str]:
        """The trial balance of one currency: only what is not zero."""
        assert invariants.broken_laws() == []
        return {
            row.kind.name.lower(): f"{row.amount.normalize():f}"
            for row in trial_balance()
            if row.currency.code == code and row.amount
        }


@pytest.fixture
def books(customer: Callable[..., User]) -> Books:
    return Books(customer())


def test_a_deposit_with_a_fee_and_the_providers_cost(books: Books) -> None:
    """A customer pays in 1,000; we charge 1 %; the provider keeps 6 of ours for it."""
    books.post(
        TransferKind.DEPOSIT,
        (FLOAT, "-1000"),  # the provider holds 1,000 more for us
        (AVAILABLE, "990"),  # we owe the customer 990
        (FEES, "10"),  # we have earned 10
        (FLOAT, "6"),  # the provider took 6 of the 1,000
        (COST, "-6"),  # which is our cost
    )
    assert books.stands() == {
        "provider_float": "994",
        "customer_available": "990",
        "fee_income": "10",
        "provider_cost": "6",
    }
    # What is left to us is what was earned less what it cost: 994 - 990 = 10 - 6.
    row = next(row for row in coverage() if row.currency.code == "UAH")
    assert (row.funds - row.obligations, row.obligations) == (Decimal(4), Decimal(990))


def _money_in(books: Books, amount: str, code: str = "UAH") -> int:
    return books.post(TransferKind.DEPOSIT, (FLOAT, f"-{amount}", code), (AVAILABLE, amount, code))


def test_a_withdrawal_with_a_fee_and_the_networks_cost(books: Books) -> None:
    """The customer asks that 500 arrive; our fee is 5 on top; sending costs us 0.002 ETH of gas."""
    _money_in(books, "1000", "USDT")
    books.post(TransferKind.OPENING, (FLOAT, "-1", "ETH"), (CAPITAL, "1", "ETH"))
    order = ledger_key("example order")
    usdt = Currency.objects.get(code="USDT")
    ledger.hold(
        order,
        TransferKind.WITHDRAWAL_HOLD,
        customer_id=books.customer.pk,
        currency=usdt,
        amount=Decimal(505),
        actor=SYSTEM,
    )
    # Held money is still owed: nothing has left yet.
    assert books.stands("USDT") == {
        "provider_float": "1000",
        "customer_available": "495",
        "customer_held": "505",
    }
    ledger.capture(
        order,
        TransferKind.WITHDRAWAL_CAPTURE,
        [
            books.leg(HELD, "-505", "USDT"),
            books.leg(FLOAT, "500", "USDT"),
            books.leg(FEES, "5", "USDT"),
            books.leg(FLOAT, "0.002", "ETH"),
            books.leg(COST, "-0.002", "ETH"),
        ],
        amount=Decimal(505),
        actor=SYSTEM,
    )
    assert books.stands("USDT") == {"provider_float": "500", "customer_available": "495", "fee_income": "5"}
    assert books.stands("ETH") == {"provider_float": "0.998", "provider_cost": "0.002", "capital": "1"}


def test_an_exchange_with_a_spread(books: Books) -> None:
    """The customer gives 4,100 UAH for 100 USD; the market price is 40, so 100 UAH of it is spread.

    The position shows what the house owes the market in each currency until it hedges.
    """
    _money_in(books, "5000")
    books.post(
        TransferKind.ADJUSTMENT,
        (AVAILABLE, "-4100"),
        (POSITION, "4000"),
        (FEES, "100"),
        (AVAILABLE, "100", "USD"),
        (POSITION, "-100", "USD"),
    )
    assert books.stands() == {
        "provider_float": "5000",
        "customer_available": "900",
        "exchange_position": "4000",
        "fee_income": "100",
    }
    assert books.stands("USD") == {"customer_available": "100", "exchange_position": "-100"}


def test_a_split_payout_of_which_one_part_fails(books: Books) -> None:
    """900 goes out in two payouts of 450; the second fails: its part, and its share of the fee, come back."""
    _money_in(books, "1000")
    order = ledger_key("split order")
    ledger.hold(
        order,
        TransferKind.WITHDRAWAL_HOLD,
        customer_id=books.customer.pk,
        currency=Currency.objects.get(code="UAH"),
        amount=Decimal(910),
        actor=SYSTEM,
    )
    ledger.capture(
        order,
        TransferKind.WITHDRAWAL_CAPTURE,
        [books.leg(HELD, "-455"), books.leg(FLOAT, "450"), books.leg(FEES, "5")],
        amount=Decimal(455),
        actor=SYSTEM,
        step="capture-1",
    )
    ledger.release(
        order,
        TransferKind.WITHDRAWAL_RELEASE,
        customer_id=books.customer.pk,
        currency=Currency.objects.get(code="UAH"),
        amount=Decimal(455),
        actor=SYSTEM,
        step="release-2",
        # The failed try cost us 1 at the provider all the same.
        extra_legs=[books.leg(FLOAT, "1"), books.leg(COST, "-1")],
    )
    assert books.stands() == {
        "provider_float": "549",
        "customer_available": "545",
        "fee_income": "5",
        "provider_cost": "1",
    }


def test_a_refund_after_the_money_came_back(books: Books) -> None:
    """A payout of 200 was captured; the bank returns it days later: a new transfer, the fee kept."""
    _money_in(books, "300")
    books.post(TransferKind.WITHDRAWAL_CAPTURE, (AVAILABLE, "-202"), (FLOAT, "200"), (FEES, "2"))
    books.post(TransferKind.ADJUSTMENT, (FLOAT, "-200"), (AVAILABLE, "200"))
    assert books.stands() == {"provider_float": "300", "customer_available": "298", "fee_income": "2"}


def test_a_reversal_leaves_both_in_the_books(books: Books) -> None:
    """A deposit of 70 was booked twice. The second is reversed: four entries stand, and the sum is right."""
    _money_in(books, "70")
    twice = _money_in(books, "70")
    ledger.reverse(twice, actor=SYSTEM, reason="booked twice")
    assert books.stands() == {"provider_float": "70", "customer_available": "70"}
    with pytest.raises(Exception, match="not reversed"):
        ledger.reverse(
            ledger.reverse(twice, actor=SYSTEM, reason="booked twice").transfer_id, actor=SYSTEM, reason="?"
        )


def test_an_adjustment_out_of_suspense(books: Books, operator: Callable[..., Actor]) -> None:
    """40 came from nobody known and lay in suspense; a letter says whose it is; two people book it."""
    books.post(TransferKind.DEPOSIT, (FLOAT, "-40"), (SUSPENSE, "40"))
    assert books.stands() == {"provider_float": "40", "suspense": "40"}
    row = adjustments.adjustment_propose(
        currency_id=Currency.objects.get(code="UAH").pk,
        amount="40",
        source=Place(SUSPENSE),
        target=Place(AVAILABLE, customer_id=books.customer.pk),
        reason="the bank named the sender",
        document=Document("letter.pdf", b"%PDF-1.7"),
        actor=operator("Finance"),
    )
    assert books.stands() == {"provider_float": "40", "suspense": "40"}
    adjustments.adjustment_approve(adjustment_id=row.public_id, actor=operator("Senior"))
    assert books.stands() == {"provider_float": "40", "customer_available": "40"}


def test_an_internal_movement_moves_no_funds(books: Books, customer: Callable[..., User]) -> None:
    """100 from one customer to another, 1 of it our fee: obligations fall by the fee, funds stay."""
    _money_in(books, "150")
    other = customer()
    uah = Currency.objects.get(code="UAH")
    ledger.post(
        ledger_key("movement"),
        TransferKind.INTERNAL_MOVEMENT,
        [
            books.leg(AVAILABLE, "-101"),
            Leg(AVAILABLE, uah, Decimal(100), customer_id=other.pk),
            books.leg(FEES, "1"),
        ],
        actor=SYSTEM,
    )
    assert books.stands() == {"provider_float": "150", "customer_available": "149", "fee_income": "1"}
