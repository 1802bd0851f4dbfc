"""``manage.py worker CLUSTER``: runs one task cluster and replaces it when it falls silent.

A killed idle worker can stall its whole cluster, and a killed main process leaves orphans that go
on working. So the cluster lives in a process group of its own, is watched by its heartbeat (a task
that it must run itself), and is killed as a group and started again when it goes quiet.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import subprocess
import sys
import threading
from datetime import datetime
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import OperationalError, connection

from backoffice.schedules import HEARTBEAT_STALE
from backoffice.settings.env import ROOT
from kauri.common import clock
from kauri.core.models import ScheduleRun

logger = logging.getLogger(__name__)

#: Longest a stopping cluster may take to finish what it holds, in seconds.
GRACE = 60


class Command(BaseCommand):
    """Runs until SIGTERM or SIGINT; then the cluster finishes what it holds."""

    help = "Run a task cluster under watch"

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("cluster")

    def handle(self, *args: Any, **options: Any) -> None:
        del args
        cluster = str(options["cluster"])
        if cluster not in settings.KAURI.cluster_names():
            raise CommandError(
                f"no such cluster; KAURI_CLUSTERS names {', '.join(settings.KAURI.cluster_names())}"
            )
        stop = threading.Event()
        signal.signal(signal.SIGTERM, lambda *_: stop.set())
        signal.signal(signal.SIGINT, lambda *_: stop.set())
        child, started = _start(cluster), clock.now()
        while not stop.wait(2.0):
            if child.poll() is not None or _is_silent(cluster, started):
                logger.warning("cluster %s stopped working; starting it again", cluster)
                _kill(child)
                child, started = _start(cluster), clock.now()
        child.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(GRACE)
        _kill(child)


def _start(cluster: str) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "Q_CLUSTER_NAME": cluster}
    return subprocess.Popen(  # noqa: S603 - our own command
        [sys.executable, str(ROOT / "manage.py"), "qcluster"], env=environment, start_new_session=True
    )


def _kill(child: subprocess.Popen[bytes]) -> None:
    """End the whole group: workers outlive a killed main process otherwise."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()


def _is_silent(cluster: str, started: datetime) -> bool:
    """Asked for a sign of life long ago, by this cluster's own time, and none has come."""
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
