"""The door: one JSON line in, one JSON line out, on a Unix socket that only named users can use."""

from __future__ import annotations

import json
import logging
import os
import socket
import socketserver
import struct
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from kauri.signer import bitcoin, ethereum
from kauri.signer.errors import Refused
from kauri.signer.journal import Journal
from kauri.signer.keystore import KeyStore
from kauri.signer.policy import Policy

logger = logging.getLogger(__name__)

LONGEST_LINE: Final = 1 << 20
SECONDS: Final = 10.0
_MODE: Final = 0o660


@dataclass
class Desk:
    """Answers requests, one at a time: the caps are judged in the order of the journal."""

    store: KeyStore
    policy: Policy
    journal: Journal

    def __post_init__(self) -> None:
        self._lock = threading.Lock()

    def answer(self, line: bytes) -> dict[str, Any]:
        """``{"raw": …}``, ``{"refused": why}``, or the public keys for ``describe``."""
        try:
            request = json.loads(line)
            if not isinstance(request, dict):
                raise TypeError
        except (ValueError, TypeError):
            return {"refused": "the request is no JSON object"}
        try:
            with self._lock:
                return self._answer(request)
        except Refused as exc:
            logger.warning("refused: %s", exc)
            return {"refused": str(exc)}
        except Exception:
            # What went wrong is for the signer's own log: an exception's text could hold anything.
            logger.exception("a request could not be answered")
            return {"refused": "the signer failed; its log says why"}

    def _answer(self, request: dict[str, Any]) -> dict[str, Any]:
        match request.get("op"):
            case "sign_evm":
                if self.policy.ethereum is None or not isinstance(request.get("transaction"), dict):
                    raise Refused("the policy says nothing of Ethereum, or there is no transaction")
                key, fields = str(request.get("key")), request["transaction"]
                raw = ethereum.sign(
                    self.store, self.policy.ethereum, self.journal, key, fields, int(time.time())
                )
                return {"raw": raw}
            case "sign_psbt":
                if self.policy.bitcoin is None:
                    raise Refused("the policy says nothing of Bitcoin")
                psbt = str(request.get("psbt"))
                return {
                    "raw": bitcoin.sign(self.store, self.policy.bitcoin, self.journal, psbt, int(time.time()))
                }
            case "describe":
                return describe(self.store, self.policy)
            case _:
                raise Refused("unknown operation")


def describe(store: KeyStore, policy: Policy) -> dict[str, Any]:
    """The public side: what the back office's providers are given."""
    found: dict[str, Any] = {"fingerprint": store.fingerprint.hex()}
    if policy.ethereum is not None:
        found["ethereum"] = {
            "xpub": store.account_xpub(ethereum.DEPOSIT_ACCOUNT),
            "hot_address": ethereum.address(store, ethereum.HOT),
            "gas_address": ethereum.address(store, ethereum.GAS),
        }
    if policy.bitcoin is not None:
        coin_type = policy.bitcoin.coin_type
        path = bitcoin.account_path(coin_type)
        found["bitcoin"] = {
            "xpub": bitcoin.account_xpub(store, coin_type),
            "key_origin": f"{store.fingerprint.hex()}{path[1:]}",
        }
    return found


class _Handler(socketserver.StreamRequestHandler):
    timeout = SECONDS
    server: Server

    def handle(self) -> None:
        peer = struct.unpack("3i", self.request.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
        if peer[1] not in self.server.uids:
            logger.warning("user %s may not ask", peer[1])
            return
        line = self.rfile.readline(LONGEST_LINE)
        if line.endswith(b"\n"):
            self.wfile.write(json.dumps(self.server.desk.answer(line)).encode() + b"\n")


class Server(socketserver.ThreadingUnixStreamServer):
    """Serves ``path`` until it is shut down; a stale socket file of a dead signer is replaced."""

    daemon_threads = True

    def __init__(self, path: Path, desk: Desk, uids: frozenset[int]) -> None:
        self.desk = desk
        self.uids = uids | {os.geteuid()}
        path.unlink(missing_ok=True)
        super().__init__(str(path), _Handler)
        path.chmod(_MODE)
