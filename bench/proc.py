"""CPU time of processes from /proc: the server's whole tree and the clients that load it."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from django.db import connection

TICK_NS = 1_000_000_000 // os.sysconf("SC_CLK_TCK")


def postmaster() -> int | None:
    """The server's first process; None where it does not run on this machine."""
    with connection.cursor() as cursor:
        cursor.execute("select pg_backend_pid()")
        backend = cursor.fetchone()[0]
    with suppress(OSError, ValueError, IndexError):
        if Path(f"/proc/{backend}/comm").read_text().startswith("postgres"):
            return int(_stat(backend)[1])
    return None


def cpu_ns(pids: list[int]) -> int:
    """What these processes have used so far (their first threads; all our clients have one)."""
    return sum(_used(pid) for pid in pids)


def whole_ns(pid: int) -> int:
    """What a process with all its threads, its living descendants and those it has buried have used so far."""
    used = 0
    with suppress(OSError, ValueError):
        used = sum(int(ticks) for ticks in _stat(pid)[11:15]) * TICK_NS
        for thread in Path(f"/proc/{pid}/task").iterdir():
            used += sum(whole_ns(int(child)) for child in (thread / "children").read_text().split())
    return used


def tree_ns(root: int | None) -> int | None:
    """What a process, its living children and those that it has buried have used so far."""
    if root is None:
        return None
    try:
        buried = sum(int(ticks) for ticks in _stat(root)[13:15]) * TICK_NS
        children = Path(f"/proc/{root}/task/{root}/children").read_text().split()
    except OSError:
        return None
    return buried + cpu_ns([root, *map(int, children)])


def _used(pid: int) -> int:
    with suppress(OSError, ValueError):
        return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0])
    with suppress(OSError, ValueError):
        return sum(int(ticks) for ticks in _stat(pid)[11:13]) * TICK_NS
    return 0


def _stat(pid: int) -> list[str]:
    """The fields behind the name: state, parent, ...; user and system time are 11 and 12, the children's 13 and 14."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
