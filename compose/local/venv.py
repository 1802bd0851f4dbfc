"""Makes and keeps ``.venv``: the locked dependencies, checked by hash, compiled, and left alone while the lock stays the same."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

from compose.local import interpreter, places, shell, uv
from compose.local.console import step

if TYPE_CHECKING:
    from pathlib import Path

RUN_LOCK = places.ROOT / "requirements.txt"
DEV_LOCK = places.ROOT / "requirements-dev.txt"
STAMP = places.VENV / "kauri-installed.json"


def ensure(*, dev: bool) -> None:
    """The environment with what running needs, or with what testing needs too (which holds all of the former)."""
    uv_command: Path | None = None
    if interpreter.probe(places.VENV_PYTHON) is None:
        uv_command = uv.ensure()
        python = interpreter.ensure(uv_command)
        with step(f"virtual environment on {python}"):
            command: list[str | Path] = [uv_command, "venv", "--clear", "--python", python, places.VENV]
            shell.must(command, "Making the virtual environment", env=uv.environment())
    installed = _installed()
    digests = {lock.name: _digest(lock) for lock in (RUN_LOCK, DEV_LOCK)}
    current = {name for name, digest in installed.items() if digests.get(name) == digest}
    wanted = DEV_LOCK if dev else RUN_LOCK
    if DEV_LOCK.name in current or wanted.name in current:
        return
    with step(f"dependencies of {wanted.name}"):
        install(wanted, uv_command or uv.ensure(), exact=dev)
    STAMP.write_text(json.dumps({wanted.name: digests[wanted.name]}))


def install(lock: Path, uv_command: Path, *, exact: bool = False, dependencies: bool = True) -> None:
    """Install a hash-pinned lock file; ``exact`` also removes what is not in it."""
    command: list[str | Path] = [
        uv_command,
        "pip",
        "sync" if exact else "install",
        "--python",
        places.VENV_PYTHON,
    ]
    command += ["--require-hashes", "--compile-bytecode"]
    command += [lock] if exact else ["-r", lock]
    command += [] if dependencies else ["--no-deps"]
    shell.must(command, f"Installing {lock.name}", env=uv.environment())


def _installed() -> dict[str, str]:
    """Lock file name to the hash it had when it was installed."""
    try:
        found = json.loads(STAMP.read_text())
    except (OSError, ValueError):
        return {}
    return {str(name): str(digest) for name, digest in found.items()}


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
