"""The test chains' programs: installed once, whatever that takes (``anvil`` knows how to start one)."""

from __future__ import annotations

from compose.local import anvil, npm, places
from compose.local.console import step


def ensure() -> None:
    """Install the Ethereum node, where it is not here yet."""
    if any((places.STATE / "nodes").glob("anvil-*")):
        anvil.ensure_installed()
        return
    with step("test chain's node, from the npm registry"), npm.callable_npm():
        anvil.ensure_installed()
