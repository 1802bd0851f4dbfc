"""The demo's Bitcoin chain: a miner with coins to give, on a real node; nothing is given on any other chain."""

from __future__ import annotations

import json
import stat
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from compose.local import bitcoin_chain
from compose.local.bitcoin_chain import Miner
from compose.local.console import SetupError
from tests.bitcoin_node import ACCOUNT, KEY_ORIGIN, launch
from tests.nodes import free_port, serve_posts


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a node with a chain of its own."""
    running = launch(tmp_path_factory.mktemp("demo-bitcoin"))
    try:
        yield running.url
    finally:
        running.stop()


def furnish(url: str, out: Path) -> None:
    bitcoin_chain.main(["--rpc", url, "--out", str(out), "--account", ACCOUNT, KEY_ORIGIN])


def test_it_furnishes_once_and_gives(node: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "deep" / "chain-bitcoin.json"
    furnish(node, out)
    miner = Miner(node)
    rich, height = Decimal(miner.wallet.call("getbalance")), miner.node.call("getblockcount")
    assert rich >= bitcoin_chain.ENOUGH
    furnish(node, out)
    assert miner.node.call("getblockcount") == height + 1, "only the head is made young"
    assert json.loads(out.read_text()) == {
        "rpc": node,
        "chain": "litecoin-regtest",
        "xpub": ACCOUNT,
        "key_origin": KEY_ORIGIN,
    }
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    capsys.readouterr()

    address = miner.wallet.call("getnewaddress", "", "bech32")
    bitcoin_chain.main(["--out", str(out), "--send", address, "0.50"])
    [line] = capsys.readouterr().out.splitlines()
    name = line.rpartition(" ")[2]
    assert line == f"Sent 0.5 test BTC to {address} in transaction {name}"
    assert miner.node.call("getrawmempool") == [name]


def test_a_node_that_was_stopped_finds_its_wallet_again(node: str) -> None:
    miner = Miner(node)
    miner.node.call("unloadwallet", bitcoin_chain.WALLET)
    Miner(node).mine()
    assert miner.node.call("listwallets").count(bitcoin_chain.WALLET) == 1


def test_it_mines_while_somebody_waits_and_then_rests(node: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A payment gets its block and six more; a quiet chain gets none."""
    miner = Miner(node)
    heights: list[int] = []
    sent = iter([False, True])

    class Enough(Exception):
        pass

    def pause(_seconds: float) -> None:
        heights.append(miner.node.call("getblockcount"))
        rests = heights[-3:] == [heights[-1]] * 3
        if rests and next(sent, None) is None:
            raise Enough
        if rests:
            miner.pay(miner.wallet.call("getnewaddress"), Decimal("0.1"))
            heights.append(-1)

    miner.mine()
    monkeypatch.setattr(bitcoin_chain.time, "sleep", pause)
    with pytest.raises(Enough):
        miner.keep_mining()
    # A start's six; the first payment's block and six more; the second's likewise.
    assert heights[-1] - heights[0] == 5 + 2 * 7


@pytest.mark.parametrize(
    ("amount", "words"),
    [
        ("0", "Nothing was sent: must be greater than zero."),
        ("0.123456789", "Nothing was sent: more than 8 digits behind the point."),
        ("ten", "Nothing was sent: not a number."),
    ],
)
def test_a_typing_error_sends_nothing(node: str, amount: str, words: str) -> None:
    Miner(node).mine()
    before = Miner(node).node.call("getrawmempool")
    with pytest.raises(SystemExit) as caught:
        bitcoin_chain.main(["--rpc", node, "--send", "anywhere", amount])
    assert str(caught.value) == words
    assert Miner(node).node.call("getrawmempool") == before


def test_another_chains_address_is_refused(node: str) -> None:
    with pytest.raises(SystemExit, match=r"^The local chain refused: -5: "):
        bitcoin_chain.main(["--rpc", node, "--send", "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4", "1"])


def test_a_real_chain_is_refused() -> None:
    answer = json.dumps({"id": 1, "result": {"chain": "main"}}).encode()
    with serve_posts(lambda _body: answer) as url, pytest.raises(SetupError, match="serves the chain main"):
        Miner(url)


def test_without_a_chain_it_says_so(tmp_path: Path) -> None:
    out: list[Any] = ["--out", str(tmp_path / "chain-bitcoin.json")]
    with pytest.raises(SystemExit, match=r"^No local chain is known yet \(chain-bitcoin\.json is missing\)"):
        bitcoin_chain.main([*out, "--mine"])
    with pytest.raises(SystemExit, match=r"^The local chain does not answer; is it running\?$"):
        bitcoin_chain.main([*out, "--rpc", f"http://127.0.0.1:{free_port()}", "--mine"])
    assert not bitcoin_chain.answers(f"http://127.0.0.1:{free_port()}")
