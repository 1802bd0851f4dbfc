"""The local Ethereum node: installs a pinned ``anvil``, starts it, and keeps its chain through hard stops.

The binary comes out of the npm package that carries it; nothing of that package is run, and the bytes
are compared with :data:`SHA256` each time. ``ANVIL_BIN`` names another binary to use instead.

Run as a program (``python -m compose.local.anvil``) it installs and prints the path.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from compose.local import places
from compose.local.console import SetupError, say

if TYPE_CHECKING:
    from collections.abc import Iterator

VERSION = "1.7.1"
PACKAGE = "@foundry-rs/anvil-linux-amd64"
SHA256 = "10c1c727d6c1de973aeb160e59875b9a9a23464d6e74149ee8abb30b3500311b"
CHAIN_ID = 31337
#: Seconds between two dumps of the chain: what a SIGKILL may cost. SIGTERM costs nothing.
STATE_INTERVAL = 5
#: Old account states the node keeps in memory; each may grow to some 3 MB (EIP-2935's ring of hashes),
#: and without a bound the node writes every one of them to a disk cache that nobody clears.
KEPT_STATES = 32
INSTALL_SECONDS = 180


def ensure_installed() -> Path:
    """Return the path of the binary, installing it on the first call.

    Raises :class:`SetupError`, one line, when that is not possible here.
    """
    override = os.environ.get("ANVIL_BIN")
    if override:
        if not os.access(override, os.X_OK):
            raise SetupError(f"ANVIL_BIN names {override}, which is not a program that can be run.")
        return Path(override)
    if platform.system() != "Linux" or platform.machine() not in {"x86_64", "AMD64"}:
        raise SetupError(f"No pinned anvil for this machine: install anvil {VERSION}, set ANVIL_BIN to it.")
    folder = places.STATE / "nodes"
    binary = folder / f"anvil-{VERSION}"
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder / "install.lock"):
        if not binary.exists() or _digest(binary) != SHA256:
            _install(folder, binary)
    return binary


def start(port: int, *, state: Path | None, block_time: int | None, log: Path) -> subprocess.Popen[bytes]:
    """Start a node on 127.0.0.1:``port`` and return its process, which leads its own process group.

    ``state``: the file that keeps the chain between starts; None: a fresh chain that is forgotten.
    ``block_time``: seconds between blocks; None: blocks come only when they are asked for.
    The node is not yet answering when this returns; poll it. Stop it with SIGTERM: it then writes its
    chain. After a SIGKILL at most the last :data:`STATE_INTERVAL` seconds are missing.
    """
    argv = [str(ensure_installed()), "--host", "127.0.0.1", "--port", str(port), "--quiet"]
    argv += ["--chain-id", str(CHAIN_ID), "--hardfork", "prague", "--slots-in-an-epoch", "4"]
    argv += ["--prune-history", str(KEPT_STATES)]
    argv += ["--no-mining"] if block_time is None else ["--block-time", str(block_time)]
    if state is not None:
        state.parent.mkdir(parents=True, exist_ok=True)
        _choose_state(state)
        argv += ["--state", str(state), "--state-interval", str(STATE_INTERVAL)]
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as sink:
        node = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=sink, stderr=subprocess.STDOUT, start_new_session=True
        )
    if state is not None:
        threading.Thread(target=_keep_copies, args=(node, state), name="chain-state", daemon=True).start()
    return node


def _install(folder: Path, binary: Path) -> None:
    npm = shutil.which("npm")
    if npm is None:
        raise SetupError("npm is needed once to fetch anvil: install Node.js with npm, or set ANVIL_BIN.")
    with tempfile.TemporaryDirectory(dir=folder, prefix="fetch-") as work:
        argv = [npm, "install", "--ignore-scripts", "--no-audit", "--no-fund", "--no-save"]
        argv += ["--no-package-lock", "--loglevel", "error", "--prefix", work, f"{PACKAGE}@{VERSION}"]
        try:
            done = subprocess.run(
                argv,
                cwd=work,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=INSTALL_SECONDS,
            )
        except subprocess.TimeoutExpired:
            raise SetupError(f"npm took over {INSTALL_SECONDS} s to fetch {PACKAGE}; try again.") from None
        found = Path(work, "node_modules", PACKAGE, "bin", "anvil")
        if done.returncode != 0 or not found.exists():
            why = [line for line in done.stderr.splitlines() if line.strip()]
            raise SetupError(f"npm could not fetch {PACKAGE}@{VERSION}: {why[0] if why else 'no reason'}")
        if _digest(found) != SHA256:
            raise SetupError(f"{PACKAGE}@{VERSION} is not the pinned program (SHA-256); not installed.")
        found.chmod(0o755)
        found.replace(binary)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """One installer at a time, across processes."""
    with path.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _digest(path: Path) -> str:
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def _copy_of(state: Path) -> Path:
    return state.with_name(state.name + ".copy")


def _choose_state(state: Path) -> None:
    """Leave a whole state file, or none, at ``state``.

    The node writes its file in place: a SIGKILL in the middle of that leaves half a file, on which the
    next start would fail. Then the copy is taken; what cannot be read is put aside, not deleted. Where
    there is no file at all, somebody wants a fresh chain.
    """
    copy = _copy_of(state)
    if not state.exists():
        copy.unlink(missing_ok=True)
        return
    if _is_whole(state):
        shutil.copyfile(state, copy)
        return
    state.replace(state.with_name(state.name + ".broken"))
    if _is_whole(copy):
        shutil.copyfile(copy, state)


def _is_whole(path: Path) -> bool:
    try:
        with path.open("rb") as handle:
            return isinstance(json.load(handle), dict)
    except (OSError, ValueError):
        return False


def _keep_copies(node: subprocess.Popen[bytes], state: Path) -> None:
    """While the node lives, copy its file whenever it is between two writes."""
    copied = 0
    while node.poll() is None:
        time.sleep(1)
        with suppress(OSError):
            copied = _copy_when_quiet(state, copied)


def _copy_when_quiet(state: Path, copied: int) -> int:
    """Copy a file that has been still for a second; return its time of writing in ns (0: none yet)."""
    before = state.stat()
    if before.st_mtime_ns == copied or time.time() - before.st_mtime < 1:
        return copied
    fresh = state.with_name(state.name + ".copying")
    shutil.copyfile(state, fresh)
    after = state.stat()
    if (after.st_mtime_ns, after.st_size) != (before.st_mtime_ns, before.st_size):
        return copied
    fresh.replace(_copy_of(state))
    return after.st_mtime_ns


if __name__ == "__main__":
    try:
        say(str(ensure_installed()))
    except SetupError as error:
        sys.exit(str(error))
