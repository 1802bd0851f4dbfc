"""What the ``core`` queue does, and the door through which schedules run."""

from __future__ import annotations

from django.utils.module_loading import import_string

from kauri.common.actor import SYSTEM
from kauri.core import proposals, sealing, services, switches


def heartbeat(cluster: str) -> None:
    """Sign of life of the cluster that runs this."""
    services.heartbeat(cluster)


def idempotency_forget() -> None:
    """Drop stored answers past their life."""
    services.idempotency_forget()


def proposals_apply() -> None:
    """What was approved for now takes effect; what nobody decided on expires."""
    proposals.apply_due(SYSTEM)


def audit_seal() -> None:
    """Entries of the audit that wait go into the chain."""
    sealing.audit_seal()


def audit_verify() -> None:
    """Prove the whole chain of the audit."""
    sealing.audit_verify()


def switches_expire() -> None:
    """Switches whose time is over."""
    switches.switches_expire(SYSTEM)


def run_scheduled(name: str, path: str) -> None:
    """Run the task at ``path`` and record how it ended under the schedule's name."""
    with services.schedule_run(name):
        import_string(path)()
