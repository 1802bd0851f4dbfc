"""What the ``report`` queue does."""

from __future__ import annotations

from kauri.report import exports, services


def report_make(run_id: int) -> None:
    """Make one report."""
    services.report_make(run_id)


def reports_sweep() -> None:
    """Enqueue reports whose maker died."""
    services.reports_sweep()


def export_write(export_id: int, rows_read: int) -> None:
    """One turn of an export that stands at so many rows."""
    exports.export_write(export_id, rows_read)


def exports_sweep() -> None:
    """Go on with exports whose worker died; remove what is over."""
    exports.exports_sweep()
