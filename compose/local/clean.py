"""``make clean`` and ``make demo-reset``: remove what running made."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from compose.local import leftovers, places
from compose.local.console import say

if TYPE_CHECKING:
    from pathlib import Path

# what a demo's data consists of; tools, logs and the node's program stay
DEMO_DATA = ("pg", "pg.lock", "pg.new", "pg.sock", "chain*", "demo.json", "secrets.env", "mail", "files")
CACHES = (
    ".mypy_cache",
    ".ruff_cache",
    ".pytest_cache",
    ".hypothesis",
    ".import_linter_cache",
    ".coverage",
    "htmlcov",
)


def clean() -> int:
    """Stop the demo and remove all that running and testing made: data, tools, caches, the virtual environment."""
    leftovers.stop()
    for folder in (places.STATE, places.VENV, *(places.ROOT / name for name in CACHES)):
        remove(folder)
    for cache in places.ROOT.rglob("__pycache__"):
        remove(cache)
    say("Clean.")
    return 0


def forget_demo() -> None:
    """Stop the demo and remove its data, its chain and its secrets; the next start makes all of them anew."""
    leftovers.stop()
    for pattern in DEMO_DATA:
        for path in places.STATE.glob(pattern):
            remove(path)


def remove(path: Path) -> None:
    """Remove a file or a whole folder; fine when there is none."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
