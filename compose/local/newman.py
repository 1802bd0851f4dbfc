"""Newman, which runs a Postman collection without Postman: installed once, each package compared with its digest."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from compose.local import anvil, places, shell
from compose.local.console import SetupError

if TYPE_CHECKING:
    from pathlib import Path

LOCK = places.LOCKS / "newman"
HOME = places.STATE / "newman"
PROGRAM = HOME / "node_modules" / "newman" / "bin" / "newman.js"
#: npm writes it last: a folder without it is half an installation.
DONE = HOME / "node_modules" / ".package-lock.json"
INSTALL_SECONDS = 300


def ensure_installed() -> Path:
    """Return the program's path, installing it on the first call; npm has to be callable.

    Raises :class:`SetupError`, one line, when that is not possible here.
    """
    HOME.mkdir(parents=True, exist_ok=True)
    with anvil.locked(HOME / "install.lock"):
        if not DONE.exists() or _pinned() != (LOCK / "package-lock.json").read_bytes():
            _install()
    return PROGRAM


def _pinned() -> bytes:
    kept = HOME / "package-lock.json"
    return kept.read_bytes() if kept.exists() else b""


def _install() -> None:
    npm_program = shutil.which("npm")
    if npm_program is None:
        raise SetupError("npm is needed once to fetch newman: install Node.js with npm.")
    shutil.rmtree(HOME / "node_modules", ignore_errors=True)
    for name in ("package.json", "package-lock.json"):
        shutil.copyfile(LOCK / name, HOME / name)
    argv = [npm_program, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefix", HOME]
    if not shell.attempt(argv, timeout=INSTALL_SECONDS):
        raise SetupError("npm could not fetch newman; try again.")
