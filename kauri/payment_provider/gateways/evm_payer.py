"""Builds a payment and has it signed, after everything that can be known beforehand was asked.

Nothing here sends. What is refused here is refused for certain; what only the network can tell is not
guessed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import ROUND_UP, Decimal
from typing import Any, Final

from kauri.common import evm
from kauri.common.jsonrpc import Call, RpcError
from kauri.payment_provider.gateway import (
    ConfigError,
    InsufficientFloat,
    PreparedPayout,
    Rejected,
    Retryable,
    Signer,
)
from kauri.payment_provider.gateways.evm_node import FEE_HISTORY, EvmNode, Fees, number

#: What a plain payment to an account without code takes.
PLAIN_GAS: Final = 21_000
TRANSFER: Final = "transfer(address,uint256)"
#: Error(string), the usual form of a contract's reason.
_REASON_SELECTOR: Final = "0x08c379a0"
_FALSE: Final = "0x" + "0" * 64
_WORD_LENGTH: Final = len(_FALSE)
#: geth's error code of a call that reverts; others tell it in words only.
_REVERTED: Final = 3


@dataclass(frozen=True, slots=True)
class Payer:
    """An address of ours on one node, and the name of its key at the signer."""

    node: EvmNode
    currency: str
    source: str
    key: str
    signer: Signer

    def prepare_token(self, to: str, units: int, nonce: int) -> PreparedPayout:
        """Have ``units`` of the token to ``to`` signed with ``nonce``, after checks of token, float and fee."""
        settings, node = self.node.settings, self.node
        data = evm.call_data(TRANSFER, to, units)
        payment = {"from": self.source, "to": settings.token, "data": data}
        chain, decimals, history, *answers = node.try_read(
            [
                Call("eth_chainId"),
                node.token_call("decimals()"),
                FEE_HISTORY,
                node.token_call("balanceOf(address)", self.source),
                node.token_call("balanceOf(address)", self.source, tag="pending"),
                Call("eth_getBalance", (self.source, "latest")),
                Call("eth_getBalance", (self.source, "pending")),
                Call("eth_call", (payment, "latest")),
                Call("eth_estimateGas", (payment,)),
                node.token_call("paused()"),
                node.token_call("isBlackListed(address)", self.source),
                node.token_call("isBlackListed(address)", to),
                node.token_call("basisPointsRate()"),
            ]
        )
        node.require_chain(chain)
        node.require_decimals(decimals)
        units_now, units_pending, wei_now, wei_pending, trial, estimate, *token = answers
        _check_token(token, allow_fee=settings.allow_token_fee)
        if units > _least(units_now, units_pending):
            raise InsufficientFloat(f"the paying address holds less {self.currency} than the payout")
        gas = self._gas(trial, estimate)
        fees = node.fees_from(history)
        if gas * fees.max_fee > _least(wei_now, wei_pending):
            raise InsufficientFloat(
                f"the paying address holds too little {settings.native_currency} for the fee"
            )
        return self._sign(nonce, settings.token, 0, data, gas, fees)

    def prepare_native(self, to: str, wei: int, nonce: int) -> PreparedPayout:
        """Have ``wei`` to ``to`` signed with ``nonce``, after checks of balance and fee."""
        settings, node = self.node.settings, self.node
        payment = {"from": self.source, "to": to, "value": hex(wei)}
        chain, history, wei_now, wei_pending, estimate = node.try_read(
            [
                Call("eth_chainId"),
                FEE_HISTORY,
                Call("eth_getBalance", (self.source, "latest")),
                Call("eth_getBalance", (self.source, "pending")),
                Call("eth_estimateGas", (payment,)),
            ]
        )
        node.require_chain(chain)
        fees = node.fees_from(history)
        least = _least(wei_now, wei_pending)
        # A trial run of what the address can't pay fails like one that the recipient refuses.
        if wei + PLAIN_GAS * fees.max_fee > least:
            raise InsufficientFloat(f"the paying address holds less {self.currency} than payment and fee")
        gas = PLAIN_GAS if _is(estimate, PLAIN_GAS) else self._gas(None, estimate)
        if wei + gas * fees.max_fee > least:
            raise InsufficientFloat(
                f"the paying address holds too little {settings.native_currency} for the fee"
            )
        return self._sign(nonce, to, wei, "0x", gas, fees)

    def cancel(self, stuck: PreparedPayout) -> PreparedPayout:
        """Nothing to oneself at the same nonce, both fees raised: it only uses up the nonce."""
        old, fees = self._raised(stuck)
        cancelled = self._sign(int(old["nonce"]), self.source, 0, "0x", PLAIN_GAS, fees)
        return replace(cancelled, cancels=True)

    def raise_fees(self, stuck: PreparedPayout) -> PreparedPayout:
        """The same payment at the same nonce, both fees raised by ``fee_bump_percent`` or more."""
        old, fees = self._raised(stuck)
        to, data = evm.checksum(bytes(old["to"])), "0x" + bytes(old["data"]).hex()
        same = self._sign(int(old["nonce"]), to, int(old["value"]), data, int(old["gas"]), fees)
        return replace(same, cancels=stuck.cancels)

    def _raised(self, stuck: PreparedPayout) -> tuple[Mapping[str, Any], Fees]:
        """The stuck transaction's fields, and fees that nodes accept in its place."""
        old = _decoded(stuck.payload)
        chain, history = self.node.read([Call("eth_chainId"), FEE_HISTORY])
        self.node.require_chain(chain)
        fresh = self.node.fees_from(history)
        fees = Fees(
            max_fee=max(self._bumped(old["maxFeePerGas"]), fresh.max_fee),
            tip=max(self._bumped(old["maxPriorityFeePerGas"]), fresh.tip),
        )
        if fees.max_fee > self.node.settings.max_fee:
            raise Retryable("a replacement would cost more than the cap allows")
        return old, fees

    def _gas(self, trial: object, estimate: object) -> int:
        """The gas limit, after a trial run on the node's present state (None: the estimate is it)."""
        if trial is not None:
            _check_trial(trial)
        if isinstance(estimate, RpcError):
            _check_trial(estimate)
        settings = self.node.settings
        gas = number(estimate) * (100 + settings.gas_margin_percent) // 100
        if gas > settings.max_gas:
            raise ConfigError(f"the transfer needs {gas} gas, more than max_gas allows")
        return gas

    def _bumped(self, fee: int) -> int:
        raised = Decimal(fee) * (100 + self.node.settings.fee_bump_percent) / 100
        return int(raised.to_integral_value(ROUND_UP))

    def _sign(self, nonce: int, to: str, wei: int, data: str, gas: int, fees: Fees) -> PreparedPayout:
        fields = {
            "chainId": self.node.settings.chain_id,
            "nonce": nonce,
            "to": to,
            "value": wei,
            "data": data,
            "gas": gas,
            "maxFeePerGas": fees.max_fee,
            "maxPriorityFeePerGas": fees.tip,
        }
        raw = self.signer.sign_evm(self.key, fields)
        self._check_signed(raw, fields)
        return PreparedPayout(provider_reference=evm.transaction_hash(raw), payload=raw, nonce=nonce)

    def _check_signed(self, raw: str, fields: Mapping[str, Any]) -> None:
        """ConfigError when the signer signed anything else, or with another key than this address's."""
        # Only who signs needs this library: it is slow to load and large.
        from eth_account import Account  # noqa: PLC0415

        got = _decoded(raw)
        same = all(
            (bytes(got[name]).hex() if name in {"to", "data"} else got[name])
            == (value[2:].lower() if name in {"to", "data"} else value)
            for name, value in fields.items()
        )
        if not same or Account.recover_transaction(raw) != self.source:
            raise ConfigError("the signer's keys are not those of the settings' addresses")


def _decoded(raw: str) -> Mapping[str, Any]:
    # Only who signs needs these libraries: they are slow to load and large.
    from eth_account.typed_transactions.typed_transaction import TypedTransaction  # noqa: PLC0415
    from hexbytes import HexBytes  # noqa: PLC0415

    fields: Mapping[str, Any] = TypedTransaction.from_bytes(HexBytes(raw)).as_dict()
    return fields


def _is(answer: object, value: int) -> bool:
    return isinstance(answer, str) and number(answer) == value


def _check_token(answers: Sequence[object], *, allow_fee: bool) -> None:
    """Rejected when the token would refuse or swallow the payment. Tokens without these functions pass."""
    paused, hot_blocked, to_blocked, fee = answers
    if _yes(paused):
        raise Rejected("the token is paused by its issuer")
    if _yes(hot_blocked):
        raise Rejected("the token's issuer has blacklisted the hot wallet")
    if _yes(to_blocked):
        raise Rejected("the destination is blacklisted by the token's issuer")
    if _yes(fee) and not allow_fee:
        raise ConfigError("the token now takes a fee: the customer would receive less than we owe")


def _check_trial(trial: object) -> None:
    """Rejected, with the contract's reason, when a trial run of the transfer reverts or returns false."""
    if isinstance(trial, RpcError):
        words = trial.message.lower()
        if trial.code == _REVERTED or "revert" in words or "invalid opcode" in words:
            raise Rejected(f"the contract refuses the transfer{_reason(trial.data)}")
        raise Retryable(f"the node cannot try the transfer ({trial})")
    # Tether's transfer returns nothing at all, others true.
    if trial == _FALSE:
        raise Rejected("the token refuses the transfer (it returns false)")


def _yes(answer: object) -> bool:
    return isinstance(answer, str) and len(answer) == _WORD_LENGTH and int(answer, 16) != 0


def _reason(data: object) -> str:
    """The text of Error(string), as `` (text)``; '' when the contract gave none."""
    if isinstance(data, Mapping):
        data = data.get("data")
    if not isinstance(data, str) or not data.startswith(_REASON_SELECTOR):
        return ""
    try:
        body = bytes.fromhex(data[len(_REASON_SELECTOR) :])
    except ValueError:
        return ""
    size = int.from_bytes(body[32:64], "big")
    text = body[64 : 64 + min(size, 200)].decode("utf-8", "replace")
    return f" ({text})" if text.isprintable() and text else ""


def _least(now: object, pending: object) -> int:
    """The smaller of two balances; not every node can tell the pending one."""
    return number(now) if isinstance(pending, RpcError) else min(number(now), number(pending))
