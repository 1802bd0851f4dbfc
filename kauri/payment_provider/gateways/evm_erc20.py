"""An ERC-20 token (USDT by default) through an Ethereum JSON-RPC node.

Incoming money is read from the token's Transfer logs, block by block, by block hash. Settings: those of
:mod:`evm_chain`, ``token_address`` and ``token_decimals``, which are checked against the contract.
"""

from __future__ import annotations

from typing import Any, ClassVar

from kauri.common import evm, money
from kauri.common.jsonrpc import Call, RpcError
from kauri.payment_provider.gateway import (
    Block,
    IncomingTransfer,
    PreparedPayout,
    ProviderBalance,
    Rejected,
    Retryable,
)
from kauri.payment_provider.gateways.evm_chain import EvmChain, ReorgDuringScan
from kauri.payment_provider.gateways.evm_node import WEI_DIGITS, number
from kauri.payment_provider.gateways.evm_payer import Payer


class EvmErc20(EvmChain):
    """One token on one chain."""

    code: ClassVar[str] = "evm_erc20"
    has_token: ClassVar[bool] = True
    default_currency: ClassVar[str] = "USDT"

    def validate_destination(self, currency: str, destination: str) -> str:
        address = super().validate_destination(currency, destination)
        if address == self.settings.token:
            raise Rejected("this is the token's own address: what is sent there is lost")
        return address

    def _health_calls(self) -> list[Call]:
        return [Call("eth_getCode", (self.settings.token, "latest")), self.node.token_call("decimals()")]

    def _own_fault(self, answers: list[Any]) -> str:
        code, decimals = answers
        if code in {"0x", None} or isinstance(code, RpcError):
            return "there is no contract at token_address"
        self.node.require_decimals(decimals)
        return ""

    def fetch_balances(self) -> tuple[ProviderBalance, ...]:
        hot = self._require_hot_address()
        chain, units, wei = self.node.read(
            [
                Call("eth_chainId"),
                self.node.token_call("balanceOf(address)", hot),
                Call("eth_getBalance", (hot, "latest")),
            ]
        )
        self.node.require_chain(chain)
        return (
            ProviderBalance(self.currency, money.from_units(number(units), self.settings.decimals)),
            ProviderBalance(self.settings.native_currency, money.from_units(number(wei), WEI_DIGITS)),
        )

    def _scan_calls(self) -> list[Call]:
        return [self.node.token_call("decimals()")]

    def _require_scan(self, answers: list[Any]) -> None:
        self.node.require_decimals(answers[0])

    def _transfers(self, blocks: list[Block]) -> list[IncomingTransfer]:
        calls = [Call("eth_getLogs", (self._log_filter(block),)) for block in blocks]
        return [
            transfer
            for block, logs in self._by_block(blocks, calls)
            for transfer in self._in_logs(block, logs)
        ]

    def _log_filter(self, block: Block) -> dict[str, object]:
        return {"blockHash": block.hash, "address": self.settings.token, "topics": [evm.TRANSFER_TOPIC]}

    def _in_logs(self, block: Block, logs: object) -> list[IncomingTransfer]:
        """The block's transfers of the token; all of them are asked for, so that they can be counted.

        A log's own index counts through the block and changes when a reorg puts another transaction
        before it. Its place among the token's Transfer logs of its own transaction does not.
        """
        if not isinstance(logs, list):
            raise Retryable("the node's logs are not readable")
        found: list[IncomingTransfer] = []
        seen: dict[str, int] = {}
        try:
            for log in sorted(logs, key=lambda log: evm.quantity(log["logIndex"])):
                if str(log["blockHash"]).lower() != block.hash or log.get("removed"):
                    raise ReorgDuringScan(f"block {block.height} is no longer in the chain")
                if evm.to_address(log["address"].lower()) != self.settings.token:
                    raise ValueError("another contract's log")
                name = str(log["transactionHash"]).lower()
                ordinal = seen[name] = seen.get(name, -1) + 1
                topic, sender, recipient = log["topics"]
                units = evm.quantity(log["data"])
                if topic.lower() != evm.TRANSFER_TOPIC:
                    raise ValueError("another event")
                # Transfers of nothing are free of charge and used to plant look-alike addresses.
                if units:
                    found.append(
                        IncomingTransfer(
                            transaction=name,
                            ordinal=str(ordinal),
                            address=evm.topic_address(recipient),
                            currency=self.currency,
                            amount=money.from_units(units, self.settings.decimals),
                            block=block,
                            sender=evm.topic_address(sender),
                        )
                    )
        except (KeyError, TypeError, ValueError, AttributeError):
            raise Retryable(f"the node's logs of block {block.height} are not readable") from None
        return found

    def _prepare(self, payer: Payer, to: str, units: int, nonce: int) -> PreparedPayout:
        return payer.prepare_token(to, units, nonce)
