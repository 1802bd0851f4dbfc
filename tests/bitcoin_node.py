"""A real node of the Bitcoin family for tests: one a session, whose chain only grows.

It is Debian's ``litecoind`` unless ``BITCOIND_BIN`` names a ``bitcoind``: the same tests run on either.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from embit import bip39
from embit.bip32 import HDKey

from compose.local import litecoind
from kauri.common.jsonrpc import JsonRpc, NoAnswer, NotSent, RpcError
from kauri.payment_provider.gateway import Coin, Gateway
from kauri.payment_provider.gateways.btc_chains import CHAINS, ChainParameters
from tests.nodes import Middleman, free_port, serve_posts
from tests.signing import PHRASE

READY_SECONDS = 60
ORIGIN = "84h/1h/0h"
ROOT = HDKey.from_seed(bip39.mnemonic_to_seed(PHRASE))
ACCOUNT = ROOT.derive(f"m/{ORIGIN}").to_public(version=bytes.fromhex("043587cf")).to_base58()
KEY_ORIGIN = f"{ROOT.my_fingerprint.hex()}/{ORIGIN}"
#: Blocks of the miner's that may be spent at the start.
RICH = 20


@dataclass
class BitcoinChain:
    """The session's chain. Blocks come only by :meth:`mine`; heights are relative."""

    url: str
    rpc: JsonRpc
    wallet: JsonRpc
    parameters: ChainParameters

    def mine(self, blocks: int = 1, to: str = "") -> list[str]:
        """Mine what the pool holds; the blocks' hashes."""
        miner = to or str(self.wallet.call("getnewaddress"))
        return [str(name) for name in self.rpc.call("generatetoaddress", blocks, miner)]

    def mine_without_pool(self, *raw: str) -> str:
        """A block of just these transactions (hex)."""
        miner = str(self.wallet.call("getnewaddress"))
        return str(self.rpc.call("generateblock", miner, list(raw))["hash"])

    def pay(self, address: str, amount: str) -> str:
        """Have the miner pay, into the pool; the transaction's id."""
        return str(self.wallet.call("sendtoaddress", address, amount))

    def pay_many(self, amounts: dict[str, str]) -> str:
        return str(self.wallet.call("sendmany", "", amounts))

    def fund(self, gateway: Gateway, *amounts: str, first: int = 0) -> tuple[Coin, ...]:
        """Pay amounts to the gateway's own addresses, mined; the coins as the books would give them."""
        places = {gateway.derive_address(first + place): place for place in range(len(amounts))}
        name = self.pay_many(dict(zip(places, amounts, strict=True)))
        [block] = self.mine()
        body = self.rpc.call("getblock", block, 2)
        [found] = [one for one in body["tx"] if one["txid"] == name]
        coins = {}
        for output in found["vout"]:
            script = output["scriptPubKey"]
            address = script.get("address") or (script.get("addresses") or [""])[0]
            if address in places:
                path = f"0/{first + places[address]}"
                coins[places[address]] = Coin(name, output["n"], output["value"], address, path)
        return tuple(coins[place] for place in range(len(amounts)))

    def stranger(self) -> str:
        """A fresh address that is not ours."""
        return str(self.wallet.call("getnewaddress", "", "bech32"))

    def received(self, address: str, confirmations: int = 1) -> Decimal:
        return Decimal(self.wallet.call("getreceivedbyaddress", address, confirmations))

    def height(self) -> int:
        return int(self.rpc.call("getblockcount"))

    def tip(self) -> str:
        return str(self.rpc.call("getbestblockhash"))

    def pool(self) -> set[str]:
        return set(self.rpc.call("getrawmempool"))

    def raw(self, name: str) -> str:
        """A transaction of the pool or of the miner's wallet, in hex."""
        return str(self.wallet.call("gettransaction", name)["hex"])

    def take_back(self, block: str) -> None:
        """Orphan a block and all that follow it; what they held is back in the pool."""
        self.rpc.call("invalidateblock", block)

    def settings(self, **more: Any) -> dict[str, Any]:
        """A provider's settings for this chain."""
        return {
            "chain": self.parameters.name,
            "xpub": ACCOUNT,
            "key_origin": KEY_ORIGIN,
            "currency": "BTC",
            "network": "bitcoin",
            "fallback_fee_rate": "20",
            "min_fee_rate": "10",
            "max_fee_rate": "2000",
            **more,
        }


@dataclass
class Running:
    """A node's process, and how to reach it."""

    url: str
    stop: Callable[[], None]


def launch(folder: Path, *arguments: str) -> Running:
    """Start a node with its own folder and wait until it answers; fails with its log's end."""
    port, log = free_port(), folder / "node.log"
    node = litecoind.start(port, data=folder, log=log, arguments=arguments)
    url = f"http://{litecoind.USER}:{litecoind.PASSWORD}@127.0.0.1:{port}"

    def stop() -> None:
        os.killpg(node.pid, signal.SIGKILL)
        node.wait()

    rpc, end = JsonRpc(url), time.monotonic() + READY_SECONDS
    while True:
        try:
            rpc.call("getblockchaininfo")
        except (NotSent, NoAnswer, RpcError):
            if time.monotonic() > end or node.poll() is not None:
                stop()
                pytest.fail(f"the node does not answer; its log ends:\n{log.read_text()[-2000:]}")
            time.sleep(0.05)
        else:
            rpc.close()
            return Running(url, stop)


@pytest.fixture(scope="session")
def bitcoin_chain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BitcoinChain]:
    """A real node of this session with a miner who has coins to spend."""
    running = launch(tmp_path_factory.mktemp("bitcoin"))
    rpc = JsonRpc(running.url, read_timeout=60)
    rpc.call("createwallet", "miner")
    wallet = JsonRpc(f"{running.url}/wallet/miner", read_timeout=60)
    family = litecoind.ensure_installed().family
    chain = BitcoinChain(running.url, rpc, wallet, CHAINS[f"{family}-regtest"])
    try:
        chain.mine(100 + RICH)
        yield chain
    finally:
        rpc.close()
        wallet.close()
        running.stop()


@pytest.fixture
def btc(bitcoin_chain: BitcoinChain) -> BitcoinChain:
    """The session's chain with an empty pool."""
    while bitcoin_chain.pool():
        bitcoin_chain.mine()
    bitcoin_chain.mine()
    return bitcoin_chain


@pytest.fixture
def btc_middleman(bitcoin_chain: BitcoinChain) -> Iterator[Middleman]:
    """Between a client and the node: answers can be lost or replaced."""
    between = Middleman(bitcoin_chain.url)
    with serve_posts(between.answer) as url:
        between.url = url
        try:
            yield between
        finally:
            between.ended.set()
