"""Real nodes for tests: one anvil a session, a clean chain a test, and a proxy that spoils answers.

A missing node is a failure with the reason, never a skip: a run without it would prove nothing.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import simplejson

from compose.local import anvil, places
from kauri.common import evm
from kauri.common.jsonrpc import Call, JsonRpc, NoAnswer, NotSent, RpcError
from kauri.signer import ethereum
from kauri.signer.keystore import FileKeyStore
from tests.signing import PHRASE

READY_SECONDS = 30
CHAIN_ID = anvil.CHAIN_ID
#: The node's own accounts, whose transactions it signs itself.
FAUCET = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"
OTHER = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8"
SUPPLY = 10**15
#: The hot wallet of the tests' signer (tests/signing.py).
HOT_ADDRESS = ethereum.address(FileKeyStore(PHRASE), ethereum.HOT)


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_for_node(url: str, log: Path, seconds: float = READY_SECONDS) -> None:
    """Return as soon as the node answers; fail with its log when it does not."""
    rpc = JsonRpc(url)
    end = time.monotonic() + seconds
    while True:
        try:
            rpc.call("eth_chainId")
        except (NotSent, NoAnswer):
            if time.monotonic() > end:
                pytest.fail(f"the node does not answer; its log ends:\n{log.read_text()[-2000:]}")
            time.sleep(0.02)
        else:
            rpc.close()
            return


@dataclass
class Chain:
    """One test's chain. Blocks come only by :meth:`mine`; amounts are the token's units."""

    url: str
    rpc: JsonRpc

    def transact(self, **fields: str) -> str:
        """Put a transaction into the pool for a node's own account; return its hash."""
        name = self.rpc.call("eth_sendTransaction", {"from": FAUCET, "gas": hex(2_000_000), **fields})
        return str(name)

    def deploy(self, contract: str, *arguments: int | str) -> str:
        """Deploy ``fixtures/contracts/<contract>.json``; return its address."""
        artifact = json.loads((places.ROOT / "fixtures" / "contracts" / f"{contract}.json").read_text())
        name = self.transact(data=artifact["bytecode"] + "".join(map(evm.word, arguments)))
        self.mine()
        return evm.to_address(self.receipt(name)["contractAddress"])

    def deploy_token(self) -> str:
        """A fresh TestUSDT; its owner, with all of it, is FAUCET."""
        return self.deploy("TestUSDT", SUPPLY)

    def send_tokens(self, token: str, to: str, units: int, *, sender: str = FAUCET) -> str:
        """Put a token transfer into the pool."""
        return self.transact(**{"from": sender, "to": token, "data": transfer_data(to, units)})

    def command(self, contract: str, signature: str, *arguments: int | str) -> None:
        """Have FAUCET call a function, mined at once."""
        name = self.transact(to=contract, data=evm.call_data(signature, *arguments))
        self.mine()
        assert self.receipt(name)["status"] == "0x1"

    def fund(self, token: str, address: str, *, units: int, wei: int = 10**18) -> None:
        """Give an address tokens and ether, mined."""
        self.rpc.call("anvil_setBalance", address, hex(wei))
        if units:
            self.send_tokens(token, address, units)
        self.mine()

    def mine(self, blocks: int = 1) -> None:
        self.rpc.call("anvil_mine", hex(blocks))

    def reorg(self, depth: int, *transactions: tuple[str, int]) -> None:
        """Replace the last ``depth`` blocks; pairs of (raw transaction, index of the new block)."""
        self.rpc.call("anvil_reorg", depth, [list(pair) for pair in transactions])

    def raw(self, name: str) -> str:
        """The signed bytes of a transaction that the node has."""
        return str(self.rpc.call("eth_getRawTransactionByHash", name))

    def receipt(self, name: str) -> dict[str, Any]:
        receipt = self.rpc.call("eth_getTransactionReceipt", name)
        assert isinstance(receipt, dict)
        return receipt

    def height(self) -> int:
        return evm.quantity(self.rpc.call("eth_blockNumber"))

    def wei(self, address: str) -> int:
        return evm.quantity(self.rpc.call("eth_getBalance", address, "latest"))

    def token_balance(self, token: str, address: str) -> int:
        data = evm.call_data("balanceOf(address)", address)
        return evm.quantity(self.rpc.call("eth_call", {"to": token, "data": data}, "latest"))


def transfer_data(to: str, units: int) -> str:
    """Call data of an ERC-20 transfer."""
    return evm.call_data("transfer(address,uint256)", to, units)


@dataclass
class Middleman:
    """Stands between a client and a node. Answers can be lost, late or replaced, by method."""

    node_url: str
    url: str = ""
    #: These methods reach the node; their answers never come back.
    lost: set[str] = field(default_factory=set)
    #: These methods reach nobody, and the line stays open until the test ends.
    silent: set[str] = field(default_factory=set)
    #: method -> what to answer instead of asking the node: {"result": …} or {"error": …}.
    replaced: dict[str, Callable[[list[Any]], dict[str, Any] | None]] = field(default_factory=dict)
    #: Every method that came, in order.
    seen: list[str] = field(default_factory=list)
    ended: threading.Event = field(default_factory=threading.Event)

    def replace(self, method: str, **answer: Any) -> None:
        """Answer ``method`` with ``result=…`` or ``error=…``."""
        self.replaced[method] = lambda _params: answer

    def answer(self, body: bytes) -> bytes | None:
        """The bytes to send back; None: break the line."""
        request = json.loads(body)
        calls = request if isinstance(request, list) else [request]
        methods = {call["method"] for call in calls}
        self.seen += [call["method"] for call in calls]
        if methods & self.silent:
            self.ended.wait(READY_SECONDS)
            return None
        answers = [self._one(call) for call in calls]
        if methods & self.lost:
            return None
        # A Bitcoin node's amounts are numbers with a point, and stay so.
        return simplejson.dumps(
            answers if isinstance(request, list) else answers[0], use_decimal=True, default=str
        ).encode()

    def _one(self, call: dict[str, Any]) -> dict[str, Any]:
        instead = self.replaced.get(call["method"])
        found = instead(call["params"]) if instead else None
        if found is None:
            found = self._ask(call)
        return {"jsonrpc": "2.0", "id": call["id"], **found}

    def _ask(self, call: dict[str, Any]) -> dict[str, Any]:
        rpc = JsonRpc(self.node_url)
        try:
            [result] = rpc.batch([Call(call["method"], tuple(call["params"]))])
        finally:
            rpc.close()
        if isinstance(result, RpcError):
            return {"error": {"code": result.code, "message": result.message, "data": result.data}}
        return {"result": result}


@contextmanager
def running_anvil(log: Path) -> Iterator[str]:
    """A real node with a fresh chain, without blocks of its own accord; gives its URL."""
    port = free_port()
    node = anvil.start(port, state=None, block_time=None, log=log)
    try:
        wait_for_node(f"http://127.0.0.1:{port}", log)
        yield f"http://127.0.0.1:{port}"
    finally:
        os.killpg(node.pid, signal.SIGKILL)
        node.wait()


@pytest.fixture(scope="module")
def anvil_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """This file's node: after hundreds of reverted chains it no longer has all of its states."""
    with running_anvil(tmp_path_factory.mktemp("anvil") / "anvil.log") as url:
        yield url


@pytest.fixture
def eth(anvil_url: str) -> Iterator[Chain]:
    """The session's node with a clean chain."""
    rpc = JsonRpc(anvil_url)
    snapshot = rpc.call("evm_snapshot")
    try:
        yield Chain(anvil_url, rpc)
    finally:
        rpc.call("anvil_dropAllTransactions")
        assert rpc.call("evm_revert", snapshot) is True
        rpc.close()


@pytest.fixture
def middleman(anvil_url: str) -> Iterator[Middleman]:
    """A proxy in front of the session's node."""
    between = Middleman(anvil_url)
    with serve_posts(between.answer) as url:
        between.url = url
        try:
            yield between
        finally:
            between.ended.set()


@contextmanager
def serve_posts(answer: Callable[[bytes], bytes | None]) -> Iterator[str]:
    """A loopback HTTP server whose POSTs go to ``answer(body)``; None breaks the line unanswered."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            found = answer(self.rfile.read(int(self.headers["Content-Length"])))
            if found is None:
                self.close_connection = True
                return
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(found)))
            self.end_headers()
            self.wfile.write(found)

        def log_message(self, *args: object) -> None:
            """Nothing: what matters is asserted."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
