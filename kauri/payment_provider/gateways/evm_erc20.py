"""An ERC-20 token (USDT by default) through an Ethereum JSON-RPC node.

Incoming money is read from the token's Transfer logs, block by block, by block hash; outgoing money is
an EIP-1559 transaction that is signed here and named by its hash before it is sent. Credentials:
``hot_key`` (hex), only where payouts are prepared; ``rpc_url`` where the URL is a secret. Settings:
:class:`~kauri.payment_provider.gateways.evm_node.EvmSettings`, and ``currency``, ``network``,
``hot_address``, ``minimum_in``, ``minimum_out``, ``maximum_out``.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from functools import cached_property
from itertools import pairwise
from typing import Any, ClassVar

from kauri.common import clock, evm, money
from kauri.common.derivation import evm_address
from kauri.common.errors import KauriError
from kauri.common.jsonrpc import Call, NoAnswer, NotSent, RpcError
from kauri.payment_provider.gateway import (
    Block,
    Capability,
    ConfigError,
    Direction,
    Gateway,
    GatewayError,
    Health,
    IncomingTransfer,
    OutcomeUnknown,
    PayoutRequest,
    PayoutState,
    PayoutStatus,
    PreparedPayout,
    ProviderBalance,
    Rejected,
    Retryable,
    ScanResult,
)
from kauri.payment_provider.gateways.evm_node import (
    LATEST_BLOCK,
    WEI_DIGITS,
    EvmNode,
    EvmSettings,
    number,
    to_block,
)
from kauri.payment_provider.gateways.evm_outcome import Lookup, refused_unknown
from kauri.payment_provider.gateways.evm_payer import Payer, private_key


class ReorgDuringScan(Retryable):
    """The chain changed while it was read; the same scan made again will see one chain."""


class EvmErc20(Gateway):
    """One token on one chain."""

    code: ClassVar[str] = "evm_erc20"
    resend_is_safe: ClassVar[bool] = True
    uses_nonce: ClassVar[bool] = True
    scans: ClassVar[bool] = True

    @cached_property
    def settings(self) -> EvmSettings:
        """Read on first use, so that one row with a mistake does not keep the others from being built."""
        return EvmSettings.read(self.config)

    @property
    def chain(self) -> str:
        return f"evm:{self.settings.chain_id}"

    @cached_property
    def node(self) -> EvmNode:
        return EvmNode(self.settings, self.config.proxy)

    @property
    def currency(self) -> str:
        return str(self.config.settings.get("currency", "USDT"))

    def capabilities(self) -> tuple[Capability, ...]:
        given = self.config.settings
        network = str(given.get("network", ""))
        least_out, most_out = _limit(given, "minimum_out"), _limit(given, "maximum_out")
        return (
            Capability(self.currency, Direction.IN, network, _limit(given, "minimum_in")),
            Capability(self.currency, Direction.OUT, network, least_out, most_out),
        )

    def validate_destination(self, currency: str, destination: str) -> str:
        if currency != self.currency:
            raise Rejected(f"this chain pays {self.currency}, not {currency}")
        try:
            address = evm.to_address(destination.strip())
        except ValueError as exc:
            raise Rejected(str(exc)) from None
        if address == evm.ZERO_ADDRESS:
            raise Rejected("the zero address belongs to nobody")
        if address == self.settings.token:
            raise Rejected("this is the token's own address: what is sent there is lost")
        if address == self.hot_address():
            raise Rejected("this is the address that payouts leave from")
        return address

    def derive_address(self, index: int, *, change: bool = False) -> str:
        try:
            return evm_address(str(self.config.settings.get("xpub") or ""), index, change=change)
        except ValueError as exc:
            raise ConfigError(f"xpub: {exc}") from None

    # -- the node -------------------------------------------------------------------------------

    def check_health(self) -> Health:
        try:
            return self._health()
        except GatewayError as exc:
            return Health(ok=False, detail=str(exc))

    def _health(self) -> Health:
        settings, node = self.settings, self.node
        hot = self.hot_address()
        chain, syncing, head, code, decimals = node.try_read(
            [
                Call("eth_chainId"),
                Call("eth_syncing"),
                LATEST_BLOCK,
                Call("eth_getCode", (settings.token, "latest")),
                node.token_call("decimals()"),
            ]
        )
        node.require_chain(chain)
        if syncing is not False:
            return Health(ok=False, detail="the node is catching up with the chain")
        if code in {"0x", None} or isinstance(code, RpcError):
            return Health(ok=False, detail="there is no contract at token_address")
        node.require_decimals(decimals)
        block = to_block(head)
        age = int(clock.now().timestamp()) - number(head["timestamp"])
        if settings.max_head_age and age > settings.max_head_age:
            return Health(ok=False, detail=f"the node's newest block {block.height} is {age} s old")
        wallet = f", hot wallet {hot}" if hot else ", no hot wallet"
        return Health(ok=True, detail=f"chain {settings.chain_id}, block {block.height}{wallet}")

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

    def next_nonce(self, address: str) -> int:
        chain, count = self.node.read(
            [Call("eth_chainId"), Call("eth_getTransactionCount", (evm.to_address(address), "pending"))]
        )
        self.node.require_chain(chain)
        return number(count)

    def hot_address(self) -> str:
        """From the key where there is one, else from the settings; '' when there is neither."""
        named = str(self.config.settings.get("hot_address") or "")
        try:
            named = evm.to_address(named) if named else ""
        except ValueError as exc:
            raise ConfigError(f"hot_address: {exc}") from None
        key = self.config.credentials.get("hot_key", "")
        if not key:
            return named
        own = evm.public_key_address(private_key(key).public_key.format(compressed=False))
        if named and named != own:
            raise ConfigError("hot_address is not the address of the hot key")
        return own

    # -- money in -------------------------------------------------------------------------------

    def block_at(self, height: int) -> Block | None:
        if height < 0:
            return None
        chain, answer = self.node.read(
            [Call("eth_chainId"), Call("eth_getBlockByNumber", (hex(height), False))]
        )
        self.node.require_chain(chain)
        return None if answer is None else to_block(answer)

    def scan_incoming(self, after: Block | None, limit: int) -> ScanResult:
        node = self.node
        chain, decimals, latest = node.try_read(
            [Call("eth_chainId"), node.token_call("decimals()"), LATEST_BLOCK]
        )
        node.require_chain(chain)
        node.require_decimals(decimals)
        head = to_block(latest)
        if after is None:
            blocks = [head]
        else:
            last = min(head.height, after.height + min(limit, self.settings.scan_blocks))
            blocks = self._linked_blocks(after.height + 1, last)
        transfers: list[IncomingTransfer] = []
        wanted = [Call("eth_getLogs", (self._log_filter(block),)) for block in blocks]
        for block, logs in zip(blocks, node.try_read(wanted), strict=True):
            if isinstance(logs, RpcError):
                # An orphaned block is unknown by its hash; words and codes differ between nodes.
                raise ReorgDuringScan(f"block {block.height} cannot be read any more ({logs})")
            transfers += self._transfers(block, logs)
        return ScanResult(blocks=tuple(blocks), transfers=tuple(transfers), head=head.height)

    def _linked_blocks(self, first: int, last: int) -> list[Block]:
        calls = [Call("eth_getBlockByNumber", (hex(height), False)) for height in range(first, last + 1)]
        answers = self.node.try_read(calls)
        if any(answer is None or isinstance(answer, RpcError) for answer in answers):
            raise ReorgDuringScan("the chain became shorter while it was read")
        blocks = [to_block(answer) for answer in answers]
        for lower, upper in pairwise(blocks):
            if upper.parent_hash != lower.hash:
                raise ReorgDuringScan(f"block {upper.height} has another parent")
        return blocks

    def _log_filter(self, block: Block) -> dict[str, object]:
        return {"blockHash": block.hash, "address": self.settings.token, "topics": [evm.TRANSFER_TOPIC]}

    def _transfers(self, block: Block, logs: object) -> list[IncomingTransfer]:
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

    # -- money out ------------------------------------------------------------------------------

    def prepare_payout(self, request: PayoutRequest) -> PreparedPayout:
        to = self.validate_destination(request.currency, request.destination)
        try:
            units = money.to_units(request.amount, self.settings.decimals)
        except KauriError as exc:
            raise Rejected(exc.detail) from None
        if units <= 0:
            raise Rejected("the amount must be greater than zero")
        if request.nonce is None:
            raise ConfigError("the caller gave no nonce")
        return self._payer(request).prepare(to, units, request.nonce)

    def prepare_replacement(self, request: PayoutRequest, stuck: PreparedPayout) -> PreparedPayout:
        """The same payment at the same nonce with higher fees, for a payout that stays unmined.

        Both can still be mined, but only one of them: the caller keeps both and asks for both. Raises
        Retryable when the raised fee would pass the cap. Moves no money, like :meth:`prepare_payout`.
        """
        return self._payer(request).raise_fees(stuck)

    def send_payout(self, request: PayoutRequest, prepared: PreparedPayout) -> PayoutState:
        if evm.transaction_hash(prepared.payload) != prepared.provider_reference:
            raise ConfigError("the stored bytes are not those of the stored transaction hash")
        try:
            name = self.node.rpc.call("eth_sendRawTransaction", prepared.payload)
        except NotSent:
            raise Retryable("the node cannot be reached") from None
        except NoAnswer as exc:
            raise OutcomeUnknown(f"the node gave no usable answer ({exc})") from None
        except RpcError as exc:
            return self._after_refusal(prepared, exc)
        if str(name).lower() != prepared.provider_reference:
            raise OutcomeUnknown("the node names the transaction otherwise than we do")
        return PayoutState(PayoutStatus.PENDING, prepared.provider_reference)

    def _after_refusal(self, prepared: PreparedPayout, refusal: RpcError) -> PayoutState:
        """A refusal often means that the bytes arrived earlier; what the node knows by hash decides."""
        name = prepared.provider_reference
        try:
            found = self.node.read(
                [Call("eth_getTransactionByHash", (name,)), Call("eth_getTransactionReceipt", (name,))]
            )
        except Retryable:
            raise OutcomeUnknown(f"the node refused ({refusal}) and then fell silent") from None
        if any(answer is not None for answer in found):
            return PayoutState(PayoutStatus.PENDING, name)
        return refused_unknown(name, refusal)

    def fetch_payout(self, request: PayoutRequest, prepared: PreparedPayout) -> PayoutState:
        reference = prepared.provider_reference
        nonce = prepared.nonce if prepared.nonce is not None else request.nonce
        try:
            sender = request.source_address or self._require_hot_address()
            if nonce is None:
                raise ConfigError("the payout's nonce is not known")
            return Lookup(
                node=self.node,
                reference=reference,
                sender=evm.to_address(sender),
                recipient=evm.to_address(request.destination.strip()),
                nonce=nonce,
                need=max(request.min_confirmations, self.settings.confirmations),
            ).state()
        except (ConfigError, ValueError) as exc:
            # What was sent before the settings went wrong was sent: this is no "nothing was sent".
            return PayoutState(PayoutStatus.UNKNOWN, reference, answer={"reason": str(exc)})

    def _require_hot_address(self) -> str:
        hot = self.hot_address()
        if not hot:
            raise ConfigError("hot_address is missing")
        return hot

    def _payer(self, request: PayoutRequest) -> Payer:
        key = self.config.credentials.get("hot_key", "")
        if not key:
            raise ConfigError("this process has no hot key")
        hot = self._require_hot_address()
        if request.source_address and request.source_address.lower() != hot.lower():
            raise ConfigError("the payout's nonce belongs to another address than the hot key's")
        return Payer(node=self.node, currency=self.currency, hot=hot, key=private_key(key))


def _limit(given: Mapping[str, Any], name: str) -> Decimal | None:
    value = given.get(name)
    return Decimal(value) if isinstance(value, str) and value else None
