"""The demo chain is furnished once, and every further run finds it as it is."""

from __future__ import annotations

import json
import stat
from dataclasses import astuple
from decimal import Decimal
from pathlib import Path

import pytest

from compose.local import chain
from tests.nodes import HOT_ADDRESS, OTHER, Chain, free_port, serve_posts

RECIPIENT = "0x1111111111111111111111111111111111111111"
HOT = HOT_ADDRESS
WALLET = chain.Wallet(HOT, OTHER, "xpub-of-the-signer")


def test_it_furnishes_once(eth: Chain, tmp_path: Path) -> None:
    out = tmp_path / "deep" / "chain.json"
    made = chain.prepare(eth.url, out, WALLET)
    blocks = eth.height()

    assert chain.prepare(eth.url, out, WALLET) == made
    out.unlink()
    assert chain.prepare(eth.url, out, WALLET) == made, "the token is found without the file too"
    out.write_text("[]")
    assert chain.prepare(eth.url, out, WALLET) == made, "and with a file of another kind"
    assert eth.height() == blocks

    assert json.loads(out.read_text()) == {
        "rpc": eth.url,
        "chain_id": 31337,
        "token": made.token,
        "token_decimals": 6,
        "currency": "USDT",
        "hot_address": HOT,
        "gas_address": OTHER,
        "xpub": "xpub-of-the-signer",
        "faucet_address": chain.FAUCET,
    }
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    assert eth.token_balance(made.token, HOT) == 1_000_000 * 10**6
    assert int(eth.rpc.call("eth_getBalance", HOT, "latest"), 16) == 100 * 10**18


def test_what_was_spent_is_topped_up(eth: Chain, tmp_path: Path) -> None:
    made = chain.prepare(eth.url, tmp_path / "chain.json", WALLET)
    eth.rpc.call("anvil_setBalance", HOT, hex(10**18))
    eth.rpc.call("anvil_impersonateAccount", HOT)
    eth.send_tokens(made.token, RECIPIENT, 900_000 * 10**6, sender=HOT)
    eth.mine()
    chain.prepare(eth.url, tmp_path / "chain.json", WALLET)
    assert eth.token_balance(made.token, HOT) == 1_000_000 * 10**6
    assert int(eth.rpc.call("eth_getBalance", HOT, "latest"), 16) == 100 * 10**18


def test_sending_prints_one_line(eth: Chain, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "chain.json"
    chain.main(["--rpc", eth.url, "--out", str(out), "--wallet", *astuple(WALLET)])
    made = json.loads(out.read_text())
    assert capsys.readouterr().out == f"Test USDT is {made['token']}, the hot wallet {HOT}\n"

    chain.main(["--out", str(out), "--send", RECIPIENT, "25.50"])
    [line] = capsys.readouterr().out.splitlines()
    name = line.rpartition(" ")[2]
    assert line == f"Sent 25.5 test USDT to {RECIPIENT} in transaction {name}"
    assert eth.receipt(name)["status"] == "0x1"
    assert eth.token_balance(made["token"], RECIPIENT) == 25_500_000


def test_the_faucet_never_runs_dry(eth: Chain, tmp_path: Path) -> None:
    made = chain.prepare(eth.url, tmp_path / "chain.json", WALLET)
    chain.send_tokens(eth.url, made.token, RECIPIENT, Decimal(2_000_000_000))
    assert eth.token_balance(made.token, RECIPIENT) == 2_000_000_000 * 10**6


@pytest.mark.parametrize(
    ("address", "amount", "words"),
    [
        ("0x12", "5", "Nothing was sent: an address is 0x and 40 hexadecimal digits."),
        (RECIPIENT, "0", "Nothing was sent: must be greater than zero."),
        (RECIPIENT, "1.0000001", "Nothing was sent: more than 6 digits behind the point."),
        (RECIPIENT, "ten", "Nothing was sent: not a number."),
    ],
)
def test_a_typing_error_sends_nothing(
    eth: Chain, tmp_path: Path, address: str, amount: str, words: str
) -> None:
    with pytest.raises(SystemExit) as caught:
        chain.main(["--rpc", eth.url, "--out", str(tmp_path / "chain.json"), "--send", address, amount])
    assert str(caught.value) == words
    assert eth.height() == 0


def test_without_a_chain_it_says_so(tmp_path: Path) -> None:
    out = ["--wallet", *astuple(WALLET), "--out", str(tmp_path / "chain.json")]
    with pytest.raises(SystemExit, match=r"^No local chain is known yet \(chain\.json is missing\)"):
        chain.main(out)
    with pytest.raises(SystemExit, match=r"^The local chain does not answer; is it running\?$"):
        chain.main([*out, "--rpc", f"http://127.0.0.1:{free_port()}"])
    with pytest.raises(SystemExit, match=r"^the node's URL must begin with"):
        chain.main([*out, "--rpc", "127.0.0.1:8545"])


def test_a_real_chain_is_refused(tmp_path: Path) -> None:
    words = r"^That node serves chain 1; this tool is for the local chain"
    answer = b'{"id":1,"result":"0x1"}'
    with serve_posts(lambda _: answer) as url, pytest.raises(SystemExit, match=words):
        chain.main(["--rpc", url, "--out", str(tmp_path / "chain.json"), "--wallet", *astuple(WALLET)])
    assert list(tmp_path.iterdir()) == []
