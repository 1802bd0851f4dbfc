"""Bitcoin's family: which PSBTs are signed, and how (BIP-174, BIP-84 single-key segwit inputs).

Every input must be ours. An output is change only when its key path is ours and makes its script;
everything else that is not a cold address is a payment and falls under the caps.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from coincurve import PublicKey
from coincurve.utils import int_to_bytes
from embit import ec, script
from embit.base import EmbitError
from embit.bip32 import HARDENED_INDEX, HDKey, path_to_str
from embit.psbt import PSBT
from embit.transaction import Transaction, Witness

from kauri.common import money
from kauri.signer.errors import Refused
from kauri.signer.journal import Entry, Journal
from kauri.signer.keystore import KeyStore
from kauri.signer.policy import BitcoinPolicy, require_room

DIGITS: Final = 8
SIGHASH_ALL: Final = 1
_PURPOSE: Final = 84
#: Every test chain has this coin type (SLIP-44), and public keys that begin with "tpub".
_TEST_COIN: Final = 1
_TEST_VERSION: Final = bytes.fromhex("043587cf")
_DEPTH: Final = 5
_MOST_INPUTS: Final = 500
_ORDER: Final = 0xFFFFFFFF_FFFFFFFF_FFFFFFFF_FFFFFFFE_BAAEDCE6_AF48A03B_BFD25E8C_D0364141


@dataclass(frozen=True, slots=True)
class _Input:
    coin: str
    worth: int
    path: str
    public: bytes


def account_path(coin_type: int) -> str:
    """The account whose extended public key the back office is given."""
    return f"m/{_PURPOSE}h/{coin_type}h/0h"


def account_xpub(store: KeyStore, coin_type: int) -> str:
    """The account's extended public key, in the form that its chains are told apart by (tpub for tests)."""
    found = store.account_xpub(account_path(coin_type))
    if coin_type != _TEST_COIN:
        return found
    return str(HDKey.from_base58(found).to_base58(version=_TEST_VERSION))


def sign(store: KeyStore, policy: BitcoinPolicy, journal: Journal, text: str, now: int) -> str:
    """The final transaction (hex); :class:`Refused` when the shape or the caps forbid it."""
    psbt = _read(text)
    inputs = [_our_input(store, policy, psbt, number) for number in range(len(psbt.inputs))]
    for one in inputs:
        # Each signature vouches for its own input's worth alone: two requests that lie about
        # different inputs would together burn the difference as a fee.
        if journal.known_worth(one.coin) not in {None, one.worth}:
            raise Refused("a coin was said to be worth something else before")
    paid, leaves, recipients = _outputs(store, policy, psbt)
    fee = sum(one.worth for one in inputs) - paid
    if fee < 0 or money.from_units(fee, DIGITS) > policy.max_fee:
        raise Refused("the network's fee is above the cap, or the coins don't cover the payment")
    amount = money.from_units(leaves, DIGITS)
    slots = tuple(one.coin for one in inputs)
    if leaves:
        require_room(
            policy.cap, journal, key="btc", currency=policy.currency, amount=amount, now=now, slots=slots
        )
    final = Transaction.parse(psbt.tx.serialize())
    for number, one in enumerate(inputs):
        final.vin[number].witness = Witness([_signature(store, psbt, number, one), one.public])
    journal.add(
        Entry(
            at=now,
            key="btc",
            name=final.txid().hex(),
            slots=slots,
            currency=policy.currency,
            amount=amount,
            to=",".join(recipients)[:1000],
            worth=tuple((one.coin, one.worth) for one in inputs),
        )
    )
    return str(final.serialize().hex())


def _read(text: str) -> Any:
    try:
        psbt = PSBT.from_base64(text)
    except (EmbitError, ValueError, IndexError, TypeError, RuntimeError):
        raise Refused("this is no PSBT") from None
    if not 0 < len(psbt.inputs) <= _MOST_INPUTS:
        raise Refused("a PSBT has 1 to 500 inputs")
    return psbt


def _our_input(store: KeyStore, policy: BitcoinPolicy, psbt: Any, number: int) -> _Input:
    one = psbt.inputs[number]
    found = _our_key(store, policy, one.bip32_derivations)
    spent = one.witness_utxo
    if found is None or spent is None or one.sighash_type not in {None, SIGHASH_ALL}:
        raise Refused(f"input {number} is not ours, or asks for another signature than of everything")
    path, public, _ = found
    if spent.script_pubkey.data != script.p2wpkh(ec.PublicKey.parse(public)).data:
        raise Refused(f"input {number} is not locked by the key it names")
    coin = psbt.tx.vin[number]
    return _Input(f"{coin.txid.hex()}:{coin.vout}", int(spent.value), path, public)


def _outputs(store: KeyStore, policy: BitcoinPolicy, psbt: Any) -> tuple[int, int, list[str]]:
    """All that is paid, what of it leaves the house, and to which scripts; in satoshi."""
    paid, leaves, recipients = 0, 0, []
    for meta, out in zip(psbt.outputs, psbt.tx.vout, strict=True):
        paid += int(out.value)
        found = _our_key(store, policy, meta.bip32_derivations)
        ours = (
            found is not None
            and found[2] == 1
            and out.script_pubkey.data == script.p2wpkh(ec.PublicKey.parse(found[1])).data
        )
        if ours or out.script_pubkey.data.hex() in policy.cold_scripts:
            continue
        leaves += int(out.value)
        recipients.append(out.script_pubkey.data.hex())
    return paid, leaves, recipients


def _our_key(
    store: KeyStore, policy: BitcoinPolicy, derivations: dict[Any, Any]
) -> tuple[str, bytes, int] | None:
    """Path, public key and chain (0 receiving, 1 change) of the one key named, when it is truly ours."""
    account = [_PURPOSE + HARDENED_INDEX, policy.coin_type + HARDENED_INDEX, HARDENED_INDEX]
    for public, origin in derivations.items():
        steps = list(origin.derivation)
        if origin.fingerprint != store.fingerprint or len(steps) != _DEPTH or steps[:3] != account:
            continue
        if steps[3] not in {0, 1} or steps[4] >= HARDENED_INDEX:
            continue
        path = path_to_str(steps)
        ours = store.public_key(path)
        if ours == bytes(public.sec()):
            return path, ours, steps[3]
    return None


def _signature(store: KeyStore, psbt: Any, number: int, one: _Input) -> bytes:
    # The digest must speak of what was judged, whatever else the request carries.
    psbt.inputs[number].non_witness_utxo = None
    digest = psbt.sighash(number, sighash=SIGHASH_ALL)
    compact = store.sign(one.path, digest)
    r, s = int.from_bytes(compact[:32]), int.from_bytes(compact[32:64])
    # Nodes relay only the lower of the two valid values of s (BIP-146).
    der = _der(r, min(s, _ORDER - s))
    if not PublicKey(one.public).verify(der, digest, hasher=None):
        raise Refused(f"the key store signed input {number} wrongly")
    return der + bytes([SIGHASH_ALL])


def _der(r: int, s: int) -> bytes:
    parts = b""
    for value in (r, s):
        data = int_to_bytes(value)
        data = b"\x00" + data if data[0] & 0x80 else data
        parts += b"\x02" + bytes([len(data)]) + data
    return b"\x30" + bytes([len(parts)]) + parts
