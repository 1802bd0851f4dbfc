"""One door to the queue. A task is a dotted path and ids; its queue is the module it lives in.

The queue row is written on the caller's connection, so it commits or vanishes with the caller's
transaction. Losing or doubling a task must be harmless: the business row is the truth, and the
sweepers in ``backoffice/schedules.py`` enqueue again what is due.
"""

from __future__ import annotations

from django.conf import settings
from django_q.models import OrmQ
from django_q.tasks import async_task


def queue_of(path: str) -> str:
    """``kauri.withdrawal_order.tasks.payout_send`` -> ``withdrawal_order``."""
    parts = path.split(".")
    if len(parts) != 4 or parts[0] != "kauri" or parts[2] != "tasks":  # noqa: PLR2004 - the shape above
        raise ValueError(f"not a task path: {path}")
    return parts[1]


def enqueue(path: str, *args: str | int) -> None:
    """Put ``path(*args)`` on its module's queue, in the caller's transaction."""
    async_task(path, *args, cluster=settings.KAURI.cluster_of(queue_of(path)), task_name=path)


def enqueue_scheduled(name: str, path: str) -> None:
    """Put the schedule ``name``'s task on its module's queue; how it ends is recorded under the name."""
    async_task(
        "kauri.core.tasks.run_scheduled",
        name,
        path,
        cluster=settings.KAURI.cluster_of(queue_of(path)),
        task_name=name,
    )


def forget_queued() -> None:
    """Empty the queues: only for a history that is made, not lived. Sweepers find what is due."""
    OrmQ.objects.all().delete()


def enqueue_on(cluster: str, path: str, *args: str | int) -> None:
    """Put ``path(*args)`` on a named cluster (heartbeats)."""
    async_task(path, *args, cluster=cluster, task_name=path)
