"""The demo chain's furniture: a test token, a funded hot wallet and a faucet, on the local node.

``python -m compose.local.chain --rpc URL --out FILE`` makes what is missing and writes FILE; run it as often
as you like. ``--send ADDRESS AMOUNT`` sends test tokens to a deposit address.

Everything here is for the local chain: its faucet's key is public, and any chain whose id is not the local one
is refused. The wallets are the demo signer's; no private key is seen here.
"""

from __future__ import annotations

import argparse
import json
import sys
from contextlib import suppress
from dataclasses import asdict, dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from compose.local import places
from compose.local.anvil import CHAIN_ID
from compose.local.console import SetupError, say
from kauri.common import evm, money
from kauri.common.errors import KauriError
from kauri.common.jsonrpc import JsonRpc, NoAnswer, NotSent, RpcError

#: The node's own first account (of its well-known phrase); the node signs for it.
FAUCET = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"
#: Where the faucet's very first transaction puts a contract.
FIRST_CONTRACT = "0x5FbDB2315678afecb367f032d93F642f64180aa3"
TOKEN_FILE = places.ROOT / "fixtures" / "contracts" / "TestUSDT.json"
TOKEN_DECIMALS = 6
SUPPLY = 1_000_000_000 * 10**TOKEN_DECIMALS
HOT_TOKENS = 1_000_000 * 10**TOKEN_DECIMALS
HOT_WEI = 100 * 10**18
GAS_WEI = 10 * 10**18
GAS = 3_000_000


@dataclass(frozen=True)
class Wallet:
    """The public side of the signer's keys."""

    hot_address: str
    gas_address: str
    xpub: str


@dataclass(frozen=True)
class Chain:
    """What the demo needs to know of the chain; the file's content."""

    rpc: str
    chain_id: int
    token: str
    token_decimals: int
    currency: str
    hot_address: str
    gas_address: str
    xpub: str
    faucet_address: str


def prepare(rpc_url: str, out: Path, wallet: Wallet) -> Chain:
    """Deploy and fund what is missing, write ``out`` (mode 600), and return its content."""
    node = _connect(rpc_url)
    token = _find_token(node, out) or _deploy(node)
    _fund(node, token, wallet)
    chain = Chain(
        rpc=rpc_url,
        chain_id=CHAIN_ID,
        token=token,
        token_decimals=TOKEN_DECIMALS,
        currency="USDT",
        hot_address=wallet.hot_address,
        gas_address=wallet.gas_address,
        xpub=wallet.xpub,
        faucet_address=FAUCET,
    )
    _write(out, chain)
    return chain


def send_tokens(rpc_url: str, token: str, address: str, amount: Decimal) -> str:
    """Send test tokens from the faucet, have them mined, and return the transaction's hash."""
    node = _connect(rpc_url)
    units = money.to_units(amount, TOKEN_DECIMALS)
    held = evm.quantity(_read(node, token, "balanceOf(address)", FAUCET))
    if held < units:
        _transact(node, to=token, data=evm.call_data("issue(uint256)", units - held + SUPPLY))
    sent = _transact(node, to=token, data=evm.call_data("transfer(address,uint256)", address, units))
    return str(sent["transactionHash"])


def _connect(rpc_url: str) -> JsonRpc:
    node = JsonRpc(rpc_url)
    found = evm.quantity(node.call("eth_chainId"))
    if found != CHAIN_ID:
        raise SetupError(f"That node serves chain {found}; this tool is for the local chain {CHAIN_ID} only.")
    return node


def _read(node: JsonRpc, token: str, signature: str, *arguments: int | str) -> Any:
    return node.call("eth_call", {"to": token, "data": evm.call_data(signature, *arguments)}, "latest")


def _find_token(node: JsonRpc, out: Path) -> str | None:
    """The token of an earlier run, if this chain still has it."""
    candidates = [FIRST_CONTRACT]
    # No file yet, or one of another kind: it is written anew afterwards.
    with suppress(OSError, ValueError, KeyError, TypeError):
        candidates.insert(0, evm.to_address(str(json.loads(out.read_text())["token"])))
    for address in candidates:
        if node.call("eth_getCode", address, "latest") == "0x":
            continue
        try:
            if evm.topic_address(_read(node, address, "owner()")) == FAUCET:
                return address
        except (RpcError, ValueError):
            continue  # another contract lives there
    return None


def _deploy(node: JsonRpc) -> str:
    artifact = json.loads(TOKEN_FILE.read_text())
    receipt = _transact(node, data=artifact["bytecode"] + evm.word(SUPPLY))
    return evm.to_address(receipt["contractAddress"])


def _fund(node: JsonRpc, token: str, wallet: Wallet) -> None:
    for address, wanted in ((wallet.hot_address, HOT_WEI), (wallet.gas_address, GAS_WEI)):
        wei = evm.quantity(node.call("eth_getBalance", address, "latest"))
        if wei < wanted // 2:
            _transact(node, to=address, value=hex(wanted - wei))
    hot = wallet.hot_address
    units = evm.quantity(_read(node, token, "balanceOf(address)", hot))
    if units < HOT_TOKENS // 2:
        _transact(node, to=token, data=evm.call_data("transfer(address,uint256)", hot, HOT_TOKENS - units))


def _transact(node: JsonRpc, **fields: str) -> dict[str, Any]:
    """Send from the faucet (the node holds its key), mine, and return the receipt of success."""
    name = node.call("eth_sendTransaction", {"from": FAUCET, "gas": hex(GAS), **fields})
    node.call("evm_mine")  # a node without a block time has none by itself; another one gets one more
    receipt = node.call("eth_getTransactionReceipt", name)
    if not isinstance(receipt, dict) or receipt.get("status") != "0x1":
        raise SetupError(f"The local chain refused the faucet's transaction {name}.")
    return receipt


def _write(out: Path, chain: Chain) -> None:
    out.parent.mkdir(parents=True, exist_ok=True)
    fresh = out.with_name(out.name + ".new")
    fresh.touch(mode=0o600)
    fresh.write_text(json.dumps(asdict(chain), indent=1) + "\n")
    fresh.replace(out)


def _send(rpc_url: str, out: Path, address: str, amount_text: str) -> None:
    try:
        to = evm.to_address(address)
        amount = money.parse_amount(amount_text, TOKEN_DECIMALS)
    except (ValueError, KauriError) as error:
        raise SetupError(f"Nothing was sent: {error}.") from None
    name = send_tokens(rpc_url, _known(out)["token"], to, amount)
    say(f"Sent {money.plain(amount)} test USDT to {to} in transaction {name}")


def main(argv: list[str] | None = None) -> None:
    """The command line; a failure ends it with one line."""
    parser = argparse.ArgumentParser(prog="python -m compose.local.chain", description="Furnish the chain.")
    parser.add_argument("--rpc", metavar="URL", help="the local node (default: the one in FILE)")
    parser.add_argument("--out", metavar="FILE", type=Path, default=places.CHAIN_FILE)
    parser.add_argument("--send", nargs=2, metavar=("ADDRESS", "AMOUNT"), help="send test USDT")
    parser.add_argument("--wallet", nargs=3, metavar=("HOT", "GAS", "XPUB"), help="the signer's public keys")
    options = parser.parse_args(argv)
    try:
        rpc_url = options.rpc or _known_rpc(options.out)
        if options.send:
            _send(rpc_url, options.out, *options.send)
        else:
            wallet = Wallet(*options.wallet) if options.wallet else _known_wallet(options.out)
            chain = prepare(rpc_url, options.out, wallet)
            say(f"Test USDT is {chain.token}, the hot wallet {chain.hot_address}")
    except (SetupError, ValueError) as problem:
        sys.exit(str(problem))
    except RpcError as error:
        sys.exit(f"The local chain refused: {error}")
    except (NotSent, NoAnswer):
        sys.exit("The local chain does not answer; is it running?")


def _known_rpc(out: Path) -> str:
    return str(_known(out)["rpc"])


def _known_wallet(out: Path) -> Wallet:
    known = _known(out)
    return Wallet(known["hot_address"], known["gas_address"], known["xpub"])


def _known(out: Path) -> dict[str, Any]:
    try:
        known = json.loads(out.read_text())
        return {name: known[name] for name in ("rpc", "token", "hot_address", "gas_address", "xpub")}
    except (OSError, ValueError, KeyError, TypeError):
        raise SetupError(f"No local chain is known yet ({out.name} is missing): give --rpc URL.") from None


if __name__ == "__main__":
    main()
