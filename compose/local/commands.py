"""The commands that run inside the virtual environment: ``python -m compose.local.commands NAME``."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

from compose.local import (
    backup,
    clean,
    demo,
    demo_text,
    environment,
    leftovers,
    lock,
    places,
    shell,
    test,
)
from compose.local.console import SetupError, say

if TYPE_CHECKING:
    from collections.abc import Callable


def demo_reset() -> int:
    """Forget the demo and start a new one."""
    clean.forget_demo()
    return demo.run()


def send_tokens() -> int:
    """Send AMOUNT test USDT to the address TO on the test chain of the running demo."""
    to, amount = os.environ.get("TO", ""), os.environ.get("AMOUNT", "")
    if not (to and amount):
        message = "Say where to and how much: make send-tokens TO=0x... AMOUNT=25"
        raise SetupError(message)
    port = environment.Ports.chosen().evm
    if environment.is_free(port):
        message = f"No test chain answers on port {port}: start it with 'make run'."
        raise SetupError(message)
    rpc = f"http://127.0.0.1:{port}"
    command = [
        sys.executable,
        "-m",
        "compose.local.chain",
        "--rpc",
        rpc,
        "--out",
        str(places.CHAIN_FILE),
        "--send",
        to,
        amount,
    ]
    return subprocess.run(
        command, cwd=places.ROOT, env=environment.base(), stdin=subprocess.DEVNULL, check=False
    ).returncode


def send_coins() -> int:
    """Pay AMOUNT test BTC to the address TO on the Bitcoin chain of the running demo."""
    to, amount = os.environ.get("TO", ""), os.environ.get("AMOUNT", "")
    if not (to and amount):
        message = "Say where to and how much: make send-coins TO=rltc1... AMOUNT=0.5"
        raise SetupError(message)
    port = environment.Ports.chosen().btc
    if not port or environment.is_free(port):
        message = "No Bitcoin chain answers: start it with 'KAURI_DEMO_BTC_PORT=18443 make run'."
        raise SetupError(message)
    url = environment.bitcoin_url(port)
    command = [sys.executable, "-m", "compose.local.bitcoin_chain", "--rpc", url, "--send", to, amount]
    return subprocess.run(
        command, cwd=places.ROOT, env=environment.base(), stdin=subprocess.DEVNULL, check=False
    ).returncode


COMMANDS: dict[str, Callable[[], int]] = {
    "run": demo.run,
    "test": test.test,
    "lint": test.lint,
    "bench": test.bench,
    "openapi": test.openapi,
    "screenshots": test.screenshots,
    "stop": leftovers.stop,
    "demo-reset": demo_reset,
    "backup": backup.backup,
    "restore": backup.restore,
    "ledger-check": backup.ledger_check,
    "send-tokens": send_tokens,
    "send-coins": send_coins,
    "totp": demo_text.print_codes,
    "lock": lock.lock,
}


def main(name: str) -> int:
    """Run one command; a SetupError is one clear line, without a traceback."""
    shell.end_on_sigterm()
    try:
        return COMMANDS[name]()
    except SetupError as error:
        say(f"kauri: {error}")
        return 1
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
