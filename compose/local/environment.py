"""The environment variables that Kauri's processes get here: the caller's own, and what the demo or the tests need on top."""

from __future__ import annotations

import os
import socket
from contextlib import closing
from dataclasses import dataclass

from compose.local import litecoind, places
from compose.local.console import SetupError

OURS = (
    "KAURI_DEMO_EVM_PORT",
    "KAURI_DEMO_BTC_PORT",
    "ARGS",
    "FILE",
    "TO",
    "AMOUNT",
    "AS_OF",
    "MAKEFLAGS",
    "MAKELEVEL",
    "MFLAGS",
    "PYTHONPATH",
    "PYTHONHOME",
)
HIGHEST_PORT = 65535
FIRST_FREE_FOR_ALL = 1024


@dataclass(frozen=True)
class Ports:
    """The ports of the demo; ``btc`` is 0 where it has no chain of the Bitcoin family."""

    web: int
    callbacks: int
    evm: int
    btc: int = 0

    @classmethod
    def chosen(cls) -> Ports:
        """Those that the environment names, else 8000, 8001 and 8545.

        The Bitcoin chain comes when its port is named, and stays with a demo that had it once.
        """
        wanted = os.environ.get("KAURI_DEMO_BTC_PORT") or places.BITCOIN_FILE.exists()
        return cls(
            _port("KAURI_PORT", 8000),
            _port("KAURI_CALLBACKS_PORT", 8001),
            _port("KAURI_DEMO_EVM_PORT", 8545),
            _port("KAURI_DEMO_BTC_PORT", 18443) if wanted else 0,
        )

    def must_be_free(self) -> None:
        """A SetupError that names the variable of the first port that is taken, or of two that are the same."""
        named = {
            "KAURI_PORT": self.web,
            "KAURI_CALLBACKS_PORT": self.callbacks,
            "KAURI_DEMO_EVM_PORT": self.evm,
            **({"KAURI_DEMO_BTC_PORT": self.btc} if self.btc else {}),
        }
        for name, port in named.items():
            others = [other for other in named if other != name and named[other] == port]
            if others:
                message = f"{name} and {others[0]} are both {port}: set one of them to another port."
                raise SetupError(message)
        for name, port in named.items():
            if not is_free(port):
                why = (
                    "taken by another program"
                    if port >= FIRST_FREE_FOR_ALL or os.geteuid() == 0
                    else "not for ordinary users"
                )
                free = max(port, FIRST_FREE_FOR_ALL) + 100
                message = f"Port {port} is {why}: set {name} to another one, e.g. '{name}={free} make run'."
                raise SetupError(message)


def is_free(port: int) -> bool:
    """Whether a server may listen on this port of 127.0.0.1."""
    with closing(socket.socket()) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def bitcoin_url(port: int) -> str:
    """Where the demo's node of the Bitcoin family answers."""
    return f"http://{litecoind.USER}:{litecoind.PASSWORD}@127.0.0.1:{port}"


def _port(name: str, default: int) -> int:
    text = os.environ.get(name) or str(default)
    if not text.isdecimal() or not 0 < int(text) <= HIGHEST_PORT:
        message = f"{name} is {text!r}: it must be a port from 1 to 65535."
        raise SetupError(message)
    return int(text)


def base() -> dict[str, str]:
    """The caller's environment without what is meant for make or for another Python, with the virtual environment first on PATH."""
    env = {name: value for name, value in os.environ.items() if name not in OURS}
    env["PATH"] = f"{places.VENV_BIN}:{env.get('PATH', '/usr/bin:/bin')}"
    env["VIRTUAL_ENV"] = str(places.VENV)
    env["PYTHONUNBUFFERED"] = "1"
    return env


def demo(database_url: str, ports: Ports, secrets: dict[str, str]) -> dict[str, str]:
    """What every process of the demo gets. The signer's socket is not in it: only the money worker gets that."""
    settings = {
        "KAURI_PORT": str(ports.web),
        "KAURI_CALLBACKS_PORT": str(ports.callbacks),
        "KAURI_PUBLIC_URL": f"http://127.0.0.1:{ports.web}",
        "KAURI_CALLBACKS_URL": f"http://127.0.0.1:{ports.callbacks}",
        "KAURI_ALLOWED_HOSTS": "127.0.0.1,localhost",
        "KAURI_EVM_RPC_URL": f"http://127.0.0.1:{ports.evm}",
        **({"KAURI_BTC_RPC_URL": bitcoin_url(ports.btc)} if ports.btc else {}),
        "KAURI_WEBHOOK_ALLOWED_NETWORKS": "127.0.0.0/8",
        **secrets,
    }
    fixed = {"KAURI_ENV": "demo", "DATABASE_URL": database_url, "KAURI_STATE_DIR": str(places.STATE)}
    return {**settings, **base(), **fixed}


def test(database_url: str, state_dir: str, secrets: dict[str, str]) -> dict[str, str]:
    """What the tests get: nothing of the caller's own settings, so that they mean the same everywhere."""
    foreign = ("KAURI_", "DJANGO_", "PG", "Q_CLUSTER")
    env = {name: value for name, value in base().items() if not name.startswith(foreign)}
    env.pop("REDIS_URL", None)
    settings = {"KAURI_ENV": "test", "DATABASE_URL": database_url, "KAURI_STATE_DIR": state_dir}
    return {**env, **settings, **secrets}
