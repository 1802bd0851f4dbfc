"""Reports, and lists as files."""

from __future__ import annotations

from kauri.report.admin import exports, reports

__all__ = ["exports", "reports"]
