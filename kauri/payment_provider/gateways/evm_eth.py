"""Ether itself, through an Ethereum JSON-RPC node.

Incoming money is every successful transaction with a value, and, where the setting
``internal_transfers`` is ``debug_trace`` and the node can tell (its ``debug`` namespace), every value
that a contract passes on: exchanges and multi-signature wallets pay that way, and no log shows it.
Without it such money is on the address but not seen; the reconciliation finds it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Final

from kauri.common import evm, money
from kauri.common.jsonrpc import Call, RpcError
from kauri.payment_provider.gateway import (
    Block,
    ConfigError,
    IncomingTransfer,
    PreparedPayout,
    ProviderBalance,
    Retryable,
)
from kauri.payment_provider.gateways.evm_chain import EvmChain, ReorgDuringScan
from kauri.payment_provider.gateways.evm_node import WEI_DIGITS, number
from kauri.payment_provider.gateways.evm_payer import Payer

TRACER: Final = {"tracer": "callTracer"}
#: Calls that can pass value on; the others borrow it or can't.
_PAYING: Final = frozenset({"CALL", "CREATE", "CREATE2", "SELFDESTRUCT"})
#: A payin's place in its transaction has room for so many characters.
_LONGEST_PLACE: Final = 32


class EvmEth(EvmChain):
    """The chain's own currency."""

    code: ClassVar[str] = "evm_eth"
    default_currency: ClassVar[str] = "ETH"

    @property
    def traces(self) -> bool:
        """Whether internal transfers are asked for."""
        mode = self.config.settings.get("internal_transfers", "none")
        if mode not in {"none", "debug_trace"}:
            raise ConfigError("internal_transfers must be none or debug_trace")
        return bool(mode == "debug_trace")

    def _health_calls(self) -> list[Call]:
        return [Call("debug_traceBlockByNumber", ("latest", TRACER))] if self.traces else []

    def _own_fault(self, answers: list[Any]) -> str:
        if any(isinstance(answer, RpcError) for answer in answers):
            return "the node does not trace: internal transfers would not be seen"
        return ""

    def fetch_balances(self) -> tuple[ProviderBalance, ...]:
        hot = self._require_hot_address()
        chain, wei = self.node.read([Call("eth_chainId"), Call("eth_getBalance", (hot, "latest"))])
        self.node.require_chain(chain)
        return (ProviderBalance(self.currency, money.from_units(number(wei), WEI_DIGITS)),)

    def _transfers(self, blocks: list[Block]) -> list[IncomingTransfer]:
        found: list[IncomingTransfer] = []
        if self.traces:
            calls = [Call("debug_traceBlockByHash", (block.hash, TRACER)) for block in blocks]
            bodies = [Call("eth_getBlockByHash", (block.hash, False)) for block in blocks]
            names = self._by_block(blocks, bodies)
            for (block, traces), (_, body) in zip(self._by_block(blocks, calls), names, strict=True):
                found += self._traced(block, traces, body)
            return found
        calls = [Call("eth_getBlockByHash", (block.hash, True)) for block in blocks]
        receipts = self._by_block(blocks, [Call("eth_getBlockReceipts", (block.hash,)) for block in blocks])
        for (block, body), (_, outcomes) in zip(self._by_block(blocks, calls), receipts, strict=True):
            found += self._plain(block, body, outcomes)
        return found

    def _plain(self, block: Block, body: Any, receipts: Any) -> list[IncomingTransfer]:
        try:
            worked = {str(one["transactionHash"]).lower() for one in receipts if one["status"] == "0x1"}
            found = []
            for one in body["transactions"]:
                if str(one["blockHash"]).lower() != block.hash:
                    raise ReorgDuringScan(f"block {block.height} is no longer in the chain")
                name, wei = str(one["hash"]).lower(), evm.quantity(one["value"])
                if wei and one.get("to") and name in worked:
                    found.append(self._transfer(block, name, "0", one, wei))
        except (KeyError, TypeError, ValueError, AttributeError):
            raise Retryable(f"the node's block {block.height} is not readable") from None
        return found

    def _traced(self, block: Block, traces: Any, body: Any) -> list[IncomingTransfer]:
        try:
            names = [str(name).lower() for name in body["transactions"]]
            found = []
            # Some nodes name the transaction of each trace, some only keep their order.
            for name, trace in zip(names, traces, strict=True):
                if str(trace.get("txHash", name)).lower() != name:
                    raise ValueError("traces in another order")
                found += [
                    self._transfer(block, name, place, call, evm.quantity(call["value"]))
                    for place, call in _paying(trace["result"], "0")
                ]
        except (KeyError, TypeError, ValueError, AttributeError):
            raise Retryable(f"the node's traces of block {block.height} are not readable") from None
        return found

    def _transfer(
        self, block: Block, name: str, place: str, call: Mapping[str, Any], wei: int
    ) -> IncomingTransfer:
        return IncomingTransfer(
            transaction=name,
            ordinal=place,
            address=evm.to_address(str(call["to"]).lower()),
            currency=self.currency,
            amount=money.from_units(wei, WEI_DIGITS),
            block=block,
            sender=evm.to_address(str(call["from"]).lower()),
        )

    def _prepare(self, payer: Payer, to: str, units: int, nonce: int) -> PreparedPayout:
        return payer.prepare_native(to, units, nonce)


def _paying(call: Mapping[str, Any], place: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The calls under ``call`` that passed value on, each with its place in the tree (0, 0.1, 0.1.0).

    What a failed call did, and all below it, was undone.
    """
    if call.get("error"):
        return
    if call.get("type") in _PAYING and call.get("to") and evm.quantity(call.get("value") or "0x0"):
        yield _short(place), call
    for number_, inner in enumerate(call.get("calls") or []):
        yield from _paying(inner, f"{place}.{number_}")


def _short(place: str) -> str:
    """A place that fits its column: the same call has the same one in any block."""
    if len(place) <= _LONGEST_PLACE:
        return place
    return "h" + hashlib.sha256(place.encode()).hexdigest()[: _LONGEST_PLACE - 1]
