"""Finds uv, or installs it into ``.kauri/uv`` with whatever pip the machine can offer."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

from compose.local import debian, places, shell
from compose.local.console import SetupError, step

HOME = places.STATE / "uv"
LOCK = places.LOCKS / "uv.txt"
PIP_WHEELS = Path("/usr/share/python-wheels")
SYSTEM_CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")


def environment() -> dict[str, str]:
    """The environment uv is run with: the machine's own certificates (a company's proxy signs with its own), no foreign environment."""
    env = {
        name: value
        for name, value in os.environ.items()
        if name not in ("VIRTUAL_ENV", "PYTHONPATH", "PYTHONHOME")
    }
    if SYSTEM_CERTIFICATES.exists():
        env.setdefault("UV_SYSTEM_CERTS", "true")
    env.setdefault("UV_HTTP_TIMEOUT", "120")
    return env


def ensure() -> Path:
    """A uv that runs."""
    for candidate in (shutil.which("uv"), HOME / "bin" / "uv"):
        if candidate and shell.output([candidate, "--version"]):
            return Path(candidate)
    with step("uv, from the package index"):
        return _install()


def _install() -> Path:
    """Try what needs the least first: a plain venv, a pip without venv, Debian's packages, Debian's pip unpacked privately."""
    for way in (_by_venv, _by_pip, _by_debian_packages, _by_private_pip):
        shutil.rmtree(HOME, ignore_errors=True)
        if way() and shell.output([HOME / "bin" / "uv", "--version"]):
            return HOME / "bin" / "uv"
    message = (
        "uv could not be installed: no working pip. Run 'sudo apt-get install -y python3-venv' and try again."
    )
    raise SetupError(message)


def _by_venv() -> bool:
    made = shell.attempt([sys.executable, "-m", "venv", HOME])
    return made and shell.attempt(
        [HOME / "bin" / "python", "-m", "pip", "install", "--require-hashes", "-r", LOCK]
    )


def _by_pip() -> bool:
    return shell.attempt(
        [sys.executable, "-m", "pip", "install", "--require-hashes", "--target", HOME, "-r", LOCK]
    )


def _by_debian_packages() -> bool:
    return debian.install(["python3-venv"]) and _by_venv()


def _by_private_pip() -> bool:
    """Debian's pip is a wheel in a package: take the machine's, or unpack that package here, and run the wheel as it is."""
    target = places.STATE / "pip"
    wheels = sorted(PIP_WHEELS.glob("pip-*.whl"))
    if not wheels and debian.unpack(["python3-pip-whl"], target):
        wheels = sorted((target / PIP_WHEELS.relative_to("/")).glob("pip-*.whl"))
    if not wheels:
        return False
    done = shell.attempt(
        [sys.executable, wheels[-1] / "pip", "install", "--require-hashes", "--target", HOME, "-r", LOCK]
    )
    shutil.rmtree(target, ignore_errors=True)
    return done
