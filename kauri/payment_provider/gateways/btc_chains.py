"""Chains of the Bitcoin family as data: how each writes its addresses and keys, and which block it began with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from embit import base58, bech32
from embit.base import EmbitError
from embit.bip32 import HDKey
from embit.script import Script, p2wpkh

from kauri.common.derivation import ACCOUNT_DEPTH, HARDENED

COINBASE_MATURITY: Final = 100
_HASH: Final = 20
_SCRIPT_HASH: Final = 32
_P2PKH: Final = (b"\x76\xa9\x14", b"\x88\xac")
_P2SH: Final = (b"\xa9\x14", b"\x87")
_OP_1: Final = 0x51


@dataclass(frozen=True, slots=True)
class ChainParameters:
    """One network. ``dust``: outputs below it are not carried on (whatever their script), in satoshi."""

    name: str
    rpc_chain: str  # what getblockchaininfo calls it
    genesis: str
    hrp: str
    p2pkh: int
    p2sh: int
    coin_type: int
    key_prefixes: tuple[str, ...]  # of an account's extended public key
    dust: int

    def script_of(self, address: str) -> Script:
        """The output script that pays ``address``; ValueError for anything that is no address of this chain.

        Witness versions without a meaning yet are refused: whoever pays them pays the first who comes.
        """
        if address.lower().startswith(f"{self.hrp}1"):
            return self._witness_script(address)
        try:
            data = base58.decode_check(address)
        except (EmbitError, ValueError, IndexError, KeyError):
            raise ValueError("this is not an address of this chain") from None
        if len(data) != 1 + _HASH or data[0] not in {self.p2pkh, self.p2sh}:
            raise ValueError("this is not an address of this chain")
        head, tail = _P2PKH if data[0] == self.p2pkh else _P2SH
        return Script(head + data[1:] + tail)

    def _witness_script(self, address: str) -> Script:
        version, program = bech32.decode(self.hrp, address)
        if version is None or program is None:
            raise ValueError("the address has a typing mistake")
        if version > 1 or (version == 1 and len(program) != _SCRIPT_HASH):
            raise ValueError("the address is of a kind that this chain does not use yet")
        opcode = _OP_1 if version else 0
        return Script(bytes([opcode, len(program), *program]))

    def canonical(self, address: str) -> str:
        """``address`` as it is stored: bech32 in lower case, base58 as written. ValueError as above."""
        self.script_of(address)
        return address.lower() if address.lower().startswith(f"{self.hrp}1") else address

    def address_of_key(self, public_key: bytes) -> str:
        """The P2WPKH address of a compressed public key."""
        program = p2wpkh(_Sec(public_key)).data[2:]
        return str(bech32.encode(self.hrp, 0, list(program)))

    def account_key(self, text: str) -> HDKey:
        """Read an account's extended public key (BIP-84), refusing other networks' and private ones.

        Raises ValueError, which never shows the key.
        """
        wanted = " or ".join(f"{prefix}…" for prefix in self.key_prefixes)
        try:
            key = HDKey.from_base58(text.strip())
        except (EmbitError, ValueError, IndexError, KeyError):
            raise ValueError(f"this is not an extended public key ({wanted})") from None
        if key.is_private:
            raise ValueError(f"this is an extended PRIVATE key; only the public one ({wanted}) belongs here")
        if not text.strip().startswith(self.key_prefixes):
            raise ValueError(f"this chain's extended public keys begin with {wanted}")
        if key.depth != ACCOUNT_DEPTH:
            level = f"m/84'/{self.coin_type}'/0'"
            raise ValueError(f"the key must be that of an account ({level}), not of depth {key.depth}")
        return key

    def child(self, key: HDKey, path: str) -> HDKey:
        """The key at ``path`` ("0/7") under an account's key; ValueError for another kind of path."""
        branch, _, index = path.partition("/")
        if branch not in {"0", "1"} or not (index.isascii() and index.isdecimal()):
            raise ValueError(f"{path!r} is not a path under an account")
        if int(index) >= HARDENED:
            raise ValueError("the index must be from 0 to 2147483647")
        return key.derive([int(branch), int(index)])


class _Sec:
    """What embit's script functions ask of a key."""

    def __init__(self, public_key: bytes) -> None:
        self._bytes = public_key

    def sec(self) -> bytes:
        return self._bytes


_TEST_KEYS: Final = ("tpub", "vpub")
CHAINS: Final = {
    chain.name: chain
    for chain in (
        ChainParameters(
            "bitcoin",
            "main",
            "000000000019d6689c085ae165831e934ff763ae46a2a6c172b3f1b60a8ce26f",
            "bc",
            0x00,
            0x05,
            0,
            ("xpub", "zpub"),
            546,
        ),
        ChainParameters(
            "bitcoin-testnet",
            "test",
            "000000000933ea01ad0ee984209779baaec3ced90fa3f408719526f8d77f4943",
            "tb",
            0x6F,
            0xC4,
            1,
            _TEST_KEYS,
            546,
        ),
        ChainParameters(
            "bitcoin-regtest",
            "regtest",
            "0f9188f13cb7b2c71f2a335e3a4fc328bf5beb436012afca590b1a11466e2206",
            "bcrt",
            0x6F,
            0xC4,
            1,
            _TEST_KEYS,
            546,
        ),
        ChainParameters(
            "litecoin",
            "main",
            "12a765e31ffd4059bada1e25190f6e98c99d9714d334efa41a195a7e7e04bfe2",
            "ltc",
            0x30,
            0x32,
            2,
            ("xpub", "zpub", "Ltub"),
            5460,
        ),
        ChainParameters(
            "litecoin-testnet",
            "test",
            "4966625a4b2851d9fdee139e56211a0d88575f59ed816ff5e8a63deb4e3e29a0",
            "tltc",
            0x6F,
            0x3A,
            1,
            (*_TEST_KEYS, "ttub"),
            5460,
        ),
        ChainParameters(
            "litecoin-regtest",
            "regtest",
            "530827f38f93b43ed12af0b3ad25a288dc02ed74d6d7857862df51fc56c416f9",
            "rltc",
            0x6F,
            0x3A,
            1,
            (*_TEST_KEYS, "ttub"),
            5460,
        ),
    )
}
