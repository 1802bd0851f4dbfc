"""Does harm to the workers, one fault at a time, and tells whether it met anybody."""

from __future__ import annotations

import contextlib
import os
import random
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess

import psycopg
from django.db import connection

from tests.faults.worker import CUT, LOST, READY, SIGNALS

#: What workers' connections are called, so that nobody else's is ended.
NAME = "kauri-faults"
KINDS = {"terminate": 30, CUT: 25, LOST: 25, "lock": 13, "kill": 7}
#: Lock holders at a time.
HOLDERS = 2
_PREY = (
    "select pid from pg_stat_activity where datname = current_database() and application_name = %s"
    " order by state = 'idle', random() limit 1"
)
_ROWS = (
    "select 1 from ledger_account where customer_id = any(%s) for update",
    "select 1 from account_user where id = any(%s) for update",
)


@dataclass
class Prey:
    """A worker's process; ``ready`` once it can take signals."""

    process: BaseProcess
    line: Connection
    ready: bool = False

    def can_be_hit(self) -> bool:
        return self.ready and self.process.is_alive()

    def met(self) -> list[str]:
        """The faults that it says it has met since it was asked last."""
        words: list[str] = []
        with contextlib.suppress(EOFError, OSError):
            while self.line.poll():
                words.append(self.line.recv())
        self.ready = self.ready or READY in words
        return [word for word in words if word != READY]


@dataclass
class Attacker:
    people: list[int]
    #: Seconds for which locks are held: shorter and longer than a worker waits.
    hold: tuple[float, float]
    chance: random.Random
    locks: deque[tuple[float, psycopg.Connection]] = field(default_factory=deque)

    def __post_init__(self) -> None:
        self.eye = self._connect()

    def _connect(self) -> psycopg.Connection:
        """With the rights of whoever logged in, not of the application."""
        params = {**connection.get_connection_params(), "options": "-c lock_timeout=50ms"}
        return psycopg.connect(**params, autocommit=True)

    def attack(self, prey: list[Prey]) -> str:
        """One fault; its kind, or '' when it met nobody. What a signal does, the worker tells (:meth:`Prey.met`)."""
        self.let_go(time.monotonic())
        kind = self.chance.choices(list(KINDS), weights=list(KINDS.values()))[0]
        acts: dict[str, Callable[[list[Prey]], bool]] = {
            "terminate": self._terminate,
            CUT: lambda prey: self._signal(prey, CUT),
            LOST: lambda prey: self._signal(prey, LOST),
            "lock": self._lock,
            "kill": self._kill,
        }
        return kind if acts[kind]([one for one in prey if one.can_be_hit()]) else ""

    def let_go(self, now: float) -> None:
        while self.locks and self.locks[0][0] <= now:
            self.locks.popleft()[1].close()

    def close(self) -> None:
        self.let_go(float("inf"))
        self.eye.close()

    def _terminate(self, prey: list[Prey]) -> bool:
        """A backend ends: rather one that is at work."""
        del prey
        row = self.eye.execute(f"select pg_terminate_backend(pid) from ({_PREY}) one", [NAME]).fetchone()
        return bool(row and row[0])

    def _signal(self, prey: list[Prey], fault: str) -> bool:
        pid = self.chance.choice(prey).process.pid if prey else None
        if pid is not None:
            os.kill(pid, SIGNALS[fault])
        return False

    def _kill(self, prey: list[Prey]) -> bool:
        if not prey:
            return False
        one = self.chance.choice(prey)
        one.process.kill()
        one.process.join()
        return True

    def _lock(self, prey: list[Prey]) -> bool:
        """Rows that workers want stay locked for a while."""
        del prey
        if len(self.locks) >= HOLDERS:
            return False
        holder = self._connect()
        try:
            holder.execute("begin")
            some = self.chance.sample(self.people, 2)
            holder.execute(self.chance.choice(_ROWS), [some])
        except psycopg.errors.LockNotAvailable:
            holder.close()
            return False
        until = time.monotonic() + self.chance.uniform(*self.hold)
        self.locks.append((until, holder))
        self.locks = deque(sorted(self.locks, key=lambda lock: lock[0]))
        return True
