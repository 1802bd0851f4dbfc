"""The campaign's figures, below the results of a run of this folder."""

from __future__ import annotations

from typing import Any


def pytest_terminal_summary(terminalreporter: Any) -> None:
    for report in terminalreporter.stats.get("passed", []):
        for name, figures in getattr(report, "user_properties", []):
            if name == "campaign" and report.when == "call":
                terminalreporter.section("fault campaign")
                for title, counts in figures.items():
                    terminalreporter.write_line(
                        f"{title}: {sum(counts.values())}" if title == "faults" else title
                    )
                    for what, count in sorted(counts.items()):
                        terminalreporter.write_line(f"  {count:>7}  {what}")
