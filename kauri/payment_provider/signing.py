"""Asking the signer, which holds the keys in a process of its own, for a signature.

Signing moves no money: whatever fails here, nothing was sent.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from kauri.payment_provider.wire import ConfigError, Retryable

SECONDS: Final = 15.0
_LONGEST: Final = 4 << 20


@dataclass(frozen=True, slots=True)
class SocketSigner:
    """The signer behind a Unix socket; see :class:`kauri.payment_provider.wire.Signer`."""

    path: str

    def sign_evm(self, key: str, transaction: Mapping[str, Any]) -> str:
        return self._raw({"op": "sign_evm", "key": key, "transaction": dict(transaction)})

    def sign_psbt(self, psbt: str) -> str:
        return self._raw({"op": "sign_psbt", "psbt": psbt})

    def _raw(self, request: dict[str, Any]) -> str:
        answer = self._ask(request)
        if "refused" in answer:
            raise ConfigError(f"the signer refuses: {str(answer['refused'])[:200]}")
        raw = answer.get("raw")
        if not isinstance(raw, str):
            raise Retryable("the signer's answer is not readable")
        return raw

    def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as line:
                line.settimeout(SECONDS)
                line.connect(self.path)
                line.sendall(json.dumps(request).encode() + b"\n")
                text = line.makefile("rb").readline(_LONGEST)
        except OSError:
            raise Retryable("the signer can't be reached") from None
        try:
            answer = json.loads(text)
        except ValueError:
            raise Retryable("the signer gave no answer") from None
        return answer if isinstance(answer, dict) else {}
