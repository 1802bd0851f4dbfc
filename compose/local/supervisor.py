"""Starts Kauri's processes, restarts the ones that die, and stops them in order so that nothing stays behind.

Each process leads a session of its own. This process adopts what any of them leaves behind (a "subreaper"), so that the end of one
is the end of all it started.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from compose.local import shell
from compose.local.console import SetupError, say
from compose.local.processes import born, children, end_session

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

PR_SET_CHILD_SUBREAPER = 36
QUICK_SECONDS = 15.0
QUICK_DEATHS = 3
LONGEST_PAUSE = 30.0
POLL_SECONDS = 0.5


@dataclass
class Member:
    """One process to keep alive.

    ``start`` returns it leading its own session. It serves once it has lived for ``settle`` seconds and ``ready`` says so.
    """

    name: str
    start: Callable[[], subprocess.Popen[bytes]]
    log: Path
    ready: Callable[[], bool] = lambda: True
    stop_signal: signal.Signals = signal.SIGTERM
    grace: float = 10.0
    settle: float = 0.0
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    deaths: int = 0
    retry_at: float = field(default=0.0)

    def serves(self) -> bool:
        """Whether it runs, and does what it is there for."""
        running = self.process is not None and self.process.poll() is None
        return running and time.monotonic() - self.started >= self.settle and self.ready()


class Supervisor:
    """The members in the order in which they were started; they stop in ``stop_order`` (names; others last, latest first)."""

    def __init__(self, record: Path | None = None, stop_order: tuple[str, ...] = ()) -> None:
        self.members: list[Member] = []
        self.record = record
        self.stop_order = stop_order
        self.started_well = False
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)

    def start(self, member: Member) -> None:
        """Start one process and keep it from now on."""
        self.members.append(member)
        self._launch(member)

    def wait_ready(self, seconds: float) -> None:
        """Wait until every member serves, restarting what dies meanwhile; a SetupError when one doesn't get there."""
        deadline = time.monotonic() + seconds
        waiting = list(self.members)
        while waiting:
            self.tend()
            waiting = [member for member in waiting if not member.serves()]
            if waiting and time.monotonic() > deadline:
                message = (
                    f"{waiting[0].name} did not come up in {seconds:.0f} s:\n{shell.tail(waiting[0].log)}"
                )
                raise SetupError(message)
            time.sleep(0.2 if waiting else 0)

    def keep(self) -> None:
        """Watch over the members, whatever they do, until a signal's exception ends it."""
        self.started_well = True
        while True:
            self.tend()
            time.sleep(POLL_SECONDS)

    def tend(self) -> None:
        """One look: bury the dead with all they left, start again what is due."""
        now = time.monotonic()
        for member in self.members:
            if member.process is None:
                if now >= member.retry_at:
                    self._launch(member)
            elif member.process.poll() is not None:
                self._bury(member, now)

    def stop(self) -> None:
        """Stop all in order, gracefully and then by force, and end whatever they left behind."""
        rank = {name: place for place, name in enumerate(self.stop_order)}
        latest_first = list(reversed(self.members))
        for member in sorted(latest_first, key=lambda item: rank.get(item.name, len(rank))):
            if member.process is not None:
                self._end(member)
        self._end_strays(set())
        self.members.clear()
        if self.record:
            self.record.unlink(missing_ok=True)

    def _launch(self, member: Member) -> None:
        member.started = time.monotonic()
        try:
            member.process = member.start()
        except SetupError as error:
            if not self.started_well:
                raise
            self._plan_restart(member, str(error))
        self._write_record()

    def _bury(self, member: Member, now: float) -> None:
        process = member.process
        if process is None:
            return
        member.process = None
        end_session(process.pid, signal.SIGKILL)
        self._end_strays({other.process.pid for other in self.members if other.process})
        quick = now - member.started < QUICK_SECONDS
        member.deaths = member.deaths + 1 if quick else 1
        self._plan_restart(member, f"{member.name} ended ({_reason(process.returncode)})")

    def _plan_restart(self, member: Member, reason: str) -> None:
        """Try again later: after 1, 2, 4, … 30 seconds. While starting up, the third quick death ends everything."""
        pause = min(2.0 ** max(member.deaths - 1, 0), LONGEST_PAUSE)
        member.retry_at = time.monotonic() + pause
        if member.deaths >= QUICK_DEATHS and not self.started_well:
            message = f"{reason}, for the third time:\n{shell.tail(member.log)}"
            raise SetupError(message)
        say(f"  !  {reason}; starting it again in {pause:.0f} s. Its log: {member.log}")
        if member.deaths == QUICK_DEATHS:
            say(shell.tail(member.log))

    def _end(self, member: Member) -> None:
        process = member.process
        if process is None:
            return
        with suppress(ProcessLookupError):
            process.send_signal(member.stop_signal)
        try:
            process.wait(member.grace)
        except subprocess.TimeoutExpired:
            say(f"  !  {member.name} did not stop in {member.grace:.0f} s: ended by force")
            end_session(process.pid, signal.SIGKILL)
            process.wait()
        end_session(process.pid, signal.SIGKILL)
        member.process = None

    def _end_strays(self, known: set[int]) -> None:
        """End what dead members left behind: it has become our child, without our having started it."""
        while True:
            strays = [pid for pid in children(os.getpid()) if pid not in known]
            if not strays:
                return
            for pid in strays:
                end_session(pid, signal.SIGKILL)
                with suppress(ProcessLookupError, ChildProcessError):
                    os.kill(pid, signal.SIGKILL)
                    os.waitpid(pid, 0)

    def _write_record(self) -> None:
        """Note who runs, so that 'make stop' can end them even where this process was killed."""
        if not self.record:
            return
        running = [(member.name, member.process.pid) for member in self.members if member.process]
        found = [{"name": name, "pid": pid, "born": born(pid)} for name, pid in running]
        content = {"pid": os.getpid(), "born": born(os.getpid()), "members": found}
        new = self.record.with_suffix(".new")
        new.write_text(json.dumps(content, indent=1))
        new.rename(self.record)


def _reason(code: int) -> str:
    """'exit code 1', or 'signal SIGKILL'."""
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"signal {signal.Signals(-code).name}"
    except ValueError:
        return f"signal {-code}"
