"""What ``make run`` prints when all is up: where to go, who may sign in, and what to try."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from typing import TYPE_CHECKING, Any

from compose.local import places
from compose.local.console import say

if TYPE_CHECKING:
    from compose.local.environment import Ports

LINE = "-" * 100
COLUMNS = ("role", "email", "password", "totp_secret")


def print_welcome(ports: Ports) -> None:
    """The block that a person reads after the start."""
    demo = _demo()
    say()
    say(LINE)
    say(f"  Kauri runs.   Back office  {demo.get('web', f'http://127.0.0.1:{ports.web}').rstrip('/')}/")
    say(f"                API          http://127.0.0.1:{ports.web}/api/v1/docs")
    say(
        f"                Callbacks    {demo.get('callbacks', f'http://127.0.0.1:{ports.callbacks}').rstrip('/')}/"
    )
    say(f"                Test chain   http://127.0.0.1:{ports.evm}")
    if ports.btc:
        say(f"                Bitcoin      http://127.0.0.1:{ports.btc}  (a private chain of the family)")
    _print_operators(demo.get("operators", []))
    for customer in demo.get("customers", [])[:1]:
        say()
        say(f"  A customer    {customer.get('email')}   password {customer.get('password')}")
        say(f"     API key    {customer.get('api_key')}")
        say(f"     secret     {customer.get('api_secret')}")
    say()
    say("  Send test USDT to a deposit address:   make send-tokens TO=0x... AMOUNT=25")
    if ports.btc:
        say("  Send test BTC to a deposit address:    make send-coins TO=rltc1... AMOUNT=0.5")
    say("  Everything above again:                .kauri/demo.json      Logs: .kauri/logs/")
    say("  Stop:  Ctrl-C (or 'make stop' elsewhere); the data is kept.  Start anew:  make demo-reset")
    say(LINE)


def _print_operators(operators: list[dict[str, Any]]) -> None:
    if not operators:
        return
    say()
    rows: list[tuple[str, ...]] = [("Operator", "E-mail", "Password", "TOTP secret (a code now: make totp)")]
    rows += [tuple(str(person.get(name, "")) for name in COLUMNS) for person in operators]
    widths = [max(map(len, column)) + 2 for column in zip(*rows, strict=True)]
    for row in rows:
        say("  " + "".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def print_codes() -> int:
    """``make totp``: the one-time code of each operator, for those without an authenticator at hand."""
    for person in _demo().get("operators", []):
        if person.get("totp_secret"):
            say(
                f"  {code(person['totp_secret'], time.time())}   {person.get('role', ''):<16}{person.get('email', '')}"
            )
    say(f"  valid for {30 - int(time.time()) % 30} s more")
    return 0


def code(secret: str, now: float) -> str:
    """The six digits of RFC 6238 for a base32 secret at Unix time ``now``."""
    padded = secret.upper() + "=" * (-len(secret) % 8)
    digest = hmac.digest(base64.b32decode(padded), (int(now) // 30).to_bytes(8, "big"), hashlib.sha1)
    start = digest[-1] & 15
    return f"{(int.from_bytes(digest[start : start + 4], 'big') & 0x7FFFFFFF) % 1_000_000:06d}"


def _demo() -> dict[str, Any]:
    try:
        found = json.loads(places.DEMO_FILE.read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
