"""What the ``report`` queue does."""

from __future__ import annotations

from kauri.report import services


def report_make(run_id: int) -> None:
    """Make one report."""
    services.report_make(run_id)


def reports_sweep() -> None:
    """Enqueue reports whose maker died."""
    services.reports_sweep()
