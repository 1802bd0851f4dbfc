"""Ninety days of a believable house: who came, what they paid in, what they took out, who decided."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final

from backoffice.demo import ledger_clock, people
from backoffice.demo.books import Finance
from backoffice.demo.chain import DemoChain
from kauri.account import cases
from kauri.account.cases.queue import OVERDUE_AFTER
from kauri.account.models import User, VerificationCase
from kauri.account.services import customer_verify
from kauri.balance.selectors import CustomerBalance, customer_balances
from kauri.common import clock
from kauri.common.errors import KauriError
from kauri.core.models import Currency, Provider
from kauri.deposit_order import services as deposits
from kauri.internal_movement_order import services as movements
from kauri.internal_movement_order.models import MovementDetail
from kauri.order_core.models import Order
from kauri.order_core.services import note_add
from kauri.order_core.states import OrderStatus
from kauri.payment_provider.gateway import Event, EventKind, PayoutStatus
from kauri.payment_provider.models import Payout
from kauri.wallet.services import link_create
from kauri.withdrawal_order import paying
from kauri.withdrawal_order import services as withdrawals

#: New customers a day, on an average day.
ARRIVALS: Final = 3
#: currency -> (share of orders, smallest and usual amount)
MONEY: Final = {
    "UAH": (0.45, 200, 9_000),
    "USDT": (0.12, 20, 600),
    "EUR": (0.16, 20, 400),
    "USD": (0.16, 20, 450),
    "RUB": (0.11, 500, 20_000),
}
#: Where fiat withdrawals go, and how often: a card mostly, every outcome sometimes.
DESTINATIONS: Final = (
    ("card", 0.90),
    ("sandbox:decline", 0.04),
    ("sandbox:fail", 0.02),
    ("sandbox:lost", 0.03),
    ("sandbox:delay:30", 0.01),
)
#: So many days before the end somebody asks for a level and never comes back.
LOST_INTEREST: Final = 35
#: The last stretch, whose withdrawals are left waiting for the operators.
FRESH: Final = timedelta(hours=3)


@dataclass
class Story:
    """The state of the telling."""

    start: datetime
    end: datetime
    days: int
    sandbox: Provider
    chain: DemoChain
    operators: dict[str, User]
    chance: random.Random = field(default_factory=lambda: random.Random(20_260))  # noqa: S311 - no secret
    customers: list[User] = field(default_factory=list)
    cards: dict[int, str] = field(default_factory=dict)
    number: int = 0

    def tell(self) -> None:
        """Go through the days; within a day in the order of the clock."""
        finance = Finance(self.operators, self.chance)
        for day in range(self.days):
            morning = self.start + timedelta(days=day)
            with ledger_clock.at(morning):
                finance.morning(day, morning.date())
                if self.days - day == LOST_INTEREST:
                    for user in self._verifiable()[:1]:
                        people.verification(user, papers=False)
            for moment, act in sorted(self._plan(day, morning), key=lambda item: item[0]):
                if moment < self.end:
                    with ledger_clock.at(moment):
                        act()
            with ledger_clock.at(min(morning + timedelta(days=1), self.end)):
                deposits.deposits_expire()
                cases.cases_sweep()
        with ledger_clock.at(self.end - OVERDUE_AFTER - FRESH):
            for user in self._verifiable()[:1]:
                people.verification(user)
        with ledger_clock.at(self.end - FRESH):
            finance.corrections(self.chance.choice(self.customers), self.end)
        self._last_hours()
        with ledger_clock.at(self.end):
            finance.proof()

    def _plan(self, day: int, morning: datetime) -> list[tuple[datetime, Callable[[], None]]]:
        # Growth over the months, and quiet week-ends.
        pace = (0.5 + day / self.days) * (0.6 if morning.weekday() >= 5 else 1.0)  # noqa: PLR2004 - Saturday
        acts: list[tuple[datetime, Callable[[], None]]] = [
            (self._hour(morning), self._arrival) for _ in range(max(1, round(ARRIVALS * pace)))
        ]
        acts += [(self._hour(morning), self._deposit) for _ in range(round(15 * pace) + 1)]
        acts += [(self._hour(morning), self._withdrawal) for _ in range(round(14 * pace))]
        acts += [(self._hour(morning), self._movement) for _ in range(round(3 * pace))]
        if day % 30 == 20:  # noqa: PLR2004 - once a month the chain changes its mind
            acts.append((self._hour(morning), self._taken_back))
        return acts

    def _taken_back(self) -> None:
        if self.customers:
            self.chain.lost_deposit(self.chance.choice(self.customers), Decimal("64.00"))

    def _hour(self, morning: datetime) -> datetime:
        return morning + timedelta(seconds=self.chance.triangular(0, 86_399, 52_000))

    def _arrival(self) -> None:
        self.number += 1
        self.customers.append(people.customer(self.number, self.chance))

    def _currency(self) -> Currency:
        code = self.chance.choices(list(MONEY), weights=[share for share, _, _ in MONEY.values()])[0]
        return Currency.objects.get(code=code)

    def _amount(self, currency: Currency) -> Decimal:
        _, least, usual = MONEY[currency.code]
        raw = max(least, self.chance.lognormvariate(math.log(usual), 0.9))
        return Decimal(round(raw, 2)).quantize(Decimal("0.01"))

    def _deposit(self) -> None:
        if not self.customers:
            return
        user, currency = self.chance.choice(self.customers), self._currency()
        amount = self._amount(currency)
        if currency.code == "USDT":
            self.chain.deposit(user, amount)
            return
        link, _ = link_create(
            user=user,
            currency=currency,
            provider=self.sandbox,
            amount=amount,
        )
        paid = amount if self.chance.random() > 0.004 else amount + 1  # noqa: PLR2004 - an odd payer now and then
        deposits.deposit_event(
            Event(
                kind=EventKind.PAYIN,
                reference=str(link.public_id),
                provider_reference=f"SB{link.pk:08d}",
                status=PayoutStatus.CONFIRMED,
                currency=currency.code,
                amount=paid,
            ),
            self.sandbox,
        )

    def _withdrawal(self) -> None:
        order = self._ask()
        if order is not None and order.status == OrderStatus.WAITING_FOR_OPERATOR_CONFIRMATION:
            self._decide(order)
        if order is not None:
            self._pay(order)

    def _ask(self) -> Order | None:
        """Somebody with money asks for a part of it; None when the house refuses."""
        found = self._rich([user for user in self.customers if user.verification_level >= 1])
        if found is None:
            return None
        user, row = found
        part = Decimal(str(round(self.chance.uniform(0.15, 0.85), 2)))
        amount = (row.available * part).quantize(Decimal("0.01"))
        kinds, weights = zip(*DESTINATIONS, strict=True)
        kind = self.chance.choices(kinds, weights=weights)[0]
        destination = self._card(user) if kind == "card" else kind
        return self._request(user, row.currency.code, amount, destination)

    def _movement(self) -> None:
        """A customer pays another by e-mail or account number."""
        found = self._rich([user for user in self.customers if user.verification_level >= 1])
        if found is None:
            return
        sender, row = found
        receiver = self.chance.choice(self.customers)
        by = self.chance.choice((MovementDetail.AddressedBy.EMAIL, MovementDetail.AddressedBy.NUMBER))
        request = movements.MovementRequest(
            user_id=sender.pk,
            currency=row.currency.code,
            amount=(row.available * Decimal("0.2")).quantize(Decimal("0.01")),
            addressed_by=by,
            addressed_to=receiver.email if by == MovementDetail.AddressedBy.EMAIL else receiver.number,
            message=self.chance.choice(("", "For the tickets", "Thank you", "Rent, half")),
        )
        with suppress(KauriError):  # to oneself, or above a limit: the house refuses
            movements.movement_create(request=request, actor=sender.as_actor())

    def _rich(self, able: list[User]) -> tuple[User, CustomerBalance] | None:
        """Somebody of them, and fiat money of theirs that is worth a payment; None if there is none."""
        if not able:
            return None
        user = self.chance.choice(able)
        rows = [
            row
            for row in customer_balances(user.pk)
            if row.currency.code != "USDT" and row.available > MONEY.get(row.currency.code, (0, 10**9))[1]
        ]
        return (user, self.chance.choice(rows)) if rows else None

    def _request(self, user: User, code: str, amount: Decimal, destination: str) -> Order | None:
        request = withdrawals.WithdrawalRequest(
            user_id=user.pk,
            currency=code,
            amount=amount,
            destination=destination,
            ip=f"203.0.113.{user.pk % 250 + 1}",
            user_agent="Mozilla/5.0",
        )
        try:
            return withdrawals.withdrawal_create(request=request, actor=user.as_actor(ip=request.ip))
        except KauriError:
            return None

    def _card(self, user: User) -> str:
        """One card a customer, from a range that is kept for tests, with a right check digit."""
        if user.pk not in self.cards or self.chance.random() < 0.05:  # noqa: PLR2004 - a new card now and then
            body = f"411111{self.chance.randrange(10**9):09d}"
            doubled = [int(d) * 2 if i % 2 == 0 else int(d) for i, d in enumerate(body)]
            total = sum(d - 9 if d > 9 else d for d in doubled)  # noqa: PLR2004 - Luhn
            self.cards[user.pk] = f"{body}{-total % 10}"
        return self.cards[user.pk]

    def _decide(self, order: Order) -> None:
        if self.chance.random() < 0.06:  # noqa: PLR2004 - some are refused
            actor = self.operators["Treasury"].as_actor()
            withdrawals.withdrawal_reject(
                order_id=order.public_id,
                actor=actor,
                reason="The destination does not belong to the customer",
            )
            return
        if self.chance.random() < 0.05:  # noqa: PLR2004 - some deserve a word
            note_add(
                order_id=order.public_id,
                text="Called the customer: the payment is expected.",
                actor=self.operators["Support"].as_actor(),
            )
        withdrawals.withdrawal_approve(order_id=order.public_id, actor=self.operators["Treasury"].as_actor())

    def _pay(self, order: Order) -> None:
        payout = Payout.objects.filter(order_id=order.public_id).first()
        for _ in range(4):
            if payout is None or payout.state not in Payout.OPEN_STATES:
                return
            Payout.objects.filter(pk=payout.pk).update(next_attempt_at=order.created_at)
            paying.payout_advance(payout.pk)
            payout.refresh_from_db()

    def _last_hours(self) -> None:
        """What a newcomer finds on the desk: a queue, a stuck payout, people to verify."""
        moments = iter(sorted(self.end - FRESH * self.chance.random() for _ in range(40)))
        for amount in (150, 480, 75, 2_600, 1_250, 40, 900, 5_400):
            with ledger_clock.at(next(moments)):
                user = self.chance.choice([user for user in self.customers if user.verification_level >= 1])
                self.chain.deposit(user, Decimal(amount) * 2)
            with ledger_clock.at(next(moments)):
                self._request(user, "USDT", Decimal(amount), self.chain.outside_address(self.chance))
        for _ in range(6):
            with ledger_clock.at(next(moments)):
                self._ask()
        with ledger_clock.at(next(moments)):
            self._taken_back()
        with ledger_clock.at(next(moments)):
            self._stuck()
        with ledger_clock.at(next(moments)):
            for user in self.customers[:3]:
                customer_verify(
                    user_id=user.pk,
                    level=2,
                    reason="Documents checked in a video call",
                    actor=self.operators["Compliance"].as_actor(),
                )
        with ledger_clock.at(next(moments)):
            people.verifications(self._verifiable(), self.operators)
        with ledger_clock.at(next(moments)):
            people.cards(self.cards, self.operators)

    def _verifiable(self) -> list[User]:
        """Customers, the newest first, who have a level to reach and are not on their way to it."""
        there = User.objects.filter(pk__in=[user.pk for user in self.customers], created_at__lt=clock.now())
        under_way = VerificationCase.objects.filter(finished_at__isnull=True)
        newest = there.exclude(pk__in=under_way.values("user")).order_by("-pk")
        return list(newest.filter(verification_level__lt=3)[:7])

    def _stuck(self) -> None:
        user = self.chance.choice([user for user in self.customers if user.verification_level >= 1])
        link, _ = link_create(
            user=user,
            currency=Currency.objects.get(code="EUR"),
            provider=self.sandbox,
            amount=Decimal("500.00"),
        )
        event = Event(
            EventKind.PAYIN,
            str(link.public_id),
            f"SB{link.pk:08d}",
            PayoutStatus.CONFIRMED,
            "EUR",
            Decimal("500.00"),
        )
        deposits.deposit_event(event, self.sandbox)
        order = self._request(user, "EUR", Decimal("320.00"), "sandbox:lost-unsent")
        if order is not None and order.status == OrderStatus.WAITING_FOR_OPERATOR_CONFIRMATION:
            withdrawals.withdrawal_approve(
                order_id=order.public_id, actor=self.operators["Treasury"].as_actor()
            )
            self._pay(order)
