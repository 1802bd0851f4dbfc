"""The local node of the Bitcoin family: ``litecoind`` out of Debian's own archive, started on a private chain.

Debian has no ``bitcoind``; ``litecoind`` is a fork of Bitcoin Core 0.21 and answers the same calls. It is
unpacked under our own folder with the libraries it was built for, and run by their loader: nothing of
the machine's packages changes. ``LITECOIND_BIN`` names another ``litecoind``, ``BITCOIND_BIN`` a
``bitcoind`` to use instead.

Run as a program (``python -m compose.local.litecoind``) it installs and prints the path.
"""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from compose.local import debian, places
from compose.local.anvil import locked
from compose.local.console import SetupError, say

VERSION = "0.21.4-1"
SUITE = "trixie"
SHA256 = "9b62c9727d1c0816887d057dddcd5ff4b70b94dbdf43584cf6469be5aca47fc1"
USER = "kauri"
PASSWORD = "kauri"


@dataclass(frozen=True)
class Program:
    """How the node is called, and whose chain it serves (``litecoin`` or ``bitcoin``)."""

    argv: tuple[str, ...]
    family: str


def ensure_installed() -> Program:
    """Return the program, installing it on the first call.

    Raises :class:`SetupError`, one line, when that is not possible here.
    """
    for variable, family in (("BITCOIND_BIN", "bitcoin"), ("LITECOIND_BIN", "litecoin")):
        override = os.environ.get(variable)
        if override:
            if not os.access(override, os.X_OK):
                raise SetupError(f"{variable} names {override}, which is not a program that can be run.")
            return Program((override,), family)
    if platform.system() != "Linux" or platform.machine() not in {"x86_64", "AMD64"}:
        raise SetupError("No pinned litecoind for this machine: install one, set LITECOIND_BIN to it.")
    folder = places.STATE / "nodes"
    root = folder / f"litecoind-{VERSION}"
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder / "install.lock"):
        if not _is_pinned(root):
            _install(folder, root)
    libraries = root / "usr/lib/x86_64-linux-gnu"
    loader = libraries / "ld-linux-x86-64.so.2"
    return Program((str(loader), "--library-path", str(libraries), str(_binary(root))), "litecoin")


def start(port: int, *, data: Path, log: Path, arguments: tuple[str, ...] = ()) -> subprocess.Popen[bytes]:
    """Start a node of a private chain on 127.0.0.1:``port``; it leads its own process group.

    ``data``: the folder that keeps the chain between starts. The node is not yet answering when this
    returns; poll it. Its RPC user and password are :data:`USER` and :data:`PASSWORD`; blocks come only
    when they are asked for. Stop it with SIGTERM.
    """
    program = ensure_installed()
    data.mkdir(parents=True, exist_ok=True)
    argv = [*program.argv, "-regtest", f"-datadir={data}", "-server", "-listen=0", "-connect=0", "-dnsseed=0"]
    argv += [f"-rpcport={port}", "-rpcbind=127.0.0.1", "-rpcallowip=127.0.0.1"]
    argv += [f"-rpcuser={USER}", f"-rpcpassword={PASSWORD}", "-fallbackfee=0.0001", "-printtoconsole=0"]
    if program.family == "litecoin":
        argv += ["-mempoolreplacement=1"]
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as sink:
        return subprocess.Popen(
            [*argv, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def _binary(root: Path) -> Path:
    # usr/bin/litecoind is a shell script around this one
    return root / "usr/lib/litecoin/litecoind"


def _install(folder: Path, root: Path) -> None:
    fresh = folder / "litecoind-fetch"
    shutil.rmtree(fresh, ignore_errors=True)
    try:
        if not debian.unpack([f"litecoind={VERSION}"], fresh, suite=SUITE):
            raise SetupError(f"apt could not fetch litecoind {VERSION} of Debian {SUITE}: set LITECOIND_BIN.")
        if not _is_pinned(fresh):
            raise SetupError(f"litecoind {VERSION} is not the pinned program (SHA-256); not installed.")
        shutil.rmtree(root, ignore_errors=True)
        fresh.replace(root)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def _is_pinned(root: Path) -> bool:
    binary = _binary(root)
    if not binary.exists():
        return False
    with binary.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest() == SHA256


if __name__ == "__main__":
    try:
        say(" ".join(ensure_installed().argv))
    except SetupError as error:
        sys.exit(str(error))
