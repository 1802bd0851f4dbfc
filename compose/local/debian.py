"""Debian packages: installed for everyone as root, or downloaded and unpacked in a private folder as anybody.

The private way has its own lists and cache, and leaves the machine's apt and dpkg as they are.
"""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

from compose.local import places, shell

SOURCES = Path("/etc/apt/sources.list.d")
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
SETTINGS = """\
Dir::Etc::sourcelist "{here}/none";
Dir::Etc::sourceparts "{here}/sources";
Dir::Etc::preferencesparts "{here}/preferences";
Dir::State "{here}/state";
Dir::State::status "{here}/state/status";
Dir::Cache "{here}/cache";
APT::Install-Recommends "false";
APT::Sandbox::User "";
Acquire::Languages "none";
Acquire::Retries "3";
"""


def is_root() -> bool:
    """Whether packages can be installed for the whole machine."""
    return os.geteuid() == 0


def install(packages: list[str]) -> bool:
    """Install for the whole machine, where we are root on a machine with apt; say whether that worked."""
    if not is_root() or not shutil.which("apt-get"):
        return False
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    command = ["apt-get", "install", "-y", "--no-install-recommends", *packages]
    # the lists of a fresh image are empty, those of an old one stale: only then is an update worth its time
    if shell.attempt(command, env=env):
        return True
    return shell.attempt(["apt-get", "update"], env=env) and shell.attempt(command, env=env)


def unpack(packages: list[str], target: Path, *, suite: str | None = None) -> bool:
    """Download ``packages`` with all they need (from ``suite``, default this machine's own) and unpack them under ``target``.

    Nothing is configured and no maintainer script runs. Without ``suite`` only what the machine lacks is fetched.
    """
    mirror = _mirror()
    suite_name = suite or _own_suite()
    tools = all(shutil.which(tool) for tool in ("apt-get", "dpkg-deb"))
    if not (mirror and suite_name and tools and KEYRING.exists()):
        return False
    here = places.STATE / "apt"
    shutil.rmtree(here, ignore_errors=True)
    for folder in ("sources", "preferences", "state/lists/partial", "cache/archives/partial"):
        (here / folder).mkdir(parents=True)
    status = here / "state/status"
    status.touch()
    if suite is None:
        shutil.copyfile("/var/lib/dpkg/status", status)
    source = f"Types: deb\nURIs: {mirror}\nSuites: {suite_name}\nComponents: main\nSigned-By: {KEYRING}\n"
    (here / "sources/kauri.sources").write_text(source)
    (here / "apt.conf").write_text(SETTINGS.format(here=here))
    env = {**os.environ, "APT_CONFIG": str(here / "apt.conf"), "DEBIAN_FRONTEND": "noninteractive"}
    fetched = shell.attempt(["apt-get", "update"], env=env) and shell.attempt(
        ["apt-get", "install", "-y", "--download-only", *packages], env=env
    )
    target.mkdir(parents=True, exist_ok=True)
    archives = sorted((here / "cache/archives").glob("*.deb"))
    unpacked = fetched and all(shell.attempt(["dpkg-deb", "-x", archive, target]) for archive in archives)
    shutil.rmtree(here, ignore_errors=True)
    return unpacked


def _mirror() -> str | None:
    """The mirror this machine already uses for Debian proper (its security archive has a suite of its own name)."""
    files = [
        *sorted(SOURCES.glob("*.sources")),
        *sorted(SOURCES.glob("*.list")),
        Path("/etc/apt/sources.list"),
    ]
    for file in files:
        text = file.read_text(errors="replace") if file.exists() else ""
        for uri in re.findall(r"^(?:URIs:|deb(?: \[[^]]*])?)\s+(\S+)", text, re.MULTILINE):
            if uri.rstrip("/").endswith("/debian"):
                return str(uri)
    return None


def _own_suite() -> str | None:
    """The code name of this Debian, or None on another distribution."""
    try:
        release = Path("/etc/os-release").read_text()
    except OSError:
        return None
    if not re.search(r"^ID=debian$", release, re.MULTILINE):
        return None
    found = re.search(r"^VERSION_CODENAME=(\w+)$", release, re.MULTILINE)
    return found.group(1) if found else None
