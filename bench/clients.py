"""Clients that do one thing over and over: processes of ours, or pgbench."""

from __future__ import annotations

import multiprocessing
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from django.db import connection

from bench import machine

PATIENCE = 60.0
WARM_CALLS = 5

Work = Callable[[], object]


class Clients(Protocol):
    """Running clients. ``count`` is what they have done so far."""

    def start(self, processes: int) -> None: ...
    def count(self) -> int: ...
    def pids(self) -> list[int]: ...
    def stop(self) -> None: ...


class OurClients:
    """Forked processes, each with a connection of its own.

    ``prepare`` is called once in each with its number and gives the function that is then called over and over.
    """

    def __init__(self, prepare: Callable[[int], Work], meanwhile: Work | None = None) -> None:
        self.prepare = prepare
        self.meanwhile = meanwhile

    def start(self, processes: int) -> None:
        connection.close()  # a socket must not be shared with a fork
        fork = multiprocessing.get_context("fork")
        self.done = fork.Array("q", processes, lock=False)
        self.over = fork.Value("b", 0, lock=False)
        self.children = [fork.Process(target=self._run, args=(number,)) for number in range(processes)]
        for child in self.children:
            child.start()
        deadline = time.monotonic() + PATIENCE
        while min(self.done) < WARM_CALLS:
            if time.monotonic() > deadline or any(child.exitcode for child in self.children):
                self.stop()
                raise RuntimeError("a client failed; its traceback is above")
            time.sleep(0.01)

    def count(self) -> int:
        return sum(self.done)

    def pids(self) -> list[int]:
        return [child.pid for child in self.children if child.pid]

    def stop(self) -> None:
        self.over.value = 1
        for child in self.children:
            child.join(PATIENCE)
        if any(child.exitcode for child in self.children):
            raise RuntimeError("a client failed; its traceback is above")

    def _run(self, number: int) -> None:
        try:
            work = self.prepare(number)
            while not self.over.value:
                work()
                self.done[number] += 1
        finally:
            connection.close()


class PgBench:
    """pgbench with prepared statements in one thread; ``counter`` is a query that tells how much was done."""

    meanwhile: Work | None = None

    def __init__(self, script: str, counter: str) -> None:
        self.script = script
        self.counter = counter

    def start(self, processes: int) -> None:
        with tempfile.NamedTemporaryFile("w", suffix=".sql", delete=False) as file:
            file.write(self.script)
        self.file = Path(file.name)
        first = self.count()
        options = ["-n", "-M", "prepared", "-j", "1", "-c", str(processes), "-T", "3600", "-f", file.name]
        self.process = subprocess.Popen(
            [str(machine.pgbench()), *options, machine.database_url()],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        deadline = time.monotonic() + PATIENCE
        while self.count() - first < WARM_CALLS * processes:
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise RuntimeError(f"pgbench failed: {self.process.communicate()[1].decode()[-500:]}")
            time.sleep(0.01)

    def count(self) -> int:
        with connection.cursor() as cursor:
            cursor.execute(self.counter)
            return int(cursor.fetchone()[0])

    def pids(self) -> list[int]:
        return [self.process.pid]

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(PATIENCE)
        self.file.unlink(missing_ok=True)
