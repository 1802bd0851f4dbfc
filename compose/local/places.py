"""Where things lie: the checkout, and ``.kauri/`` in it, which holds everything that running it creates."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
STATE = ROOT / ".kauri"
LOGS = STATE / "logs"
LOCKS = Path(__file__).resolve().parent / "locks"
VENV = ROOT / ".venv"
VENV_BIN = VENV / "bin"
VENV_PYTHON = VENV_BIN / "python"
SETUP_LOG = LOGS / "setup.log"
RUN_FILE = STATE / "run.json"
SECRETS = STATE / "secrets.env"
DEMO_FILE = STATE / "demo.json"
CHAIN_FILE = STATE / "chain.json"
CHAIN_STATE = STATE / "chain-state.json"
BITCOIN_FILE = STATE / "chain-bitcoin.json"
BITCOIN_DATA = STATE / "chain-bitcoin"
DEMO_DATABASE = STATE / "pg"


def ensure_state() -> None:
    """Make ``.kauri`` and its log folder.

    Others may enter both (PostgreSQL may run under another uid); what is secret in them has its own mode.
    """
    LOGS.mkdir(parents=True, exist_ok=True)
