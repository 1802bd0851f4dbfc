"""Which processes there are, read from /proc: who started whom, and whether a number still means the same one."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from compose.local import shell

if TYPE_CHECKING:
    import signal


def born(pid: int) -> int:
    """When a process started, in clock ticks since boot (with the pid: an identity); 0 if it is gone or a zombie."""
    fields = _stat(pid)
    return 0 if not fields or fields[0] == "Z" else int(fields[19])


def children(pid: int) -> list[int]:
    """The direct children of a process."""
    return [other for other in _all_pids() if (fields := _stat(other)) and int(fields[1]) == pid]


def end_session(leader: int, sign: signal.Signals) -> None:
    """Signal everything in the session (and in the process group) that ``leader`` leads or led."""
    shell.kill_group(leader, sign)
    for pid in _all_pids():
        fields = _stat(pid)
        if fields and int(fields[3]) == leader and fields[0] != "Z":
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, sign)


def _all_pids() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat after the name: state, parent, group, session, …; empty when the process is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (OSError, ValueError):
        return []
