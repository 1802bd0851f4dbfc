"""Addresses from an xpub are the ones that eth-account derives from the phrase."""

from __future__ import annotations

import subprocess
import sys

import pytest
from embit import bip39
from embit.bip32 import HDKey
from eth_account import Account

from kauri.common.derivation import HARDENED, evm_address

#: Public phrases: BIP-39's test vectors, and the one that development nodes use.
PHRASES = (
    "test test test test test test test test test test test junk",
    "legal winner thank year wave sausage worth useful legal winner thank yellow",
    "abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon about",
)


def account(phrase: str, path: str = "m/44h/60h/0h") -> HDKey:
    return HDKey.from_seed(bip39.mnemonic_to_seed(phrase)).derive(path)


@pytest.mark.parametrize("phrase", PHRASES)
@pytest.mark.parametrize("index", [0, 1, 77, 1_000_000, HARDENED - 1])
def test_the_address_is_eth_accounts(phrase: str, index: int) -> None:
    Account.enable_unaudited_hdwallet_features()
    xpub = account(phrase).to_public().to_base58()
    expected = Account.from_mnemonic(phrase, account_path=f"m/44'/60'/0'/0/{index}").address
    assert evm_address(xpub, index) == expected
    assert evm_address(f" {xpub}\n", index) == expected


def test_a_published_vector() -> None:
    xpub = account(PHRASES[0]).to_public().to_base58()
    assert evm_address(xpub, 0) == "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"
    assert evm_address(xpub, 1) == "0x70997970C51812dc3A010C7d01b50e0d17dc79C8"


def test_another_account_has_other_addresses() -> None:
    first = account(PHRASES[0]).to_public().to_base58()
    second = account(PHRASES[0], "m/44h/60h/1h").to_public().to_base58()
    assert evm_address(first, 0) != evm_address(second, 0)


def test_a_private_key_is_refused_and_not_shown() -> None:
    xprv = account(PHRASES[0]).to_base58()
    with pytest.raises(ValueError, match=r"^this is an extended PRIVATE key") as caught:
        evm_address(xprv, 0)
    assert xprv not in str(caught.value)


@pytest.mark.parametrize("path", ["m", "m/44h/60h", "m/44h/60h/0h/0"])
def test_another_level_is_refused(path: str) -> None:
    root = HDKey.from_seed(bip39.mnemonic_to_seed(PHRASES[0]))
    key = root if path == "m" else root.derive(path)
    with pytest.raises(ValueError, match=r"^the xpub must be that of an account"):
        evm_address(key.to_public().to_base58(), 0)


@pytest.mark.parametrize("version", ["tpub", "zpub", "ypub"])
def test_a_bitcoin_key_is_refused(version: str) -> None:
    versions = {"tpub": b"\x04\x35\x87\xcf", "zpub": b"\x04\xb2\x47\x46", "ypub": b"\x04\x9d\x7c\xb2"}
    text = account(PHRASES[0]).to_public().to_base58(versions[version])
    assert text.startswith(version)
    with pytest.raises(ValueError, match=r"^this is not an extended public key"):
        evm_address(text, 0)


def test_garbage_is_refused() -> None:
    good = account(PHRASES[0]).to_public().to_base58()
    swapped = good[:50] + ("A" if good[50] != "A" else "B") + good[51:]
    for text in ("", "xpub", "0x12", swapped, good[:-1], good + "1", "é" + good):
        with pytest.raises(ValueError, match=r"^this is not an extended public key"):
            evm_address(text, 0)


@pytest.mark.parametrize("index", [-1, HARDENED, HARDENED + 5])
def test_an_index_out_of_range_is_refused(index: int) -> None:
    xpub = account(PHRASES[0]).to_public().to_base58()
    with pytest.raises(ValueError, match=r"^the index must be from 0 to 2147483647$"):
        evm_address(xpub, index)


def test_the_web_process_loads_no_signer() -> None:
    """Deriving addresses and building every adapter leaves the heavy signing library unloaded."""
    program = (
        "import sys\n"
        "import kauri.common.derivation\n"
        "from kauri.payment_provider.gateway import registry\n"
        "assert 'evm_erc20' in registry()\n"
        "heavy = {'eth_account', 'eth_utils', 'eth_abi', 'pydantic'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
