"""Building, having signed and checking Bitcoin transactions. Nothing here sends."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from typing import Final

from coincurve import PublicKey
from embit import ec
from embit.base import EmbitError
from embit.psbt import PSBT, DerivationPath
from embit.script import Script, p2pkh, p2wpkh
from embit.transaction import SIGHASH, Transaction, TransactionInput, TransactionOutput

from kauri.common import money
from kauri.common.errors import KauriError
from kauri.payment_provider.gateway import (
    Coin,
    ConfigError,
    InsufficientFloat,
    PayoutRequest,
    PreparedPayout,
    Rejected,
    Retryable,
    Signer,
)
from kauri.payment_provider.gateways import btc_selection
from kauri.payment_provider.gateways.btc_rpc import FeeRates
from kauri.payment_provider.gateways.btc_settings import DIGITS, KILO, BtcSettings

#: BIP-125: may be replaced, and locktime is honoured.
SEQUENCE: Final = 0xFFFFFFFD
_WITNESS_ITEMS: Final = 2


@dataclass(frozen=True, slots=True)
class Payment:
    """One output that was asked for."""

    script: Script
    amount: int


@dataclass(frozen=True)
class Payer:
    """One transaction's making. ``signer`` holds the keys; this only checks what it did."""

    settings: BtcSettings
    signer: Signer
    request: PayoutRequest
    rates: FeeRates

    @cached_property
    def payments(self) -> list[Payment]:
        """What the transaction pays, the request's own first. Rejected for what can't be paid."""
        return payments_of(self.settings, self.request)

    def prepare(self) -> PreparedPayout:
        """A new payment out of the request's coins."""
        coins = self.request.coins
        amounts = [_units(coin.amount) for coin in coins]
        total = sum(payment.amount for payment in self.payments)
        chain = self.settings.chain
        choice = btc_selection.choose(amounts, total, self._outputs_weight(), self.rates.now, chain.dust)
        if choice is None:
            raise InsufficientFloat("the coins that may be spent now are not enough")
        chosen = [coins[index] for index in choice.indexes]
        outputs = self._outputs()
        if choice.change:
            change = TransactionOutput(0, self._change_script())
            weight = _weight(_unsigned(chosen, [*outputs, change]))
            change.value = _sum(chosen) - total - btc_selection.fee_for(weight, self.rates.now)
            outputs = self._place(outputs, change)
        return self._sign(chosen, outputs, cancels=False)

    def replace(self, stuck: PreparedPayout) -> PreparedPayout:
        """The same outputs from the same coins at a higher fee, taken from the change or one more coin."""
        old = self._inputs_of(stuck)
        spare = sorted(
            (coin for coin in self.request.coins if coin not in old), key=lambda coin: _units(coin.amount)
        )
        total = sum(payment.amount for payment in self.payments)
        # No further coin, else the smallest that does: all the old ones stay, so that only one can be mined.
        for chosen in [old, *([*old, coin] for coin in spare)]:
            outputs = self._outputs()
            least = self._least_fee(stuck, _weight(_unsigned(chosen, outputs)))
            left = _sum(chosen) - total
            change = TransactionOutput(0, self._change_script())
            weight = _weight(_unsigned(chosen, [*outputs, change]))
            change.value = left - self._least_fee(stuck, weight)
            if change.value >= self.settings.chain.dust:
                self._require_cap(left - change.value, weight)
                return self._sign(chosen, self._place(outputs, change), cancels=False)
            if left >= least:
                self._require_cap(left, _weight(_unsigned(chosen, outputs)))
                return self._sign(chosen, outputs, cancels=False)
        raise Retryable("no coin is free that would pay a higher fee")

    def cancel(self, stuck: PreparedPayout) -> PreparedPayout:
        """The same coins back to ourselves: what they were to pay can't be mined beside it."""
        chosen = self._inputs_of(stuck)
        back = TransactionOutput(0, self._change_script())
        weight = _weight(_unsigned(chosen, [back]))
        fee = self._least_fee(stuck, weight)
        back.value = _sum(chosen) - fee
        if back.value < self.settings.chain.dust:
            raise Retryable("the coins do not hold the fee that a cancellation needs")
        self._require_cap(fee, weight)
        return self._sign(chosen, [back], cancels=True)

    # -- fees -----------------------------------------------------------------------------------

    def _least_fee(self, stuck: PreparedPayout, weight: int) -> int:
        """What a replacement of ``weight`` must pay: today's rate, and BIP-125's rules over the old one."""
        old = parse(stuck.payload)
        old_fee = self._fee_of(old)
        size = btc_selection.virtual_size(weight)
        increment = -(-size * self.rates.increment // KILO)
        old_rate_too = -(-old_fee * size // btc_selection.virtual_size(_weight(old)))
        by_rate = btc_selection.fee_for(weight, self.rates.now)
        return max(by_rate, old_fee + increment, old_rate_too + increment)

    def _require_cap(self, fee: int, weight: int) -> None:
        if fee * KILO > self.settings.max_fee_rate * btc_selection.virtual_size(weight) + KILO:
            raise Retryable("a replacement would cost more than the cap allows")

    def _fee_of(self, transaction: Transaction) -> int:
        return fee_of(transaction, self.request.coins)

    # -- parts ----------------------------------------------------------------------------------

    def _outputs(self) -> list[TransactionOutput]:
        return [TransactionOutput(payment.amount, payment.script) for payment in self.payments]

    def _outputs_weight(self) -> int:
        return sum(4 * len(output.serialize()) for output in self._outputs())

    def _change_script(self) -> Script:
        if not self.request.change_path.startswith("1/"):
            raise ConfigError("the caller gave no place for the change")
        return p2wpkh(self._key(self.request.change_path))

    def _place(self, outputs: list[TransactionOutput], change: TransactionOutput) -> list[TransactionOutput]:
        """The change somewhere among the outputs: its place tells nobody which one it is."""
        seed = hashlib.sha256(self.request.reference.encode()).digest()
        at = int.from_bytes(seed[:4], "big") % (len(outputs) + 1)
        return [*outputs[:at], change, *outputs[at:]]

    def _inputs_of(self, stuck: PreparedPayout) -> list[Coin]:
        ours = {(coin.transaction, coin.ordinal): coin for coin in self.request.coins}
        try:
            return [ours[name] for name in inputs_of(parse(stuck.payload))]
        except KeyError:
            raise ConfigError("the caller did not give the coins of the stored transaction") from None

    def _key(self, path: str) -> ec.PublicKey:
        try:
            return self.settings.chain.child(self.settings.account, path).key
        except ValueError as exc:
            raise ConfigError(str(exc)) from None

    # -- signing --------------------------------------------------------------------------------

    def _sign(
        self, coins: Sequence[Coin], outputs: list[TransactionOutput], *, cancels: bool
    ) -> PreparedPayout:
        unsigned = _unsigned(coins, outputs)
        psbt = self._psbt(unsigned, coins)
        raw = self.signer.sign_psbt(psbt.to_string())
        try:
            signed = parse(raw)
        except ConfigError:
            raise ConfigError("the signer gave no transaction") from None
        self._require_signed(signed, unsigned, coins)
        if not cancels:
            self._require_paid(signed)
        return PreparedPayout(
            provider_reference=signed.txid().hex(),
            payload=signed.serialize().hex(),
            cancels=cancels,
            spends=tuple(inputs_of(signed)),
        )

    def _psbt(self, unsigned: Transaction, coins: Sequence[Coin]) -> PSBT:
        """With amount, script and key path of every input, and the path of the change."""
        psbt = PSBT(unsigned)
        for scope, coin in zip(psbt.inputs, coins, strict=True):
            key = self._key(coin.path)
            script = p2wpkh(key)
            if self.settings.chain.address_of_key(key.sec()) != coin.address:
                raise ConfigError(f"the coin at {coin.path} is not under the settings' extended public key")
            scope.witness_utxo = TransactionOutput(_units(coin.amount), script)
            scope.sighash_type = SIGHASH.ALL
            scope.bip32_derivations[key] = self._derivation(coin.path)
        if self.request.change_path:
            key = self._key(self.request.change_path)
            for output_scope, output in zip(psbt.outputs, unsigned.vout, strict=True):
                if output.script_pubkey == p2wpkh(key):
                    output_scope.bip32_derivations[key] = self._derivation(self.request.change_path)
        return psbt

    def _derivation(self, path: str) -> DerivationPath:
        branch, index = path.split("/")
        return DerivationPath(
            self.settings.fingerprint, [*self.settings.origin_path, int(branch), int(index)]
        )

    def _require_signed(self, signed: Transaction, unsigned: Transaction, coins: Sequence[Coin]) -> None:
        """ConfigError unless it is our very transaction, and every signature is good.

        The transaction's id covers inputs, outputs, sequences and locktime; the witness is what is left.
        """
        if signed.txid() != unsigned.txid():
            raise ConfigError("the signer gave another transaction back")
        for place, (source, coin) in enumerate(zip(signed.vin, coins, strict=True)):
            key = self._key(coin.path)
            items = [bytes(item) for item in source.witness.items]
            if len(items) != _WITNESS_ITEMS or items[1] != key.sec() or items[0][-1:] != bytes([SIGHASH.ALL]):
                raise ConfigError("the signer left an input unsigned")
            digest = unsigned.sighash_segwit(place, p2pkh(key), _units(coin.amount))
            if not PublicKey(key.sec()).verify(items[0][:-1], digest, hasher=None):
                raise ConfigError("the signer's signature is not good")

    def _require_paid(self, signed: Transaction) -> None:
        """ConfigError unless every asked payment is there once, and beside them at most our change."""
        left = [(bytes(output.script_pubkey.data), output.value) for output in signed.vout]
        for payment in self.payments:
            try:
                left.remove((bytes(payment.script.data), payment.amount))
            except ValueError:
                raise ConfigError("the transaction does not pay what was asked") from None
        if [script for script, _ in left] not in ([], [bytes(self._change_script().data)]):
            raise ConfigError("the transaction pays somebody who was not asked for")


def payments_of(settings: BtcSettings, request: PayoutRequest) -> list[Payment]:
    """The outputs a request asks for. Rejected: no address, not exact, nothing, or dust."""
    asked = [(request.destination, request.amount)]
    asked += [(output.destination, output.amount) for output in request.beside]
    found = []
    for destination, amount in asked:
        try:
            script = settings.chain.script_of(destination.strip())
            value = money.to_units(amount, DIGITS)
        except (ValueError, KauriError) as exc:
            raise Rejected(exc.detail if isinstance(exc, KauriError) else str(exc)) from None
        if value <= 0:
            raise Rejected("the amount must be greater than zero")
        if value < settings.chain.dust:
            raise Rejected("the amount is smaller than what the network carries")
        found.append(Payment(script, value))
    return found


def parse(payload: str) -> Transaction:
    """A transaction's hex; ConfigError when it is none."""
    try:
        raw = bytes.fromhex(payload)
        transaction = Transaction.parse(raw)
    except (EmbitError, ValueError, IndexError, TypeError):
        raise ConfigError("the stored bytes are no transaction") from None
    return transaction


def inputs_of(transaction: Transaction) -> list[tuple[str, int]]:
    """What it uses up: (transaction, ordinal)."""
    return [(source.txid.hex(), source.vout) for source in transaction.vin]


def fee_of(transaction: Transaction, coins: Sequence[Coin]) -> int:
    """What it leaves to the miner, in satoshi; ConfigError without all of its coins."""
    ours = {(coin.transaction, coin.ordinal): _units(coin.amount) for coin in coins}
    try:
        paid = sum(ours[name] for name in inputs_of(transaction))
    except KeyError:
        raise ConfigError("the caller did not give the coins of the stored transaction") from None
    return paid - sum(int(output.value) for output in transaction.vout)


def _unsigned(coins: Sequence[Coin], outputs: Sequence[TransactionOutput]) -> Transaction:
    sources = [
        TransactionInput(bytes.fromhex(coin.transaction), coin.ordinal, sequence=SEQUENCE) for coin in coins
    ]
    return Transaction(version=2, vin=sources, vout=list(outputs), locktime=0)


def _weight(transaction: Transaction) -> int:
    """The weight once it is signed, with the longest signatures there may be."""
    bare = Transaction(
        version=transaction.version,
        vin=[
            TransactionInput(source.txid, source.vout, sequence=source.sequence) for source in transaction.vin
        ],
        vout=transaction.vout,
        locktime=transaction.locktime,
    )
    witness = btc_selection.INPUT_WEIGHT - 41 * 4
    return 4 * len(bare.serialize()) + 2 + witness * len(bare.vin)


def _sum(coins: Sequence[Coin]) -> int:
    return sum(_units(coin.amount) for coin in coins)


def _units(amount: Decimal) -> int:
    return money.to_units(amount, DIGITS)


__all__ = ["Payer", "Payment", "fee_of", "inputs_of", "parse", "payments_of"]
