"""The driver: workers are started, attacked, started again, and at last let finish."""

from __future__ import annotations

import multiprocessing
import random
import threading
from collections import Counter
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

from django.db import connection

from kauri.account.models import User
from kauri.balance import ledger
from kauri.balance.chart import AccountKind, TransferKind
from kauri.balance.ledger import Leg
from kauri.balance.services import self_check_run
from kauri.common.actor import SYSTEM, Actor
from kauri.common.ids import ledger_key
from kauri.core.models import Currency
from kauri.order_core.models import Policy
from tests.faults.attacker import NAME, Attacker, Prey
from tests.faults.client import money
from tests.faults.journal import read
from tests.faults.plan import LEAST_WITHDRAWAL
from tests.faults.worker import Orders, main
from tests.moves import sandbox_on

WORKERS = 4
START_CENTS = 150_00
#: How long a worker waits for a lock, and how long an attacker keeps one.
LOCK_TIMEOUT_MS = 100
HOLD = (0.05, 0.5)
#: Seconds between two attacks, at most: something must get done as well.
BETWEEN = 0.12
#: Full self-checks while the campaign runs.
CHECKS = 5
GRACE = 60.0


def prepare(people: list[User]) -> None:
    """Money for everybody, and no rule that needs a person or a new day."""
    sandbox_on()
    Policy.objects.update(daily_count=None, daily_amount=None, approval_above=None)
    Policy.objects.filter(operation="INTERNAL_MOVEMENT", currency__code="UAH").update(
        fee_fixed=Decimal("0.05")
    )
    Policy.objects.filter(operation="WITHDRAWAL", currency__code="UAH").update(
        min_amount=money(LEAST_WITHDRAWAL)
    )
    uah = Currency.objects.get(code="UAH")
    for person in people:
        ledger.post(
            ledger_key("faults", "start", person.pk),
            TransferKind.OPENING,
            [
                Leg(AccountKind.CAPITAL, uah, -money(START_CENTS)),
                Leg(AccountKind.CUSTOMER_AVAILABLE, uah, money(START_CENTS), customer_id=person.pk),
            ],
            actor=SYSTEM,
        )


@dataclass
class Campaign:
    """``faults`` faults in all. The journals stay in ``folder``."""

    faults: int
    folder: Path
    people: list[int]
    operator: Actor
    seed: int = 1
    done: Counter[str] = field(default_factory=Counter)

    prey: list[Prey] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.processes = multiprocessing.get_context("forkserver")
        self.processes.set_forkserver_preload(["tests.faults.preload"])
        settings = connection.settings_dict
        options = {**settings["OPTIONS"], "application_name": NAME}
        options["options"] += f" -c lock_timeout={LOCK_TIMEOUT_MS}ms"
        self.database = {"NAME": settings["NAME"], "OPTIONS": options}

    def orders(self, number: int) -> Orders:
        return Orders(number, self.seed, self.folder, self.database, self.people, int(self.operator.id))

    def run(self) -> None:
        self.prey = [self._start(number) for number in range(WORKERS)]
        attacker = Attacker(self.people, HOLD, random.Random(self.seed))
        pause = threading.Event()
        checked = 0
        try:
            while self.done.total() < self.faults:
                kind = attacker.attack(self.prey)
                self.done.update([kind] if kind else [])
                self._look(kind)
                if self.done.total() * CHECKS >= self.faults * (checked + 1):
                    checked += 1
                    check = self_check_run(full=True)
                    assert check.is_clean, check.findings
                pause.wait(attacker.chance.uniform(0, BETWEEN))
        finally:
            attacker.close()
            self._finish()

    def _look(self, kind: str) -> None:
        """Count what the workers met; start the killed one again."""
        for number, one in enumerate(self.prey):
            self.done.update(one.met())
            if not one.process.is_alive():
                assert kind == "kill", read(self.orders(number).journal).broken
                one.line.close()
                self.prey[number] = self._start(number)

    def _start(self, number: int) -> Prey:
        line, told = self.processes.Pipe(duplex=False)
        process = self.processes.Process(target=main, args=(self.orders(number), told), daemon=True)
        process.start()
        told.close()
        return Prey(process, line)

    def _finish(self) -> None:
        """Every worker ends what it began; then no connection of theirs is left."""
        self.orders(0).stop.touch()
        for one in self.prey:
            one.process.join(GRACE)
            one.line.close()
        codes = [one.process.exitcode for one in self.prey]
        for one in self.prey:
            one.process.kill()
        assert codes == [0] * WORKERS, f"workers ended with {codes}"
        pause = threading.Event()
        for _ in range(int(GRACE * 10)):
            with connection.cursor() as cursor:
                cursor.execute(
                    "select count(*) from pg_stat_activity where application_name = %s"
                    " and datname = current_database()",
                    [NAME],
                )
                if cursor.fetchone()[0] == 0:
                    return
            pause.wait(0.1)
        raise AssertionError("a killed worker's backend lives on")
