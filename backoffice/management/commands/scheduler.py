"""``manage.py scheduler``: puts due schedules on their queues. One works at a time; others wait."""

from __future__ import annotations

import logging
import signal
import threading
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand
from django.db import OperationalError, connection

from backoffice.schedules import HEARTBEAT_EVERY, SCHEDULES
from kauri.common import clock
from kauri.common.tasks import enqueue_on, enqueue_scheduled
from kauri.core.services import schedule_due

logger = logging.getLogger(__name__)

#: Names the session-long advisory lock that makes one scheduler the leader.
LEADER_LOCK = 747_102


class Command(BaseCommand):
    """Runs until SIGTERM or SIGINT."""

    help = "Put due schedules on their queues"

    def handle(self, *args: Any, **options: Any) -> None:
        del args, options
        stop = threading.Event()
        signal.signal(signal.SIGTERM, lambda *_: stop.set())
        signal.signal(signal.SIGINT, lambda *_: stop.set())
        while not stop.wait(1.0):
            try:
                if _is_leader():
                    tick()
            except OperationalError:
                logger.exception("the database did not answer; trying again")
                connection.close()


def tick() -> list[str]:
    """Enqueue what is due now; returns the names."""
    now = clock.now()
    done = []
    for cluster in settings.KAURI.cluster_names():
        if schedule_due(f"heartbeat:{cluster}", HEARTBEAT_EVERY, now):
            enqueue_on(cluster, "kauri.core.tasks.heartbeat", cluster)
            done.append(cluster)
    for schedule in SCHEDULES:
        if schedule_due(schedule.name, schedule.every, now):
            enqueue_scheduled(schedule.name, schedule.task)
            done.append(schedule.name)
    return done


def _is_leader() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("select pg_try_advisory_lock(%s)", [LEADER_LOCK])
        row = cursor.fetchone()
    return bool(row and row[0])
