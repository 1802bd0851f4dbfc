"""``manage.py worker CLUSTER``: runs one task cluster and replaces it when something in it dies or falls silent.

A killed idle worker can stall its whole cluster for ever, and a killed main process leaves orphans
that go on working. So the cluster lives in a process group of its own. When a process of the group
vanishes, or the group gives no sign of life (a task that it must run itself), all of it is killed
and started again; the business rows say what was under way, and the sweepers enqueue it anew.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import OperationalError, connection

from backoffice.schedules import HEARTBEAT_STALE
from backoffice.settings.env import ROOT
from kauri.common import clock
from kauri.core.models import ScheduleRun

logger = logging.getLogger(__name__)

#: Longest a stopping cluster may take to finish what it holds, in seconds.
GRACE: Final = 60
#: A starting cluster's processes come and go; after this they stay.
SETTLED: Final = timedelta(seconds=8)


class Command(BaseCommand):
    """Runs until SIGTERM or SIGINT; then the cluster finishes what it holds."""

    help = "Run a task cluster under watch"

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("cluster")

    def handle(self, *args: Any, **options: Any) -> None:
        del args
        name = str(options["cluster"])
        if name not in settings.KAURI.cluster_names():
            raise CommandError(
                f"no such cluster; KAURI_CLUSTERS names {', '.join(settings.KAURI.cluster_names())}"
            )
        stop = threading.Event()
        signal.signal(signal.SIGTERM, lambda *_: stop.set())
        signal.signal(signal.SIGINT, lambda *_: stop.set())
        cluster = Cluster(name)
        while not stop.wait(1.0):
            fault = cluster.fault()
            if fault:
                logger.warning("cluster %s: %s; starting it again", name, fault)
                cluster.kill()
                cluster = Cluster(name)
        cluster.stop()


@dataclass
class Cluster:
    """One running cluster: its process group and when it was started."""

    name: str
    started: datetime = field(default_factory=clock.now)
    members: set[int] = field(default_factory=set)
    newcomers: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        environment = {**os.environ, "Q_CLUSTER_NAME": self.name}
        self.main = subprocess.Popen(  # noqa: S603 - our own command
            [sys.executable, str(ROOT / "manage.py"), "qcluster"], env=environment, start_new_session=True
        )

    def fault(self) -> str:
        """What is wrong with the cluster, in words; '' while all is well."""
        if self.main.poll() is not None:
            return "its main process ended"
        if clock.now() - self.started < SETTLED:
            return ""
        present = processes_of(self.main.pid)
        vanished = self.members - present
        # Seen twice: between fork and exec a task's helper looks like one of the cluster's own.
        self.members |= present & self.newcomers
        self.newcomers = present
        if vanished:
            return f"process {min(vanished)} vanished"
        return "no sign of life" if is_silent(self.name, self.started) else ""

    def stop(self) -> None:
        """Let it finish what it holds, for a while; then end the group."""
        self.main.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.main.wait(GRACE)
        self.kill()

    def kill(self) -> None:
        """End the whole group: workers outlive a killed main process otherwise."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.main.pid, signal.SIGKILL)
        self.main.wait()


def processes_of(group: int) -> set[int]:
    """The living processes of a cluster's group, zombies left out.

    What a task runs beside itself (a PDF's fonts are looked for by another program) comes and goes.
    """
    found = set()
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        with contextlib.suppress(OSError, IndexError, ValueError):
            # After the command's name in parentheses: state, parent, process group.
            state, _, process_group = (entry / "stat").read_text().rpartition(")")[2].split()[:3]
            ours = int(process_group) == group and state not in {"Z", "X"}
            if ours and b"qcluster" in (entry / "cmdline").read_bytes():
                found.add(int(entry.name))
    return found


def is_silent(cluster: str, started: datetime) -> bool:
    """Asked for a sign of life long ago, and none has come."""
    now = clock.now()
    if now - started < HEARTBEAT_STALE:
        return False
    try:
        asked = ScheduleRun.objects.filter(name=f"heartbeat:{cluster}").first()
    except OperationalError:
        connection.close()
        return False
    if asked is None or asked.enqueued_at is None:
        return False
    answered = asked.finished_at is not None and asked.finished_at >= asked.enqueued_at
    return not answered and now - asked.enqueued_at > HEARTBEAT_STALE
