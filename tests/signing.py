"""The real signer in tests: its desk with the tests' phrase, asked directly or over a real socket."""

from __future__ import annotations

import json
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from compose.local import anvil
from kauri.payment_provider.signing import SocketSigner
from kauri.signer.journal import Journal
from kauri.signer.keystore import FileKeyStore
from kauri.signer.policy import BitcoinPolicy, Cap, EthereumPolicy, Policy, Token
from kauri.signer.server import Desk, Server

#: A public phrase of BIP-39's own test vectors.
PHRASE = "letter advice cage absurd amount doctor acoustic avoid letter advice cage above"
WIDE = Cap(per_transaction=Decimal(10**9), per_day=Decimal(10**9))


def ethereum(*tokens: str, **changes: Any) -> EthereumPolicy:
    """A policy with wide caps for these tokens of six digits."""
    given = EthereumPolicy(
        chain_id=anvil.CHAIN_ID,
        currency="ETH",
        tokens={token: Token("USDT", 6) for token in tokens},
        caps={"ETH": WIDE, "USDT": WIDE},
        gas=WIDE,
        max_fee=Decimal(1),
        cold=frozenset(),
    )
    return replace(given, **changes)


def bitcoin(coin_type: int = 1, **changes: Any) -> BitcoinPolicy:
    """A policy with wide caps for the account of ``coin_type``."""
    given = BitcoinPolicy("BTC", coin_type, cap=WIDE, max_fee=Decimal(1), cold_scripts=frozenset())
    return replace(given, **changes)


def desk(*policies: EthereumPolicy | BitcoinPolicy, journal: Path | None = None) -> Desk:
    """The signer's desk, with a journal of its own."""
    path = journal or Path(tempfile.mkdtemp(prefix="kauri-signer-"), "journal")
    eth = next((one for one in policies if isinstance(one, EthereumPolicy)), None)
    btc = next((one for one in policies if isinstance(one, BitcoinPolicy)), None)
    return Desk(FileKeyStore(PHRASE), Policy(ethereum=eth, bitcoin=btc), Journal(path))


@dataclass(frozen=True)
class Direct(SocketSigner):
    """The client without the socket: requests and answers are the same bytes."""

    desk: Desk | None = None

    def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        assert self.desk is not None
        answer: dict[str, Any] = json.loads(json.dumps(self.desk.answer(json.dumps(request).encode())))
        return answer


def direct(*policies: EthereumPolicy | BitcoinPolicy) -> Direct:
    """A signer without a socket, for adapters alone."""
    return Direct("", desk(*policies))


@contextmanager
def serving(desk_: Desk, path: Path) -> Iterator[str]:
    """The signer's own server on a socket; gives the socket's path."""
    server = Server(path, desk_, frozenset())
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield str(path)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def serve_signer() -> Iterator[Callable[[Desk], str]]:
    """Starts a signer's server and gives its socket; all are stopped with the test."""
    stops = []

    def start(desk_: Desk) -> str:
        # A socket's path has room for about a hundred characters.
        context = serving(desk_, Path(tempfile.mkdtemp(prefix="ks-"), "s"))
        stops.append(context)
        return context.__enter__()

    yield start
    for context in reversed(stops):
        context.__exit__(None, None, None)
