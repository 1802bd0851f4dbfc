"""Facts of the machine and the server that the figures were taken on."""

from __future__ import annotations

import os
import platform
import shlex
import shutil
import sys
from functools import cache
from pathlib import Path
from typing import Any

from django.db import connection
from django.utils import timezone

from backoffice.settings import base
from compose.local import pg_binaries

SETTINGS = ("fsync", "synchronous_commit", "full_page_writes", "shared_buffers", "max_wal_size")


def database_url() -> str:
    """What DATABASE_URL says: libpq's programs understand it as it is."""
    return str(base.KAURI.database_url)


@cache
def pgbench() -> Path:
    """The pgbench beside the psql that ``make`` uses; it comes with every build that we know."""
    beside = pg_binaries.ensure() / "pgbench"
    found = beside if beside.exists() else shutil.which("pgbench")
    if not found:
        sys.exit(
            "pgbench is missing: it is the limit that the ledger is measured against (Debian: postgresql)"
        )
    return Path(found)


def facts() -> dict[str, Any]:
    """Cores, versions, what the server promises, and the load at this moment."""
    with connection.cursor() as cursor:
        cursor.execute("show server_version")
        version = cursor.fetchone()[0]
        cursor.execute("select name, current_setting(name) from unnest(%s::text[]) name", [list(SETTINGS)])
        settings = dict(cursor.fetchall())
    return {
        "date": timezone.now().isoformat(timespec="seconds"),
        "command": command(),
        "cores": os.cpu_count(),
        "processor": _processor(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "python": platform.python_version(),
        "postgresql": version,
        "durable": all(settings[name] == "on" for name in SETTINGS[:3]),
        "settings": settings,
    }


def command() -> str:
    """How this run was called, with the variables that change what is measured."""
    given = [f"{name}={value}" for name, value in sorted(os.environ.items()) if name.startswith("BENCH_")]
    return shlex.join([*given, "python", "-m", "bench", *sys.argv[1:]])


def load() -> float:
    """Processes that wanted a core in the last minute."""
    return round(os.getloadavg()[0], 2)


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
