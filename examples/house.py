"""A running demo as its clients know it: where it listens, its API, its letters, its chains' nodes."""

from __future__ import annotations

import email
import email.policy
import hashlib
import hmac
import json
import re
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests

PATIENCE = 90.0


class Failed(Exception):
    """A step did not come out as it should."""


@dataclass
class House:
    """What the script knows of the running demo."""

    web: str
    rpc: str
    #: The miner's wallet on the Bitcoin chain; empty where the demo has none.
    miner: str
    operators: dict[str, dict[str, str]]
    mail: Path
    bot_port: int
    session: requests.Session = field(default_factory=requests.Session)

    @classmethod
    def read(cls, demo: Path) -> House:
        known = json.loads(demo.read_text())
        bot = urlsplit(known.get("telegram_api_url", ""))
        return cls(
            web=known["web"],
            rpc=known["evm_rpc"],
            miner=f"{known['btc_rpc']}/wallet/miner" if known.get("btc_rpc") else "",
            operators={operator["role"]: operator for operator in known["operators"]},
            mail=demo.parent / "mail",
            bot_port=bot.port or 0,
        )

    def call(self, method: str, path: str, body: Any = None, **headers: str) -> dict[str, Any]:
        """One API call; an answer that is no success fails the script with its text."""
        data = b"" if body is None else json.dumps(body).encode()
        answer = self.session.request(
            method,
            self.web + path,
            data=data,
            headers={"Content-Type": "application/json", **headers},
            timeout=30,
        )
        if answer.status_code >= 300:
            raise Failed(f"{method} {path} answered {answer.status_code}: {answer.text}")
        result: dict[str, Any] = json.loads(answer.text, parse_float=Decimal)
        return result

    def signed(
        self, key: dict[str, str], method: str, target: str, body: Any = None, **more: str
    ) -> dict[str, Any]:
        """The same, signed with an API key (signature version 2)."""
        data = b"" if body is None else json.dumps(body).encode()
        path, _, query = target.partition("?")
        timestamp, nonce = str(int(time.time() * 1000)), uuid.uuid4().hex
        message = "\n".join([timestamp, nonce, method, path, query, hashlib.sha256(data).hexdigest()])
        sign = hmac.new(key["secret"].encode(), message.encode(), hashlib.sha256).hexdigest()
        headers = {"Key": key["key"], "Sign": sign, "Timestamp": timestamp, "Nonce": nonce, **more}
        return self.call(method, target, body, **headers)

    def letter(self, address: str, pattern: str) -> str:
        """What ``pattern`` finds in the newest letter to ``address``; waits for it."""

        def look() -> str | None:
            files = sorted(self.mail.glob("*"), key=lambda path: path.stat().st_mtime, reverse=True)
            for path in files:
                letter = email.message_from_bytes(path.read_bytes(), policy=email.policy.default)
                found = re.search(pattern, str(letter.get_content()), re.MULTILINE)
                if address in str(letter["To"]) and found:
                    return found[1]
            return None

        return until(f"a letter to {address}", look)

    def node(self, method: str, *params: Any) -> Any:
        """What the Ethereum node answers."""
        return _ask(self.rpc, method, *params)

    def wallet(self, method: str, *params: Any) -> Any:
        """What the miner's wallet on the Bitcoin chain answers."""
        return _ask(self.miner, method, *params)


def _ask(url: str, method: str, *params: Any) -> Any:
    request = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
    answer = json.loads(requests.post(url, json=request, timeout=30).text, parse_float=Decimal)
    if answer.get("error"):
        raise Failed(f"{method}: {answer['error']}")
    return answer["result"]


def until[T](what: str, look: Callable[[], T | None], patience: float = PATIENCE) -> T:
    """Look again and again until there is something; fail when patience ends."""
    end = time.monotonic() + patience
    while time.monotonic() < end:
        found = look()
        if found is not None:
            return found
        time.sleep(0.3)
    raise Failed(f"waited {patience:.0f} s for {what}")
