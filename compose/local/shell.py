"""Runs other programs: quietly, into a log, with no standard input, and never leaving one behind."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

from compose.local import places
from compose.local.console import SetupError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path
    from types import FrameType

TAIL_LINES = 15


def tail(log: Path, lines: int = TAIL_LINES) -> str:
    """The last lines of a log, indented; empty where there is none."""
    try:
        text = log.read_text(errors="replace")
    except OSError:
        return ""
    return "\n".join(f"     | {line}" for line in text.splitlines()[-lines:])


def kill_group(pid: int, sign: signal.Signals) -> None:
    """Signal the process group that ``pid`` leads; a group that is gone is fine."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, sign)


def end_on_sigterm() -> None:
    """Let SIGTERM unwind this process as Ctrl-C does, so that what it started is ended with it."""

    def unwind(sign: int, _frame: FrameType | None) -> None:
        sys.exit(128 + sign)

    signal.signal(signal.SIGTERM, unwind)


def attempt(
    argv: Sequence[str | Path],
    *,
    env: Mapping[str, str] | None = None,
    log: Path | None = None,
    timeout: float | None = None,
) -> bool:
    """Run to the end, output into ``log`` (default: the set-up log); say whether it exited 0 within ``timeout`` seconds."""
    places.ensure_state()
    command = [str(word) for word in argv]
    with (log or places.SETUP_LOG).open("ab") as sink:
        sink.write(f"$ {shlex.join(command)}\n".encode())
        sink.flush()
        try:
            process = subprocess.Popen(
                command,
                cwd=places.ROOT,
                env=dict(os.environ if env is None else env),
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except OSError as error:
            sink.write(f"{error}\n".encode())
            return False
        try:
            return process.wait(timeout) == 0
        except subprocess.TimeoutExpired:
            return False
        finally:
            if process.poll() is None:
                kill_group(process.pid, signal.SIGKILL)
                process.wait()


def must(
    argv: Sequence[str | Path],
    what: str,
    *,
    env: Mapping[str, str] | None = None,
    log: Path | None = None,
    timeout: float | None = None,
) -> None:
    """Like ``attempt``, but a failure is a SetupError: ``what`` failed, and the end of the log."""
    if not attempt(argv, env=env, log=log, timeout=timeout):
        sink = log or places.SETUP_LOG
        message = f"{what} failed; the whole story is in {sink.relative_to(places.ROOT)}:\n{tail(sink)}"
        raise SetupError(message)


def output(
    argv: Sequence[str | Path], *, env: Mapping[str, str] | None = None, timeout: float = 60
) -> str | None:
    """Standard output of a program, stripped; None where it fails, is missing or takes longer than ``timeout`` seconds."""
    try:
        done = subprocess.run(
            [str(word) for word in argv],
            cwd=places.ROOT,
            env=dict(os.environ if env is None else env),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
