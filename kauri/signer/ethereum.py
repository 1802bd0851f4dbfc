"""Ethereum: which transactions are signed, and how (EIP-1559, EIP-2718).

The wallets are fixed paths: ``hot`` pays customers, ``gas/<i>`` gives deposit address ``i`` the fee of
its sweep, ``deposit/<i>`` sends only to the hot wallet or to a cold address.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

import rlp
from coincurve import PublicKey
from eth_hash.auto import keccak

from kauri.common import evm, money
from kauri.signer.errors import Refused
from kauri.signer.journal import Entry, Journal
from kauri.signer.keystore import KeyStore
from kauri.signer.policy import Cap, EthereumPolicy, require_room

DEPOSIT_ACCOUNT: Final = "m/44h/60h/0h"
HOT: Final = "m/44h/60h/1h/0/0"
GAS: Final = "m/44h/60h/2h/0/0"
WEI_DIGITS: Final = 18
FIELDS: Final = frozenset(
    {"chainId", "nonce", "to", "value", "gas", "maxFeePerGas", "maxPriorityFeePerGas", "data"}
)
_TYPE: Final = b"\x02"
_TRANSFER: Final = evm.call_data("transfer(address,uint256)")
_SELECTOR: Final = len(_TRANSFER)
_CALL_LENGTH: Final = _SELECTOR + 128
_HARDENED: Final = 1 << 31


@dataclass(frozen=True, slots=True)
class Payment:
    """What a transaction does, read from its own fields."""

    to: str
    currency: str
    amount: Decimal


def address(store: KeyStore, path: str) -> str:
    """The address of the key at ``path``."""
    return evm.public_key_address(PublicKey(store.public_key(path)).format(compressed=False))


def path_of(key: str) -> str:
    """The key path of ``hot``, ``gas/<i>`` or ``deposit/<i>``."""
    wallet, _, index = key.partition("/")
    if key == "hot":
        return HOT
    if wallet in {"gas", "deposit"} and index.isdecimal() and int(index[:11]) < _HARDENED:
        return GAS if wallet == "gas" else f"{DEPOSIT_ACCOUNT}/0/{int(index)}"
    raise Refused("no key of that name")


def sign(
    store: KeyStore, policy: EthereumPolicy, journal: Journal, key: str, fields: Mapping[str, Any], now: int
) -> str:
    """The signed bytes (0x…); :class:`Refused` when the shape or the caps forbid it."""
    path = path_of(key)
    _check_fields(fields, policy)
    sender = address(store, path)
    payment = _payment(fields, policy)
    slots = (f"evm:{policy.chain_id}:{sender}:{fields['nonce']}",)
    wallet, _, index = key.partition("/")
    leaves = Decimal(0)
    if not _cancels(fields, sender):
        cap = _cap(store, policy, wallet, index, payment)
        if cap is not None:
            leaves = payment.amount
            require_room(
                cap, journal, key=wallet, currency=payment.currency, amount=leaves, now=now, slots=slots
            )
    raw = _signed(store, path, fields)
    journal.add(
        Entry(
            at=now,
            key=wallet,
            name="0x" + keccak(bytes.fromhex(raw[2:])).hex(),
            slots=slots,
            currency=payment.currency,
            amount=leaves,
            to=payment.to,
        )
    )
    return raw


def _cap(store: KeyStore, policy: EthereumPolicy, wallet: str, index: str, payment: Payment) -> Cap | None:
    """The cap that the payment falls under; None when it stays in the house."""
    if wallet == "gas":
        if payment.currency != policy.currency or payment.to != address(store, path_of(f"deposit/{index}")):
            raise Refused("the gas wallet pays only the fee of its own deposit address")
        return policy.gas
    if payment.to in policy.cold:
        return None
    if wallet == "deposit":
        if payment.to != address(store, HOT):
            raise Refused("a deposit address pays only the hot wallet or a cold address")
        return None
    if payment.currency not in policy.caps:
        raise Refused(f"the policy has no cap for {payment.currency}")
    return policy.caps[payment.currency]


def _check_fields(fields: Mapping[str, Any], policy: EthereumPolicy) -> None:
    if set(fields) != FIELDS:
        raise Refused("the transaction has other fields than those of an EIP-1559 payment")
    numbers = [fields[name] for name in FIELDS - {"to", "data"}]
    if any(type(value) is not int or value < 0 for value in numbers):
        raise Refused("a number of the transaction is none")
    if fields["chainId"] != policy.chain_id:
        raise Refused("the transaction is for another chain")
    if fields["maxPriorityFeePerGas"] > fields["maxFeePerGas"]:
        raise Refused("the tip is above the whole fee")
    if money.from_units(fields["gas"] * fields["maxFeePerGas"], WEI_DIGITS) > policy.max_fee:
        raise Refused("the network's fee is above the cap")


def _payment(fields: Mapping[str, Any], policy: EthereumPolicy) -> Payment:
    try:
        to = evm.to_address(fields["to"])
        data = fields["data"].lower()
    except (ValueError, TypeError, AttributeError):
        raise Refused("the transaction's recipient or data is not readable") from None
    token = policy.tokens.get(to)
    if token is None:
        if data != "0x":
            raise Refused("calls of contracts that the policy does not name are not signed")
        return Payment(to, policy.currency, money.from_units(fields["value"], WEI_DIGITS))
    if fields["value"] or len(data) != _CALL_LENGTH or not data.startswith(_TRANSFER):
        raise Refused("of a token only a plain transfer is signed")
    try:
        recipient = evm.topic_address("0x" + data[_SELECTOR : _SELECTOR + 64])
        units = int(data[_SELECTOR + 64 :], 16)
    except ValueError:
        raise Refused("the token's transfer is not readable") from None
    return Payment(recipient, token.currency, money.from_units(units, token.decimals))


def _cancels(fields: Mapping[str, Any], sender: str) -> bool:
    """Nothing to oneself: it only uses up the nonce."""
    return fields["value"] == 0 and fields["data"] == "0x" and evm.to_address(fields["to"]) == sender


def _signed(store: KeyStore, path: str, fields: Mapping[str, Any]) -> str:
    body: list[Any] = [
        fields["chainId"],
        fields["nonce"],
        fields["maxPriorityFeePerGas"],
        fields["maxFeePerGas"],
        fields["gas"],
        bytes.fromhex(fields["to"][2:]),
        fields["value"],
        bytes.fromhex(fields["data"][2:]),
        [],
    ]
    signature = store.sign(path, keccak(_TYPE + rlp.encode(body)))
    r, s, parity = signature[:32], signature[32:64], signature[64]
    signed: bytes = rlp.encode([*body, parity, int.from_bytes(r), int.from_bytes(s)])
    return "0x" + (_TYPE + signed).hex()
