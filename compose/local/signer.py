"""The demo's signer: a key store of its own with a fresh phrase, a policy for the local chains, and its process."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from compose.local import environment, places, postgres, shell
from compose.local.anvil import CHAIN_ID
from compose.local.supervisor import Member

#: Wide enough for a demo's payments; a real house sets what it can bear to lose.
CAPS = {
    "ETH": {"per_transaction": "100", "per_day": "1000"},
    "USDT": {"per_transaction": "1000000", "per_day": "10000000"},
}
GAS = {"per_transaction": "0.1", "per_day": "10"}
#: Coin type 1 is that of every test chain.
BITCOIN = {"coin_type": 1, "cap": {"per_transaction": "10", "per_day": "100"}, "max_fee": "0.05"}
PRIVATE = 0o600


@dataclass(frozen=True)
class Files:
    """What the signer of one folder reads and writes."""

    folder: Path

    @property
    def keystore(self) -> Path:
        return self.folder / "keystore.json"

    @property
    def passphrase(self) -> Path:
        return self.folder / "passphrase"

    @property
    def policy(self) -> Path:
        return self.folder / "policy.json"

    @property
    def journal(self) -> Path:
        return self.folder / "journal"

    @property
    def socket(self) -> Path:
        return postgres.socket_folder(self.folder) / "signer"

    def command(self, *arguments: str | Path) -> list[str]:
        """A call of the signer's program on this key store."""
        base = [sys.executable, "-m", "kauri.signer", "--keystore", str(self.keystore)]
        return [*base, "--passphrase-file", str(self.passphrase), *map(str, arguments)]


DEMO = Files(places.STATE / "signer")


def ensure(files: Files = DEMO, env: dict[str, str] | None = None) -> dict[str, Any]:
    """Make key store and policy where they are missing; return the public keys (``show``)."""
    files.folder.mkdir(parents=True, exist_ok=True)
    files.folder.chmod(0o700)
    if not files.passphrase.exists():
        _write(files.passphrase, secrets.token_urlsafe(32))
    env = env or environment.base()
    if not files.keystore.exists():
        shell.must(files.command("create", "--quiet"), "Making the signer's key store", env=env)
    if not files.policy.exists():
        allow(files, [])
    shown = subprocess.run(
        files.command("show", "--policy", files.policy),
        cwd=places.ROOT,
        env=env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=True,
    )
    public: dict[str, Any] = json.loads(shown.stdout)
    return public


def allow(files: Files, tokens: list[str]) -> None:
    """The policy for the local chains and these tokens of six digits."""
    ethereum = {
        "chain_id": CHAIN_ID,
        "tokens": {token: {"currency": "USDT", "decimals": 6} for token in tokens},
        "caps": CAPS,
        "gas": GAS,
        "max_fee": "0.1",
    }
    _write(files.policy, json.dumps({"ethereum": ethereum, "bitcoin": BITCOIN}, indent=1))


def member(files: Files = DEMO) -> Member:
    """The signer's process."""
    log = places.LOGS / "signer.log"
    socket = files.socket
    socket.parent.mkdir(mode=0o700, exist_ok=True)

    def start() -> subprocess.Popen[bytes]:
        serve = ["serve", "--policy", files.policy, "--journal", files.journal, "--socket", socket]
        with log.open("ab") as sink:
            return subprocess.Popen(
                files.command(*serve),
                cwd=places.ROOT,
                env=environment.base(),
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    socket.unlink(missing_ok=True)
    return Member("signer", start, log, ready=socket.exists, grace=10.0)


def _write(path: Path, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, PRIVATE)
    with os.fdopen(descriptor, "w") as file:
        file.write(text + "\n")
