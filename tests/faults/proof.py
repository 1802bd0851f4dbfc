"""What the journals say, compared with what the database says: to the cent, to the row, to the byte."""

from __future__ import annotations

import json
import random
from collections import Counter
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from kauri.balance.chart import AccountKind, TransferKind
from kauri.balance.models import Hold, Transfer
from kauri.balance.selectors import customer_balances, trial_balance
from kauri.core.models import AuditEntry, IdempotencyRecord, OutboxEvent
from kauri.order_core.models import Order
from kauri.order_core.services import books_check
from tests.faults import plan
from tests.faults.campaign import START_CENTS, WORKERS, Campaign
from tests.faults.client import OUR_CENTS, REFUSED, Client, hold_id, money
from tests.faults.journal import Told, read

#: Steps asked once more when all is over.
REPEATED = 1500
#: What a fault may look like to who asks; anything else is a mistake of ours.
ALLOWED = ("OperationalError", "InterfaceError", "Unanswered")
REFUSALS = {REFUSED + "insufficient_funds"}


@dataclass
class Expected:
    """Plain arithmetic over the answers."""

    people: list[int]
    available: Counter[int] = field(default_factory=Counter)
    held: Counter[int] = field(default_factory=Counter)
    house: Counter[AccountKind] = field(default_factory=Counter)
    kinds: Counter[TransferKind] = field(default_factory=Counter)
    #: order -> (amount, captured, released)
    holds: dict[str, list[int]] = field(default_factory=dict)
    #: comment -> the answer's order
    orders: dict[str, str] = field(default_factory=dict)
    #: step -> its transfer
    transfers: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for person in self.people:
            self.available[person] = START_CENTS
            self.house[AccountKind.CAPITAL] -= START_CENTS
            self.kinds[TransferKind.OPENING] += 1

    def add(self, step: plan.Step, answer: str) -> None:
        """A step that was done."""
        if step.kind in {"move", "withdraw"}:
            self._order(step, json.loads(answer, parse_float=Decimal))
        elif step.kind == "reject":
            hold = self.holds[self.orders[step.of]]
            self._settle(step, self.orders[step.of], hold[0], TransferKind.WITHDRAWAL_RELEASE)
        elif step.kind != "roll":
            self.transfers[step.name] = int(answer)
            self._posting(step)

    def _order(self, step: plan.Step, said: dict[str, Any]) -> None:
        leaves = int(Decimal(said["amount"]) * 100)
        fee = int(Decimal(said["fee"]) * 100)
        self.orders[step.name] = said["order_id"]
        if step.kind == "withdraw":
            self._hold(step, said["order_id"], leaves)
            return
        assert leaves == step.cents + fee
        self.kinds[TransferKind.INTERNAL_MOVEMENT] += 1
        self.available[self.people[step.who]] -= leaves
        self.available[self.people[step.to]] += step.cents
        self.house[AccountKind.FEE_INCOME] += fee

    def _posting(self, step: plan.Step) -> None:
        if step.kind == "post":
            self.kinds[TransferKind.OPENING] += 1
            self.available[self.people[step.who]] += step.cents
            self.house[AccountKind.CAPITAL] -= step.cents
        elif step.kind == "hold":
            self._hold(step, str(hold_id(step.name)), step.cents)
        elif step.kind == "release":
            self._settle(step, str(hold_id(step.of)), step.cents, TransferKind.WITHDRAWAL_RELEASE)
        else:
            self._settle(step, str(hold_id(step.of)), step.cents, TransferKind.WITHDRAWAL_CAPTURE)

    def _hold(self, step: plan.Step, order: str, cents: int) -> None:
        self.kinds[TransferKind.WITHDRAWAL_HOLD] += 1
        self.available[self.people[step.who]] -= cents
        self.held[self.people[step.who]] += cents
        self.holds[order] = [cents, 0, 0]

    def _settle(self, step: plan.Step, order: str, cents: int, kind: TransferKind) -> None:
        self.kinds[kind] += 1
        self.held[self.people[step.who]] -= cents
        if kind is TransferKind.WITHDRAWAL_RELEASE:
            self.available[self.people[step.who]] += cents
            self.holds[order][2] += cents
        else:
            self.house[AccountKind.PROVIDER_FLOAT] += cents - OUR_CENTS
            self.house[AccountKind.FEE_INCOME] += OUR_CENTS
            self.holds[order][1] += cents


@dataclass
class Proof:
    """All assertions."""

    campaign: Campaign
    told: list[Told] = field(default_factory=list)
    done: dict[str, tuple[plan.Step, str]] = field(default_factory=dict)
    refused: set[str] = field(default_factory=set)

    def check(self) -> None:
        self.told = [read(self.campaign.orders(number).journal) for number in range(WORKERS)]
        self.expected = Expected(self.campaign.people)
        for number, told in enumerate(self.told):
            self._answers(number, told)
        self._books()
        self._orders_and_holds()
        self._told_once()
        self._again()

    def figures(self) -> dict[str, dict[str, int]]:
        """How much there was."""
        steps = {
            "asked": sum(told.asked.total() for told in self.told),
            "done": len(self.done),
            "refused": len(self.refused),
            "unfinished when killed": sum(told.marks["resumed"] for told in self.told),
        }
        felt = sum((told.failures for told in self.told), Counter[str]())
        return {"faults": dict(self.campaign.done), "steps": steps, "failures seen by clients": dict(felt)}

    def _answers(self, number: int, told: Told) -> None:
        """Every step has one answer, however often it was asked and answered."""
        assert told.broken == []
        strange = [kind for kind in told.failures if not kind.startswith(ALLOWED)]
        assert (strange, told.open) == ([], "")
        for step in self._planned(number, told):
            said = set(told.answers[step.name])
            if step.kind == "reject" and told.asked[step.name] > 1:
                # Done by a try that nobody heard of: who asks again is told that it was decided.
                said = {"rejected"} if said == {REFUSED + "wrong_state"} else said
            assert len(said) == 1, f"{step.name}: {said}"
            [answer] = said
            if answer.startswith(REFUSED):
                assert answer in REFUSALS, f"{step.name}: {answer}"
                self.refused.add(step.name)
            else:
                self.done[step.name] = (step, answer)
                self.expected.add(step, answer)

    def _planned(self, number: int, told: Told) -> list[plan.Step]:
        """The steps that were asked, which are the plan's first ones without a gap."""
        steps: list[plan.Step] = []
        scenario = 0
        while len(steps) < len(told.answers):
            planned = plan.scenario(self.campaign.seed, number, scenario)
            steps += [step for step in planned if step.name in told.answers]
            scenario += 1
        assert [step.name for step in steps] == list(told.answers)
        return steps

    def _books(self) -> None:
        expected = self.expected
        for person in expected.people:
            [uah] = [row for row in customer_balances(person) if row.currency.code == "UAH"]
            assert (uah.available, uah.held) == (
                money(expected.available[person]),
                money(expected.held[person]),
            )
        signed = {total.kind: total.amount for total in trial_balance() if total.currency.code == "UAH"}
        assert signed[AccountKind.CAPITAL] == money(expected.house[AccountKind.CAPITAL])
        assert signed[AccountKind.FEE_INCOME] == money(expected.house[AccountKind.FEE_INCOME])
        assert signed[AccountKind.PROVIDER_FLOAT] == -money(expected.house[AccountKind.PROVIDER_FLOAT])
        assert Counter(Transfer.objects.values_list("kind", flat=True)) == expected.kinds
        check = books_check(full=True)
        assert check.is_clean, check.findings

    def _orders_and_holds(self) -> None:
        expected = self.expected
        orders = {row.comment: row for row in Order.objects.all()}
        assert Order.objects.count() == len(orders) == len(expected.orders)
        assert {name: str(row.public_id) for name, row in orders.items()} == expected.orders
        holds = {str(row.order_id): [row.amount, row.captured, row.released] for row in Hold.objects.all()}
        assert holds == {order: [money(cents) for cents in row] for order, row in expected.holds.items()}
        written = Transfer.objects.filter(order_id__isnull=True) | Transfer.objects.filter(
            reference__in=expected.transfers
        )
        named = {row.reference: row.pk for row in written if row.reference}
        assert named == expected.transfers

    def _told_once(self) -> None:
        """What goes with each order in its transaction: events, stored answers, operators' deeds."""
        kinds = Counter(step.kind for step, _ in self.done.values())
        rejected = sum(1 for said in self.done.values() if said[1] == "rejected")
        for kind in ("internal_movement.closed", "internal_movement.received"):
            assert OutboxEvent.objects.filter(kind=kind).count() == kinds["move"]
        assert IdempotencyRecord.objects.count() == kinds["move"] + kinds["withdraw"]
        assert AuditEntry.objects.filter(verb="withdrawal_reject").count() == rejected == kinds["reject"]

    def _again(self) -> None:
        """Asked once more, now that nothing fails: the first answers, and nothing moves."""
        before = Transfer.objects.count(), Order.objects.count()
        client = Client(self.campaign.people, int(self.campaign.operator.id))
        rows = [row for row in self.done.values() if row[0].kind not in {"roll", "reject"}]
        for step, answer in random.Random(0).sample(rows, min(REPEATED, len(rows))):
            assert client.ask(step) == answer
        assert (Transfer.objects.count(), Order.objects.count()) == before
