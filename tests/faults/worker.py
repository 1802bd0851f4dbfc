"""One worker process: asks its plan's steps, each until it has an answer, and may be killed anywhere."""

from __future__ import annotations

import contextlib
import logging
import os
import random
import signal
import socket
import traceback
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import psycopg
from django.conf import settings
from django.db import Error, connection
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.postgresql.base import DatabaseWrapper

from tests.faults import plan
from tests.faults.client import REFUSED, Client, Unanswered
from tests.faults.journal import Journal, read

#: An answer is asked for again so often, though it is known.
AGAIN = 0.15
#: More tries than any fault explains.
TOO_OFTEN = 500
#: Clients here ask as fast as they can.
NO_LIMIT = {
    "api_rate_per_minute": 10**6,
    "api_rate_per_minute_key": 10**6,
    "api_rate_per_minute_address": 10**6,
}
READY, CUT, LOST = "ready", "cut", "answer lost"
SIGNALS = {CUT: signal.SIGUSR1, LOST: signal.SIGUSR2}


@dataclass(frozen=True)
class Orders:
    """What a worker is told at its start."""

    number: int
    seed: int
    folder: Path
    database: dict[str, Any]
    people: list[int]
    operator: int

    @property
    def journal(self) -> Path:
        return self.folder / f"worker{self.number}.jsonl"

    @property
    def stop(self) -> Path:
        return self.folder / "stop"


def main(orders: Orders, line: Connection) -> None:
    """Go on where the journal ends, until the driver says stop. ``line`` tells the driver what was met."""
    connection.settings_dict.update(orders.database)
    settings.ALLOWED_HOSTS = ["testserver"]
    settings.KAURI = settings.KAURI.model_copy(update=NO_LIMIT)
    journal = Journal(orders.journal)
    logging.root.handlers = [Hidden(journal)]
    _fail_on_signals(line)
    line.send(READY)
    worker = Worker(orders, journal)
    try:
        worker.work()
    except Exception:
        journal.note("broken", said=traceback.format_exc())
    finally:
        connection.close()


class Hidden(logging.Handler):
    """Journals what the API kept from its client: which error stood behind "internal_error"."""

    def __init__(self, journal: Journal) -> None:
        super().__init__(logging.ERROR)
        self.journal = journal

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info and record.exc_info[1]:
            self.journal.note("fail", said=_in_short(record.exc_info[1]))


class Worker:
    """Its plan's steps in their order."""

    def __init__(self, orders: Orders, journal: Journal) -> None:
        self.orders, self.journal = orders, journal
        self.client = Client(orders.people, orders.operator)
        told = read(orders.journal)
        if told.open:
            journal.note("resumed", told.open)
        self.known = {name: said[0] for name, said in told.answers.items() if said}
        last = next(reversed(told.answers), "")
        self.first = int(last.split("-")[2]) if last else 0
        self.parent = os.getppid()

    def work(self) -> None:
        number = self.first
        while not self.orders.stop.exists() and os.getppid() == self.parent:
            self.act(number)
            number += 1

    def act(self, number: int) -> None:
        """One scenario, or what is left of it."""
        for step in plan.scenario(self.orders.seed, self.orders.number, number):
            answer = self.known.get(step.name) or self.ask(step)
            if answer.startswith(REFUSED):
                return
            if step.kind not in {"roll", "reject"} and random.random() < AGAIN:
                self.ask(step)

    def ask(self, step: plan.Step) -> str:
        """Ask until there is an answer."""
        for _ in range(TOO_OFTEN):
            self.journal.note("ask", step.name)
            try:
                answer = self.client.ask(step)
            except (Error, Unanswered) as exc:
                self.journal.note("fail", step.name, _in_short(exc))
                continue
            self.journal.note("answer", step.name, answer)
            return answer
        raise AssertionError(f"{step.name} gets no answer")


def _in_short(exc: BaseException) -> str:
    """An error's kind and SQLSTATE, or its first words."""
    state = getattr(exc.__cause__, "sqlstate", None)
    return f"{type(exc).__name__}: {state or str(exc).splitlines()[0][:60]}"


def _fail_on_signals(line: Connection) -> None:
    """``CUT``: the connection breaks now, on this side. ``LOST``: the next COMMIT's answer does not come."""
    due: list[bool] = []
    commit = BaseDatabaseWrapper._commit

    def lose_answer(self: DatabaseWrapper) -> None:
        commit(self)
        if due:
            due.clear()
            line.send(LOST)
            _cut()
            with self.wrap_database_errors:
                self.connection.execute("select 1")

    def on_cut(*_: object) -> None:
        if _cut():
            line.send(CUT)

    DatabaseWrapper._commit = lose_answer
    signal.signal(SIGNALS[CUT], on_cut)
    signal.signal(SIGNALS[LOST], lambda *_: due.append(True))


def _cut() -> bool:
    raw = connection.connection
    if raw is not None:
        with contextlib.suppress(OSError, psycopg.Error):
            with socket.socket(fileno=os.dup(raw.fileno())) as line:
                line.shutdown(socket.SHUT_RDWR)
            return True
    return False
