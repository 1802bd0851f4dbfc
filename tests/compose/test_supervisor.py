"""The supervisor restarts what dies and leaves no process behind, whatever its members have started.

It runs in a process of its own here: it ends every child it does not know.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from compose.local import leftovers, places
from compose.local.demo_text import code
from compose.local.processes import born

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# A member that starts a child in a session of its own (as a worker starts its cluster) and waits for its end.
MEMBER = """
import subprocess, sys, time
child = subprocess.Popen(["sleep", "1000"], start_new_session=True)
print(child.pid, flush=True)
time.sleep(1000)
"""
RUNNER = """
import signal, subprocess, sys
from pathlib import Path
from compose.local.supervisor import Member, Supervisor

folder, *programs = map(Path, sys.argv[1:])

def stopped(*_):
    raise SystemExit(0)

def member(program):
    def start():
        with program.with_suffix(".log").open("ab") as sink:
            return subprocess.Popen([sys.executable, program], stdout=sink, stderr=sink, start_new_session=True)
    return Member(name=program.stem, start=start, log=program.with_suffix(".log"), grace=2)

signal.signal(signal.SIGTERM, stopped)
supervisor = Supervisor(folder / "run.json")
try:
    for program in programs:
        supervisor.start(member(program))
    supervisor.wait_ready(10)
    supervisor.keep()
finally:
    supervisor.stop()
"""


class Runner:
    """A supervisor over small programs, in a process of its own."""

    def __init__(self, folder: Path, *sources: str) -> None:
        self.record = folder / "run.json"
        self.programs = [folder / f"member{number}.py" for number in range(len(sources))]
        for program, source in zip(self.programs, sources, strict=True):
            program.write_text(source)
        command = [sys.executable, "-c", RUNNER, str(folder), *map(str, self.programs)]
        self.process = subprocess.Popen(command, cwd=places.ROOT, stdout=subprocess.PIPE, text=True)

    def members(self) -> list[int]:
        try:
            content: dict[str, Any] = json.loads(self.record.read_text())
        except (OSError, ValueError):
            return []
        return [entry["pid"] for entry in content["members"]]

    def children(self) -> list[int]:
        logs = [program.with_suffix(".log") for program in self.programs]
        return [
            int(line) for log in logs if log.exists() for line in log.read_text().split() if line.isdigit()
        ]


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Callable[..., Runner]]:
    started: list[Runner] = []

    def start(*sources: str) -> Runner:
        started.append(Runner(tmp_path, *sources))
        return started[-1]

    yield start
    for runner in started:
        runner.process.kill()
        runner.process.wait()
        if runner.process.stdout:
            runner.process.stdout.close()
        for pid in runner.members() + runner.children():
            if born(pid):
                os.kill(pid, signal.SIGKILL)


def until(condition: Callable[[], object], seconds: float = 15) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.05)


def test_a_killed_member_is_restarted_and_what_it_left_is_ended(run: Callable[..., Runner]) -> None:
    runner = run(MEMBER)
    until(lambda: len(runner.children()) == 1)
    member, child = runner.members()[0], runner.children()[0]
    os.kill(member, signal.SIGKILL)
    until(lambda: len(runner.children()) == 2)
    until(lambda: not born(child))
    # The record is written after the new one was born.
    until(lambda: runner.members() and runner.members()[0] != member)
    assert born(runner.children()[1])


def test_stop_leaves_no_process_and_no_record(run: Callable[..., Runner]) -> None:
    runner = run(MEMBER, MEMBER)
    until(lambda: len(runner.children()) == 2)
    pids = runner.members() + runner.children()
    assert all(map(born, pids))
    runner.process.send_signal(signal.SIGTERM)
    assert runner.process.wait(15) == 0
    assert not any(map(born, pids))
    assert not runner.record.exists()


def test_a_member_that_ignores_sigterm_is_ended_by_force(run: Callable[..., Runner]) -> None:
    runner = run("import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + MEMBER)
    until(lambda: len(runner.children()) == 1)
    pids = runner.members() + runner.children()
    runner.process.send_signal(signal.SIGTERM)
    output, _ = runner.process.communicate(timeout=15)
    assert "member0 did not stop in 2 s: ended by force" in output
    assert not any(map(born, pids))


def test_a_member_that_keeps_dying_is_tried_again_ever_later_and_its_log_is_shown(
    run: Callable[..., Runner],
) -> None:
    runner = run(
        MEMBER, "import time; time.sleep(0.8); print('out of paper', flush=True); raise SystemExit(3)"
    )
    time.sleep(6.5)
    runner.process.send_signal(signal.SIGTERM)
    output, _ = runner.process.communicate(timeout=15)
    told = [line for line in output.splitlines() if "member1 ended (exit code 3)" in line]
    assert [line.split("starting it again in ")[1].split(".")[0] for line in told[:3]] == [
        "1 s",
        "2 s",
        "4 s",
    ]
    assert "| out of paper" in output
    assert "member0 ended" not in output


def test_make_stop_ends_what_a_killed_supervisor_left(
    run: Callable[..., Runner], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    runner = run(MEMBER)
    until(lambda: len(runner.children()) == 1 and runner.record.exists())
    member = runner.members()[0]
    runner.process.kill()
    runner.process.communicate()
    assert born(member)
    monkeypatch.setattr(places, "RUN_FILE", runner.record)
    assert leftovers.stop() == 0
    assert capsys.readouterr().out == "Stopped.\n"
    assert not born(member)
    assert not runner.record.exists()


def test_make_stop_touches_no_process_that_only_has_the_same_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    record = tmp_path / "run.json"
    stranger = {"name": "web", "pid": os.getpid(), "born": born(os.getpid()) - 1}
    record.write_text(json.dumps({**stranger, "members": [stranger]}))
    monkeypatch.setattr(places, "RUN_FILE", record)
    assert leftovers.stop() == 0
    assert capsys.readouterr().out == "Kauri does not run from this checkout.\n"


def test_one_time_codes_are_those_of_the_standard() -> None:
    # RFC 6238, appendix B (SHA-1): its eight digits end in these six
    secret = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"
    assert [code(secret, now) for now in (59, 1111111109, 20000000000)] == ["287082", "081804", "353130"]
