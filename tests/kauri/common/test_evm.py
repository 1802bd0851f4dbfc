"""Ethereum's encodings against published vectors and eth-account's own code."""

from __future__ import annotations

import pytest
from eth_utils.address import to_checksum_address
from hypothesis import given
from hypothesis import strategies as st

from kauri.common import evm

#: From EIP-55 itself.
VECTORS = [
    "0x52908400098527886E0F7030069857D2E4169EE7",
    "0xde709f2102306220921060314715629080e2fb77",
    "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
    "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359",
    "0xdbF03B407c01E7cD3CBea99509d93f8DDDC8C6FB",
    "0xD1220A0cf47c7B9Be7A2E6BA89F429762e7b9aDb",
]


@pytest.mark.parametrize("address", VECTORS)
def test_check_sums(address: str) -> None:
    assert evm.to_address(address) == address
    assert evm.to_address(address.lower()) == address


@given(st.binary(min_size=20, max_size=20))
def test_check_sums_are_the_librarys(raw: bytes) -> None:
    assert evm.checksum(raw) == to_checksum_address(raw)


@pytest.mark.parametrize("flip", [2, 5, 20, 41])
def test_one_wrong_case_is_found(flip: int) -> None:
    address = "0xdbF03B407c01E7cD3CBea99509d93f8DDDC8C6FB"
    letters = [i for i in range(2, 42) if address[i].isalpha()]
    at = letters[flip % len(letters)]
    wrong = address[:at] + address[at].swapcase() + address[at + 1 :]
    with pytest.raises(ValueError, match=r"typing error"):
        evm.to_address(wrong)


def test_call_data_is_the_abis() -> None:
    data = evm.call_data("transfer(address,uint256)", VECTORS[2], 1_000_000)
    assert data == (
        "0xa9059cbb"
        "0000000000000000000000005aaeb6053f3e94c9b9a09f33669435e7ef1beaed"
        "00000000000000000000000000000000000000000000000000000000000f4240"
    )
    assert evm.TRANSFER_TOPIC == "0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef"
    assert evm.word((1 << 256) - 1) == "f" * 64
    for value in (-1, 1 << 256):
        with pytest.raises(ValueError, match=r"^not a uint256$"):
            evm.word(value)


def test_topics_and_quantities() -> None:
    assert evm.topic_address("0x" + "00" * 12 + VECTORS[2][2:].lower()) == VECTORS[2]
    for bad in ("0x" + "01" + "00" * 31, "0x00", ""):
        with pytest.raises(ValueError, match=r"^not an address topic$"):
            evm.topic_address(bad)
    assert evm.quantity("0x0") == 0
    assert evm.quantity("0x1F") == 31
    for odd in ("0x", "", "31", None, 31, "-0x1", "0x" + "1" * 65, "0x1 "):
        with pytest.raises(ValueError, match=r"^not a hexadecimal quantity$"):
            evm.quantity(odd)


def test_public_keys_of_another_form_are_refused() -> None:
    for bad in (b"", b"\x02" + b"\1" * 32, b"\x05" + b"\1" * 64):
        with pytest.raises(ValueError, match=r"^an uncompressed public key"):
            evm.public_key_address(bad)
    with pytest.raises(ValueError, match=r"^an address has 20 bytes$"):
        evm.checksum(b"\1" * 19)
