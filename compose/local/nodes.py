"""The test chains' programs: installed once, whatever that takes (``anvil`` and ``litecoind`` know how to start one)."""

from __future__ import annotations

from compose.local import anvil, litecoind, npm, places
from compose.local.console import step


def ensure() -> None:
    """Install the Ethereum node, where it is not here yet."""
    if any((places.STATE / "nodes").glob("anvil-*")):
        anvil.ensure_installed()
        return
    with step("test chain's node, from the npm registry"), npm.callable_npm():
        anvil.ensure_installed()


def ensure_bitcoin() -> None:
    """Install the Bitcoin family's node, where it is not here yet."""
    if any((places.STATE / "nodes").glob("litecoind-*")):
        litecoind.ensure_installed()
        return
    with step("Bitcoin test chain's node, from Debian's archive"):
        litecoind.ensure_installed()
