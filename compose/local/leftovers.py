"""Ends what a demo left running: the demo itself (``make stop``), or its processes where it was killed and could not."""

from __future__ import annotations

import json
import os
import signal
import time
from contextlib import suppress
from typing import Any

from compose.local import places
from compose.local.console import say, warn
from compose.local.processes import born, end_session

STOP_SECONDS = 180.0
MEMBER_SECONDS = 10.0


def stop() -> int:
    """``make stop``: ask the running demo to stop and wait until it has; end what a killed one left."""
    record = _record()
    pid = int(record.get("pid", 0))
    if not record or not (_same(record) or any(_same(member) for member in record.get("members", []))):
        say("Kauri does not run from this checkout.")
        places.RUN_FILE.unlink(missing_ok=True)
        return 0
    if _same(record):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
        if not _gone([record], STOP_SECONDS):
            warn(f"The demo (process {pid}) did not stop in {STOP_SECONDS:.0f} s.")
            return 1
    end_all()
    say("Stopped.")
    return 0


def end_all() -> None:
    """End the recorded processes of a demo that is no more: PostgreSQL in order, the rest gracefully, then by force."""
    record = _record()
    if record and not _same(record):
        members = [member for member in record.get("members", []) if _same(member)]
        for member in members:
            sign = signal.SIGINT if member["name"] == "postgres" else signal.SIGTERM
            with suppress(ProcessLookupError):
                os.kill(int(member["pid"]), sign)
        if members and not _gone(members, MEMBER_SECONDS):
            for member in filter(_same, members):
                end_session(int(member["pid"]), signal.SIGKILL)
        places.RUN_FILE.unlink(missing_ok=True)


def _record() -> dict[str, Any]:
    try:
        found = json.loads(places.RUN_FILE.read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _same(entry: dict[str, Any]) -> bool:
    """Whether the recorded process still runs: the same pid, started at the same moment."""
    started = int(entry.get("born", 0))
    return started > 0 and born(int(entry.get("pid", 0))) == started


def _gone(entries: list[dict[str, Any]], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while any(map(_same, entries)):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True
