"""The small part of Ethereum's encodings that Kauri needs: addresses, call data, quantities.

Pure and light (no eth_account): web processes import it. Source: the Ethereum JSON-RPC and contract
ABI specifications, EIP-55 for the mixed-case check sum.
"""

from __future__ import annotations

import re
from typing import Final

from eth_hash.auto import keccak

ZERO_ADDRESS: Final = "0x" + "0" * 40
#: topic 0 of ERC-20's Transfer(address indexed from, address indexed to, uint256 value)
TRANSFER_TOPIC: Final = "0x" + keccak(b"Transfer(address,address,uint256)").hex()

_ADDRESS_BYTES: Final = 20
_KEY_BYTES: Final = 65
_UNCOMPRESSED: Final = 4
#: 0x and 32 bytes
_WORD_LENGTH: Final = 66
#: From this hexadecimal digit of the hash on, EIP-55 writes a capital.
_CAPITAL_FROM: Final = "8"
_ADDRESS: Final = re.compile(r"0x[0-9a-fA-F]{40}")
_QUANTITY: Final = re.compile(r"0x[0-9a-fA-F]{1,64}")


def checksum(raw: bytes) -> str:
    """The EIP-55 form of a 20-byte address."""
    if len(raw) != _ADDRESS_BYTES:
        raise ValueError("an address has 20 bytes")
    digits = raw.hex()
    weights = keccak(digits.encode()).hex()
    return "0x" + "".join(
        d.upper() if w >= _CAPITAL_FROM else d for d, w in zip(digits, weights[:40], strict=True)
    )


def to_address(text: str) -> str:
    """Return the EIP-55 form of an address that a person or a node wrote.

    All-lower-case carries no check sum and passes; any capital makes the check sum count.
    Raises ValueError, with words for a person, when it is none or its check sum is wrong.
    """
    if not _ADDRESS.fullmatch(text):
        raise ValueError("an address is 0x and 40 hexadecimal digits")
    address = checksum(bytes.fromhex(text[2:]))
    if text[2:] not in {address[2:], address[2:].lower()}:
        raise ValueError("the address has a typing error (its upper and lower case do not fit)")
    return address


def public_key_address(uncompressed: bytes) -> str:
    """The address of a 65-byte secp256k1 public key (0x04, x, y)."""
    if len(uncompressed) != _KEY_BYTES or uncompressed[0] != _UNCOMPRESSED:
        raise ValueError("an uncompressed public key has 65 bytes and begins with 4")
    return checksum(keccak(uncompressed[1:])[-20:])


def word(value: int | str) -> str:
    """One 32-byte ABI word, 64 hex digits: an unsigned int, or an address."""
    if isinstance(value, str):
        return to_address(value)[2:].lower().rjust(64, "0")
    if not 0 <= value < 1 << 256:
        raise ValueError("not a uint256")
    return f"{value:064x}"


def call_data(signature: str, *arguments: int | str) -> str:
    """Call data of a function whose arguments are all static words: ``transfer(address,uint256)``."""
    return "0x" + keccak(signature.encode()).hex()[:8] + "".join(word(a) for a in arguments)


def topic_address(topic: str) -> str:
    """The address in an indexed 32-byte topic. ValueError when the upper 12 bytes are not zero."""
    if len(topic) != _WORD_LENGTH or not topic.startswith("0x" + "0" * 24):
        raise ValueError("not an address topic")
    return checksum(bytes.fromhex(topic[26:]))


def quantity(value: object) -> int:
    """``"0x1f"`` (or one 32-byte word) -> 31. ValueError for anything else."""
    if not isinstance(value, str) or not _QUANTITY.fullmatch(value):
        raise ValueError("not a hexadecimal quantity")
    return int(value, 16)


def transaction_hash(raw: str) -> str:
    """The name, ``0x`` and 64 digits, under which the chain will know these signed bytes (hex)."""
    return "0x" + keccak(bytes.fromhex(raw.removeprefix("0x"))).hex()
