"""The other projects that Kauri is measured beside, installed apart from the product's own environment."""

from __future__ import annotations

import sys
from pathlib import Path

from compose.local import places, shell, uv
from compose.local.console import SetupError

LOCK = places.ROOT / "bench" / "requirements.txt"
TARGET = places.STATE / "bench-peers"
STAMP = TARGET / "installed.txt"
APPS = ["rest_framework", "rest_framework.authtoken", "mptt", "djmoney", "hordak"]


def ensure() -> bool:
    """Whether they can be imported; installs them where they are missing. Without them their rows are left out."""
    wanted = LOCK.read_text()
    if not (STAMP.exists() and STAMP.read_text() == wanted) and not _install(wanted):
        return False
    # Last on the path: what the product has itself stays the product's.
    sys.path.append(str(TARGET))
    return True


def _install(wanted: str) -> bool:
    try:
        installer = uv.ensure()
    except SetupError:
        return False
    command: list[str | Path] = [
        installer,
        "pip",
        "install",
        "--python",
        places.VENV_PYTHON,
        "--target",
        TARGET,
    ]
    if not shell.attempt([*command, "--no-deps", "--require-hashes", "-r", LOCK], env=uv.environment()):
        return False
    STAMP.write_text(wanted)
    return True
