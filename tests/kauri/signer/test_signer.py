"""The signer: keys encrypted at rest, shapes and caps held, the journal believed only whole."""

from __future__ import annotations

import io
import json
import os
import socket
import stat
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from embit import script
from embit.ec import PublicKey
from embit.psbt import PSBT, DerivationPath, InputScope, OutputScope
from embit.script import Script
from embit.transaction import Transaction, TransactionInput, TransactionOutput
from eth_account import Account

from kauri.common import evm
from kauri.payment_provider.gateway import ConfigError, Retryable
from kauri.payment_provider.gateways.btc_chains import CHAINS
from kauri.payment_provider.signing import SocketSigner
from kauri.signer import __main__ as program
from kauri.signer import ethereum, keystore, policy
from kauri.signer.errors import Unusable
from kauri.signer.journal import Journal
from kauri.signer.policy import Cap
from kauri.signer.server import Desk, describe
from tests import signing
from tests.signing import PHRASE

TOKEN = "0x5FbDB2315678afecb367f032d93F642f64180aa3"
STRANGER = "0x1111111111111111111111111111111111111111"
COLD = "0x2222222222222222222222222222222222222222"
STORE = keystore.FileKeyStore(PHRASE)
HOT = ethereum.address(STORE, ethereum.HOT)
PASSPHRASE = "a passphrase of some length"


def fields(**changes: Any) -> dict[str, Any]:
    given = {
        "chainId": 31337,
        "nonce": 0,
        "to": STRANGER,
        "value": 10**18,
        "gas": 21_000,
        "maxFeePerGas": 10**10,
        "maxPriorityFeePerGas": 10**9,
        "data": "0x",
    }
    return {**given, **changes}


def tokens(to: str, units: int, **changes: Any) -> dict[str, Any]:
    data = evm.call_data("transfer(address,uint256)", to, units)
    return fields(to=TOKEN, value=0, gas=60_000, data=data, **changes)


def ask(desk: Desk, key: str, transaction: dict[str, Any]) -> dict[str, Any]:
    return desk.answer(json.dumps({"op": "sign_evm", "key": key, "transaction": transaction}).encode())


def capped(**caps: tuple[str, str]) -> Desk:
    made = {name: Cap(Decimal(one), Decimal(day)) for name, (one, day) in caps.items()}
    gas = Cap(Decimal("0.01"), Decimal("0.02"))
    return signing.desk(signing.ethereum(TOKEN, caps=made, gas=gas, cold=frozenset({COLD})))


# -- Ethereum ---------------------------------------------------------------------------------------


def test_its_bytes_are_those_of_the_well_known_library() -> None:
    desk = capped(ETH=("5", "10"))
    raw = ask(desk, "hot", fields())["raw"]
    Account.enable_unaudited_hdwallet_features()
    hot = Account.from_mnemonic(PHRASE, account_path="m/44'/60'/1'/0/0")
    expected = hot.sign_transaction({**fields(), "type": 2, "to": evm.to_address(STRANGER)})
    assert raw == expected.raw_transaction.to_0x_hex()
    assert hot.address == HOT


@pytest.mark.parametrize(
    ("key", "transaction", "why"),
    [
        ("hot", fields(value=6 * 10**18), "6 ETH is above the cap of one transaction"),
        ("hot", tokens(STRANGER, 101_000_000), "101 USDT is above the cap of one transaction"),
        ("hot", fields(chainId=1), "the transaction is for another chain"),
        ("hot", fields(data="0xdeadbeef"), "calls of contracts that the policy does not name are not signed"),
        ("hot", tokens(STRANGER, 1) | {"value": 1}, "of a token only a plain transfer is signed"),
        (
            "hot",
            fields(to=TOKEN, value=0, data=evm.call_data("approve(address,uint256)", STRANGER, 1)),
            "of a token only a plain transfer is signed",
        ),
        ("hot", fields(maxFeePerGas=10**15), "the network's fee is above the cap"),
        ("hot", fields(maxPriorityFeePerGas=10**11), "the tip is above the whole fee"),
        ("hot", fields(accessList=[]), "the transaction has other fields than those of an EIP-1559 payment"),
        ("hot", fields(value=-1), "a number of the transaction is none"),
        ("hot", fields(value=True), "a number of the transaction is none"),
        ("deposit/7", fields(), "a deposit address pays only the hot wallet or a cold address"),
        ("deposit/7", tokens(STRANGER, 1), "a deposit address pays only the hot wallet or a cold address"),
        ("gas/7", fields(value=1), "the gas wallet pays only the fee of its own deposit address"),
        ("gas/7", tokens(HOT, 1), "the gas wallet pays only the fee of its own deposit address"),
        ("deposit/4294967296", fields(to=HOT), "no key of that name"),
        ("deposit/-1", fields(to=HOT), "no key of that name"),
        ("m/44h/60h/1h/0/0", fields(to=HOT), "no key of that name"),
    ],
)
def test_what_is_not_allowed_is_not_signed(key: str, transaction: dict[str, Any], why: str) -> None:
    desk = capped(ETH=("5", "10"), USDT=("100", "150"))
    assert ask(desk, key, transaction) == {"refused": why}


def test_a_currency_without_a_cap_is_not_paid() -> None:
    assert ask(capped(ETH=("5", "10")), "hot", tokens(STRANGER, 1)) == {
        "refused": "the policy has no cap for USDT"
    }


def test_the_day_s_cap_counts_each_nonce_once() -> None:
    desk = capped(ETH=("5", "10"))
    assert "raw" in ask(desk, "hot", fields(nonce=0, value=4 * 10**18))
    # A replacement of the same nonce is the same money.
    assert "raw" in ask(desk, "hot", fields(nonce=0, value=4 * 10**18, maxFeePerGas=2 * 10**10))
    assert "raw" in ask(desk, "hot", fields(nonce=1, value=5 * 10**18))
    assert ask(desk, "hot", fields(nonce=2, value=2 * 10**18)) == {
        "refused": "2 ETH is above what is left of the cap of 24 hours"
    }
    assert "raw" in ask(desk, "hot", fields(nonce=2, value=10**18))


def test_money_that_stays_in_the_house_is_under_no_cap() -> None:
    desk = capped(ETH=("1", "1"), USDT=("1", "1"))
    assert "raw" in ask(desk, "hot", fields(to=COLD, value=50 * 10**18))
    assert "raw" in ask(desk, "hot", tokens(COLD, 10**12, nonce=1))
    assert "raw" in ask(desk, "deposit/3", fields(to=HOT, value=50 * 10**18))
    assert "raw" in ask(desk, "deposit/3", tokens(HOT, 10**12, nonce=1))
    assert "raw" in ask(desk, "hot", fields(nonce=2, to=HOT, value=0)), "a cancellation"
    deposit = ethereum.address(STORE, ethereum.path_of("deposit/3"))
    assert "raw" in ask(desk, "gas/3", fields(to=deposit, value=10**16))
    assert ask(desk, "gas/4", fields(to=deposit, value=10**16)) == {
        "refused": "the gas wallet pays only the fee of its own deposit address"
    }
    assert "raw" in ask(desk, "gas/3", fields(nonce=1, to=deposit, value=10**16))
    assert "raw" not in ask(desk, "gas/3", fields(nonce=2, to=deposit, value=10**16)), "gas has its own cap"


# -- Bitcoin ----------------------------------------------------------------------------------------


def pay(
    *outputs: tuple[Any, int, str],
    worth: int = 100_000_000,
    coin: int = 1,
    also: tuple[int, ...] = (),
    path: str = "m/84h/1h/0h/0/5",
) -> str:
    """A PSBT that spends a coin of ours (and others); outputs are (script or None for change, satoshi, change path)."""

    def key(of: str) -> tuple[PublicKey, DerivationPath]:
        steps = [int(s.rstrip("h")) + (1 << 31 if s.endswith("h") else 0) for s in of.split("/")[1:]]
        return PublicKey.parse(STORE.public_key(of)), DerivationPath(STORE.fingerprint, steps)

    vout = [
        TransactionOutput(sats, script.p2wpkh(key(change)[0]) if out is None else out)
        for out, sats, change in outputs
    ]
    tx = Transaction(vin=[TransactionInput(bytes([one]) * 32, 0) for one in (coin, *also)], vout=vout)
    psbt = PSBT(tx)
    public, derivation = key(path)
    for spent in psbt.inputs:
        spent.witness_utxo = TransactionOutput(worth, script.p2wpkh(public))
        spent.bip32_derivations[public] = derivation
    for number, (_, _, change) in enumerate(outputs):
        if change:
            public, derivation = key(change)
            psbt.outputs[number].bip32_derivations[public] = derivation
    assert isinstance(psbt.inputs[0], InputScope)
    assert isinstance(psbt.outputs[0], OutputScope)
    return str(psbt.to_base64())


CUSTOMER = Script(bytes.fromhex("0014" + "11" * 20))
COLD_SCRIPT = Script(bytes.fromhex("0014" + "22" * 20))


def coins(desk: Desk, psbt: str) -> dict[str, Any]:
    return desk.answer(json.dumps({"op": "sign_psbt", "psbt": psbt}).encode())


def bitcoin_desk() -> Desk:
    return signing.desk(
        signing.bitcoin(
            cap=Cap(Decimal("0.5"), Decimal("0.8")),
            max_fee=Decimal("0.001"),
            cold_scripts=frozenset({COLD_SCRIPT.data.hex()}),
        )
    )


def test_a_payment_with_change_is_signed_and_valid() -> None:
    psbt = pay((CUSTOMER, 30_000_000, ""), (None, 69_990_000, "m/84h/1h/0h/1/2"))
    raw = coins(bitcoin_desk(), psbt)["raw"]
    signed = Transaction.from_string(raw)
    assert (signed.vout[0].value, signed.vout[0].script_pubkey.data) == (30_000_000, CUSTOMER.data)
    signature, public = signed.vin[0].witness.items
    assert public == STORE.public_key("m/84h/1h/0h/0/5")
    digest = PSBT.from_base64(psbt).sighash(0)
    from coincurve import PublicKey as Curve

    assert Curve(public).verify(signature[:-1], digest, hasher=None)


@pytest.mark.parametrize(
    ("psbt", "why"),
    [
        (pay((CUSTOMER, 60_000_000, ""), (None, 39_990_000, "m/84h/1h/0h/1/2")), "above the cap of one"),
        # What claims to be change but is a receiving address of a customer's counts as paid.
        (pay((None, 99_990_000, "m/84h/1h/0h/0/2")), "above the cap of one"),
        (pay((CUSTOMER, 10_000_000, "")), "the network's fee is above the cap"),
        (pay((CUSTOMER, 10_000_000, "m/84h/1h/0h/1/2"), (CUSTOMER, 89_990_000, "")), "above the cap of one"),
        (pay((CUSTOMER, 10_000_000, ""), path="m/84h/0h/0h/0/5"), "input 0 is not ours"),
        (pay((CUSTOMER, 10_000_000, ""), path="m/84h/1h/0h/2/5"), "input 0 is not ours"),
        ("cHNidP8=", "this is no PSBT"),
    ],
)
def test_what_is_not_allowed_of_coins_is_not_signed(psbt: str, why: str) -> None:
    answer = coins(bitcoin_desk(), psbt)
    assert why in answer["refused"]
    assert "raw" not in answer


def test_cold_money_is_under_no_cap_and_conflicts_count_once() -> None:
    desk = bitcoin_desk()
    assert "raw" in coins(desk, pay((COLD_SCRIPT, 99_990_000, ""), coin=9))
    change = "m/84h/1h/0h/1/2"
    assert "raw" in coins(desk, pay((CUSTOMER, 50_000_000, ""), (None, 49_990_000, change), coin=1))
    # A dearer replacement spends the same coin: the same money.
    assert "raw" in coins(desk, pay((CUSTOMER, 50_000_000, ""), (None, 49_980_000, change), coin=1))
    refused = coins(desk, pay((CUSTOMER, 40_000_000, ""), (None, 59_990_000, change), coin=2))
    assert refused == {"refused": "0.4 BTC is above what is left of the cap of 24 hours"}
    assert "raw" in coins(desk, pay((CUSTOMER, 30_000_000, ""), (None, 69_990_000, change), coin=2))


def test_a_link_between_two_payments_does_not_hide_one_of_them() -> None:
    """One that shares a coin with each makes neither impossible: both can be mined."""
    desk = bitcoin_desk()
    change = "m/84h/1h/0h/1/2"
    assert "raw" in coins(desk, pay((CUSTOMER, 50_000_000, ""), (None, 49_990_000, change), coin=1))
    linked = pay((CUSTOMER, 50_000_000, ""), (None, 149_990_000, change), coin=1, also=(2,))
    assert "raw" in coins(desk, linked)
    assert coins(desk, pay((CUSTOMER, 50_000_000, ""), (None, 49_990_000, change), coin=2)) == {
        "refused": "0.5 BTC is above what is left of the cap of 24 hours"
    }


def test_a_line_that_a_full_disk_broke_is_taken_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "journal"
    desk = signing.desk(signing.ethereum(), journal=path)
    assert "raw" in ask(desk, "hot", fields())
    original = os.write

    def full(descriptor: int, data: bytes) -> int:
        original(descriptor, data[:20])
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        assert ask(desk, "hot", fields(nonce=1)) == {"refused": "the signer failed; its log says why"}
    assert "raw" in ask(desk, "hot", fields(nonce=1))
    assert len(path.read_text().splitlines()) == 2
    Journal(path)


def test_a_coin_is_never_worth_two_different_sums() -> None:
    """Two requests that lie about different inputs could together burn money as a fee."""
    desk = bitcoin_desk()
    assert "raw" in coins(desk, pay((CUSTOMER, 9_990_000, ""), worth=10_000_000))
    assert coins(desk, pay((CUSTOMER, 9_990_000, ""), worth=10_050_000)) == {
        "refused": "a coin was said to be worth something else before"
    }


# -- journal ----------------------------------------------------------------------------------------


def test_the_caps_hold_across_a_restart_and_a_torn_line(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    spent = signing.ethereum(caps={"ETH": Cap(Decimal(5), Decimal(5))})
    assert "raw" in ask(signing.desk(spent, journal=path), "hot", fields(value=4 * 10**18))
    with path.open("a") as file:
        file.write('{"previous": "torn')
    again = signing.desk(spent, journal=path)
    assert "refused" in ask(again, "hot", fields(nonce=1, value=2 * 10**18))
    assert "raw" in ask(again, "hot", fields(nonce=1, value=10**18))
    assert "raw" in ask(signing.desk(spent, journal=path), "hot", fields(nonce=1, value=10**18))
    assert len(path.read_text().splitlines()) == 2, "the same transaction is one line"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    "spoil", [lambda lines: lines[1:], lambda lines: [lines[0].replace("4", "3"), lines[1]]]
)
def test_a_journal_that_was_touched_stops_the_signer(
    tmp_path: Path, spoil: Callable[[list[str]], list[str]]
) -> None:
    path = tmp_path / "journal"
    desk = signing.desk(signing.ethereum(), journal=path)
    for nonce in (0, 1):
        assert "raw" in ask(desk, "hot", fields(nonce=nonce, value=4 * 10**18))
    path.write_text("\n".join(spoil(path.read_text().splitlines())) + "\n")
    with pytest.raises(Unusable, match="was changed or taken out"):
        Journal(path)


def test_old_payments_leave_the_day(monkeypatch: pytest.MonkeyPatch) -> None:
    desk = capped(ETH=("5", "5"))
    now = 1_800_000_000
    monkeypatch.setattr("time.time", lambda: now)
    assert "raw" in ask(desk, "hot", fields(value=5 * 10**18))
    assert "refused" in ask(desk, "hot", fields(nonce=1))
    now += 86_400
    assert "raw" in ask(desk, "hot", fields(nonce=1))


# -- key store and program --------------------------------------------------------------------------


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "passphrase").write_text(PASSPHRASE + "\n")
    (tmp_path / "policy.json").write_text(
        json.dumps(
            {
                "ethereum": {
                    "chain_id": 31337,
                    "tokens": {TOKEN: {"currency": "USDT", "decimals": 6}},
                    "caps": {"USDT": {"per_transaction": "1", "per_day": "2"}},
                    "gas": {"per_transaction": "0.1", "per_day": "1"},
                    "max_fee": "0.01",
                    "cold": [COLD],
                },
                "bitcoin": {
                    "coin_type": 1,
                    "cap": {"per_transaction": "1", "per_day": "2"},
                    "max_fee": "0.001",
                },
            }
        )
    )
    (tmp_path / "policy.json").chmod(0o600)
    return tmp_path


def run(home: Path, *arguments: str) -> None:
    base = ["--keystore", str(home / "keystore"), "--passphrase-file", str(home / "passphrase")]
    program.main([*base, *arguments])


def test_the_ceremony(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keystore, "COST", 1 << 12)
    run(home, "create")
    words = capsys.readouterr().out.split("\n\n")[1]
    assert len(words.split()) == 24
    text = (home / "keystore").read_text()
    assert stat.S_IMODE((home / "keystore").stat().st_mode) == 0o600
    assert not any(word in text for word in words.split()[:3] if len(word) > 4)

    with pytest.raises(SystemExit, match="keys are never overwritten"):
        run(home, "create")

    monkeypatch.setattr("sys.stdin", io.StringIO(words))
    run(home, "check-backup")
    assert capsys.readouterr().out == "The backup is this key store's.\n"
    monkeypatch.setattr("sys.stdin", io.StringIO(PHRASE))
    with pytest.raises(SystemExit, match="not this key store's"):
        run(home, "check-backup")
    monkeypatch.setattr("sys.stdin", io.StringIO(words.replace(words.split()[0], "zebra")))
    with pytest.raises(SystemExit, match=r"is not a BIP-39 phrase|not this key store's"):
        run(home, "check-backup")

    (home / "new").write_text("another passphrase altogether")
    run(home, "change-passphrase", "--new-passphrase-file", str(home / "new"))
    with pytest.raises(SystemExit, match="the passphrase does not open the key store"):
        run(home, "show", "--policy", str(home / "policy.json"))


def test_a_restored_phrase_shows_the_known_addresses(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keystore, "COST", 1 << 12)
    monkeypatch.setattr("sys.stdin", io.StringIO(PHRASE))
    run(home, "create", "--restore")
    capsys.readouterr()
    run(home, "show", "--policy", str(home / "policy.json"))
    shown = json.loads(capsys.readouterr().out)
    Account.enable_unaudited_hdwallet_features()
    gas = Account.from_mnemonic(PHRASE, account_path="m/44'/60'/2'/0/0").address
    assert (shown["ethereum"]["hot_address"], shown["ethereum"]["gas_address"]) == (HOT, gas)
    assert shown["bitcoin"]["key_origin"] == f"{STORE.fingerprint.hex()}/84h/1h/0h"


@pytest.mark.parametrize(
    ("chain", "other"),
    [
        ("bitcoin", "bitcoin-regtest"),
        ("litecoin", "litecoin-testnet"),
        ("bitcoin-regtest", "bitcoin"),
        ("bitcoin-testnet", "litecoin"),
        ("litecoin-regtest", "litecoin"),
    ],
)
def test_the_shown_account_is_one_that_its_chain_takes_and_others_do_not(chain: str, other: str) -> None:
    parameters = CHAINS[chain]
    shown = describe(STORE, signing.desk(signing.bitcoin(parameters.coin_type)).policy)["bitcoin"]
    key = parameters.account_key(shown["xpub"])
    assert key.key.sec() == STORE.public_key(f"m/84h/{parameters.coin_type}h/0h")
    with pytest.raises(ValueError, match="this chain's extended public keys begin with"):
        CHAINS[other].account_key(shown["xpub"])


def test_weak_or_open_files_are_refused(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keystore, "COST", 1 << 12)
    with pytest.raises(Unusable, match="12 characters or more"):
        keystore.write(home / "keystore", PHRASE, "short")
    assert not (home / "keystore").exists()
    keystore.write(home / "keystore", PHRASE, PASSPHRASE)
    (home / "keystore").chmod(0o644)
    with pytest.raises(Unusable, match="chmod 600 first"):
        keystore.read(home / "keystore", PASSPHRASE)
    (home / "policy.json").chmod(0o666)
    with pytest.raises(Unusable, match="may be written by others"):
        policy.read(home / "policy.json")


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"chain_id": "x"}, "invalid literal"),
        ({"max_fee": 1}, "amounts are written as text"),
        ({"max_fee": "NaN"}, "NaN is no amount"),
        ({"gas": {"per_transaction": "1"}}, "per_day is missing"),
        ({"cold": ["0x12"]}, "an address is 0x"),
    ],
)
def test_a_policy_with_a_mistake_starts_nothing(home: Path, change: dict[str, Any], why: str) -> None:
    path = home / "policy.json"
    data = json.loads(path.read_text())
    data["ethereum"].update(change)
    path.write_text(json.dumps(data))
    with pytest.raises(Unusable, match=why):
        policy.read(path)


# -- the door ---------------------------------------------------------------------------------------


def test_over_the_socket(serve_signer: Callable[[Desk], str]) -> None:
    path = serve_signer(signing.desk(signing.ethereum()))
    client = SocketSigner(path)
    assert client.sign_evm("hot", fields()).startswith("0x02")
    with pytest.raises(ConfigError, match=r"^the signer refuses: no key of that name$"):
        client.sign_evm("cold", fields())
    with pytest.raises(ConfigError, match=r"^the signer refuses: the policy says nothing of Bitcoin$"):
        client.sign_psbt("")
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o660


def test_nonsense_is_answered_and_the_door_stays_open(serve_signer: Callable[[Desk], str]) -> None:
    path = serve_signer(signing.desk(signing.ethereum()))
    for line in (b"[]\n", b"{\n", b'{"op": "dump"}\n', b"\xff\n", b'{"op": "sign_evm"}\n'):
        with socket.socket(socket.AF_UNIX) as raw:
            raw.connect(path)
            raw.sendall(line)
            assert b"refused" in raw.makefile("rb").readline()
    assert SocketSigner(path).sign_evm("hot", fields())


def test_another_user_is_not_heard(
    serve_signer: Callable[[Desk], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel names the caller; here the server is told that it runs as somebody else."""
    monkeypatch.setattr(os, "geteuid", lambda: 4_000_000)
    path = serve_signer(signing.desk(signing.ethereum()))
    with pytest.raises(Retryable, match=r"^the signer (gave no answer|can't be reached)$"):
        SocketSigner(path).sign_evm("hot", fields())


def test_no_signer_is_retryable(tmp_path: Path) -> None:
    with pytest.raises(Retryable, match=r"^the signer can't be reached$"):
        SocketSigner(str(tmp_path / "none")).sign_evm("hot", fields())
