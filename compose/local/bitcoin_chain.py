"""The demo's chain of the Bitcoin family: a miner with coins to give, and blocks while somebody waits for one.

``python -m compose.local.bitcoin_chain --rpc URL --out FILE --account XPUB ORIGIN`` makes what is missing and
writes FILE. ``--send ADDRESS AMOUNT`` pays coins to a deposit address; ``--mine`` mines until it is stopped.

Everything here is for a private chain: any other is refused. Its subsidy halves every 150 blocks, so that a
block every few seconds would end it within a day: mined is what somebody waits for, and seldom else.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from compose.local import places
from compose.local.console import SetupError, say
from kauri.common import money
from kauri.common.errors import KauriError
from kauri.common.jsonrpc import JsonRpc, NoAnswer, NotSent, RpcError

WALLET = "miner"
DIGITS = 8
#: A coin out of a new block may be spent after so many more.
MATURITY = 100
#: What the miner owns at least after a start; one start mines so many blocks that may be spent.
ENOUGH = Decimal(20)
RICH = 10
BLOCK_SECONDS = 3.0
#: Blocks after the last payment: the deepest confirmation that the demo asks for.
DEEP = 6
#: A quiet chain gets a block now and then, so that its head is not taken for a dead node's.
QUIET_SECONDS = 1800.0


@dataclass(frozen=True)
class BitcoinChain:
    """What the demo needs to know of the chain; the file's content."""

    rpc: str
    chain: str
    xpub: str
    key_origin: str


class Miner:
    """The node's own wallet, which the blocks' subsidies go to."""

    def __init__(self, rpc_url: str) -> None:
        self.node = JsonRpc(rpc_url, read_timeout=60)
        found = self.node.call("getblockchaininfo")["chain"]
        if found != "regtest":
            raise SetupError(f"That node serves the chain {found}; this tool is for a private one only.")
        self.wallet = JsonRpc(f"{rpc_url}/wallet/{WALLET}", read_timeout=60)
        self._open_wallet()

    def furnish(self) -> None:
        """Mine until there is enough to give, and a head that is young."""
        if Decimal(self.wallet.call("getbalance")) < ENOUGH:
            self.mine(MATURITY + RICH)
        self.mine()

    def mine(self, blocks: int = 1) -> None:
        self.node.call("generatetoaddress", blocks, self.wallet.call("getnewaddress"))

    def pay(self, address: str, amount: Decimal) -> str:
        """Pay coins into the pool; returns the transaction's id."""
        return str(self.wallet.call("sendtoaddress", address, money.plain(amount)))

    def keep_mining(self) -> None:
        """Blocks while the pool holds something, and :data:`DEEP` more; then seldom."""
        left, last = DEEP, 0.0
        while True:
            if self.node.call("getrawmempool"):
                left = DEEP + 1
            if left or time.monotonic() - last > QUIET_SECONDS:
                self.mine()
                left, last = max(left - 1, 0), time.monotonic()
            time.sleep(BLOCK_SECONDS)

    def _open_wallet(self) -> None:
        if WALLET in self.node.call("listwallets"):
            return
        named = {wallet["name"] for wallet in self.node.call("listwalletdir")["wallets"]}
        self.node.call("loadwallet" if WALLET in named else "createwallet", WALLET)


def answers(rpc_url: str) -> bool:
    """Whether the node has started up and serves."""
    rpc = JsonRpc(rpc_url)
    try:
        rpc.call("getblockchaininfo")
    except (NotSent, NoAnswer, RpcError):
        return False
    finally:
        rpc.close()
    return True


def prepare(rpc_url: str, out: Path, *, family: str, xpub: str, key_origin: str) -> BitcoinChain:
    """Give the miner coins where they are missing, write ``out`` (mode 600), and return its content."""
    Miner(rpc_url).furnish()
    chain = BitcoinChain(rpc_url, f"{family}-regtest", xpub, key_origin)
    out.parent.mkdir(parents=True, exist_ok=True)
    fresh = out.with_name(out.name + ".new")
    fresh.touch(mode=0o600)
    fresh.write_text(json.dumps(asdict(chain), indent=1) + "\n")
    fresh.replace(out)
    return chain


def main(argv: list[str] | None = None) -> None:
    """The command line; a failure ends it with one line."""
    parser = argparse.ArgumentParser(
        prog="python -m compose.local.bitcoin_chain", description="Furnish the chain."
    )
    parser.add_argument("--rpc", metavar="URL", help="the local node (default: the one in FILE)")
    parser.add_argument("--out", metavar="FILE", type=Path, default=places.BITCOIN_FILE)
    parser.add_argument("--family", default="litecoin", help="whose rules the node follows")
    parser.add_argument("--account", nargs=2, metavar=("XPUB", "ORIGIN"), help="the signer's public key")
    parser.add_argument("--send", nargs=2, metavar=("ADDRESS", "AMOUNT"), help="send test coins")
    parser.add_argument("--mine", action="store_true", help="mine until stopped")
    options = parser.parse_args(argv)
    try:
        rpc_url = options.rpc or _known_rpc(options.out)
        if options.mine:
            Miner(rpc_url).keep_mining()
        elif options.send:
            _send(rpc_url, *options.send)
        elif options.account:
            xpub, origin = options.account
            made = prepare(rpc_url, options.out, family=options.family, xpub=xpub, key_origin=origin)
            say(f"The chain {made.chain} is ready")
        else:
            parser.error("say --account, --send or --mine")
    except (SetupError, ValueError) as problem:
        sys.exit(str(problem))
    except RpcError as error:
        sys.exit(f"The local chain refused: {error}")
    except (NotSent, NoAnswer):
        sys.exit("The local chain does not answer; is it running?")


def _send(rpc_url: str, address: str, amount_text: str) -> None:
    try:
        amount = money.parse_amount(amount_text, DIGITS)
    except (ValueError, KauriError) as error:
        raise SetupError(f"Nothing was sent: {error}.") from None
    name = Miner(rpc_url).pay(address, amount)
    say(f"Sent {money.plain(amount)} test BTC to {address} in transaction {name}")


def _known_rpc(out: Path) -> str:
    known: dict[str, Any] = {}
    with suppress(OSError, ValueError):
        known = json.loads(out.read_text())
    if not known.get("rpc"):
        raise SetupError(f"No local chain is known yet ({out.name} is missing): give --rpc URL.")
    return str(known["rpc"])


if __name__ == "__main__":
    main()
