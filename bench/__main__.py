"""``python -m bench [NAME ...]``: measure everything, or the named groups of rows; print a table, write results.json."""

from __future__ import annotations

import importlib
import json
import pkgutil
import sys
import time
from pathlib import Path
from typing import Any

from bench import desk, fill, house, machine
from bench import rows as modules
from bench.row import REGISTER, Row

RESULTS = Path(__file__).with_name("results.json")
BUSY = 0.5


def main(names: list[str]) -> int:
    """Build the house, run the groups, tell the result. The exit code says only whether it ran."""
    if names == ["desk"]:  # in a house of its own, which is kept
        return desk.main()
    for module in sorted(pkgutil.iter_modules(modules.__path__), key=lambda module: module.name):
        importlib.import_module(f"bench.rows.{module.name}")
    known = [group.name for group in REGISTER]
    if unknown := set(names) - set(known):
        sys.exit(f"Unknown: {', '.join(sorted(unknown))}. There are: {', '.join(known)}.")
    chosen = sorted(
        (group for group in REGISTER if not names or group.name in names), key=lambda group: group.filled
    )
    before = machine.load()
    begun = time.monotonic()
    say("building the house ...")
    built = house.build()
    machine_facts = machine.facts()
    found: list[Row] = []
    try:
        for group in chosen:
            if group.filled and "filled" not in built.notes:
                say(f"preloading {fill.ENTRIES:,} entries ...")
                built.notes["filled"] = fill.fill(built)
            say(f"{group.name} ...")
            for row in group.make(built):
                say(line(row))
                found.append(row)
    finally:  # what was measured is kept, also where a later group fails
        facts = {**machine_facts, "seconds": round(time.monotonic() - begun), **_load(before)}
        content = {"machine": facts, "rows": [row.as_json() for row in found]}
        RESULTS.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n")
    summary(facts, found)
    return 0


def line(row: Row) -> str:
    """One row of the table."""
    verdict = {True: "met", False: "NOT MET", None: ""}[row.met]
    columns = [figure(row.ours), figure(row.peer), figure(row.ratio), row.goal or "", verdict]
    return f"  {row.name:<62} {row.unit:<12}" + "".join(
        f" {text:>{width}}" for text, width in zip(columns, (10, 10, 8, 16, 8), strict=True)
    )


def figure(value: float | None) -> str:
    """Three digits or more, thousands apart."""
    if value is None:
        return "-"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def summary(facts: dict[str, Any], found: list[Row]) -> None:
    """Where it was measured, and what missed its goal."""
    say(f"\n{facts['cores']} cores, PostgreSQL {facts['postgresql']}, {facts['seconds']} s; {facts['note']}")
    if not facts["durable"]:
        say(
            "The server is NOT durable (fsync or the like is off): shares of the limit mean nothing for a real one."
        )
    judged = [row for row in found if row.met is not None]
    missed = [row for row in judged if not row.met]
    say(
        f"{len(judged) - len(missed)} of {len(judged)} goals met; written to {RESULTS.parent.name}/{RESULTS.name}"
    )
    for row in missed:
        say(f"  NOT MET: {row.name}: {figure(row.judged)}, goal {row.goal}")


def say(text: str) -> None:
    """Print at once."""
    print(text, flush=True)


def _load(before: float) -> dict[str, Any]:
    """Load that was there before we began is somebody else's."""
    note = "the machine was quiet before the run"
    if before > BUSY:
        note = f"OTHER LOAD was present (load average {before} before the run): ratios count, absolute figures don't"
    return {"load_before": before, "load_after": machine.load(), "note": note}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
