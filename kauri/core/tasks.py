"""What the ``core`` queue does, and the door through which schedules run."""

from __future__ import annotations

from django.utils.module_loading import import_string

from kauri.core import services


def heartbeat(cluster: str) -> None:
    """Sign of life of the cluster that runs this."""
    services.heartbeat(cluster)


def idempotency_forget() -> None:
    """Drop stored answers past their life."""
    services.idempotency_forget()


def run_scheduled(name: str, path: str) -> None:
    """Run the task at ``path`` and record how it ended under the schedule's name."""
    with services.schedule_run(name):
        import_string(path)()
