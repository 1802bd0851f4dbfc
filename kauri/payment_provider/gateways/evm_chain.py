"""What an Ethereum-family chain does for any of its currencies: blocks, nonces, sending, outcomes.

The two currencies' adapters are :mod:`evm_eth` and :mod:`evm_erc20`. Settings:
:class:`~kauri.payment_provider.gateways.evm_node.EvmSettings`, and ``currency``, ``network``,
``hot_address``, ``xpub`` (account m/44'/60'/n'), ``minimum_in``, ``minimum_out``, ``maximum_out``,
``watch_foreign_tokens``. The keys are the signer's; credentials hold at most ``rpc_url``, where the URL is a secret.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
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
    ForeignTransfer,
    Gateway,
    GatewayError,
    Health,
    IncomingTransfer,
    OutcomeUnknown,
    PayoutRequest,
    PayoutState,
    PayoutStatus,
    PreparedPayout,
    Rejected,
    Retryable,
    ScanResult,
)
from kauri.payment_provider.gateways import evm_foreign
from kauri.payment_provider.gateways.evm_node import (
    LATEST_BLOCK,
    WEI_DIGITS,
    EvmNode,
    EvmSettings,
    number,
    to_block,
)
from kauri.payment_provider.gateways.evm_outcome import Lookup, refused_unknown
from kauri.payment_provider.gateways.evm_payer import Payer


class ReorgDuringScan(Retryable):
    """The chain changed while it was read; the same scan made again will see one chain."""


class EvmChain(Gateway):
    """One currency on one chain; the currency's own part is in the subclasses."""

    resend_is_safe: ClassVar[bool] = True
    uses_nonce: ClassVar[bool] = True
    scans: ClassVar[bool] = True
    replaces: ClassVar[bool] = True
    sweeps: ClassVar[bool] = True
    sees_foreign: ClassVar[bool] = True
    #: The currency is a contract on the chain.
    has_token: ClassVar[bool] = False
    default_currency: ClassVar[str]

    @cached_property
    def settings(self) -> EvmSettings:
        """Read on first use, so that one row with a mistake does not keep the others from being built."""
        return EvmSettings.read(self.config, token=self.has_token)

    @cached_property
    def node(self) -> EvmNode:
        return EvmNode(self.settings, self.config.proxy)

    @property
    def chain(self) -> str:
        return f"evm:{self.settings.chain_id}"

    @property
    def replace_after(self) -> int:
        return self.settings.replace_after

    @property
    def currency(self) -> str:
        return str(self.config.settings.get("currency", self.default_currency))

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
        calls = [Call("eth_chainId"), Call("eth_syncing"), LATEST_BLOCK]
        chain, syncing, head, *own = node.try_read([*calls, *self._health_calls()])
        node.require_chain(chain)
        if syncing is not False:
            return Health(ok=False, detail="the node is catching up with the chain")
        fault = self._own_fault(own)
        if fault:
            return Health(ok=False, detail=fault)
        block = to_block(head)
        age = int(clock.now().timestamp()) - number(head["timestamp"])
        if settings.max_head_age and age > settings.max_head_age:
            return Health(ok=False, detail=f"the node's newest block {block.height} is {age} s old")
        wallet = f", hot wallet {hot}" if hot else ", no hot wallet"
        return Health(ok=True, detail=f"chain {settings.chain_id}, block {block.height}{wallet}")

    @abstractmethod
    def _health_calls(self) -> list[Call]:
        """What of the node must work for this currency."""

    @abstractmethod
    def _own_fault(self, answers: list[Any]) -> str:
        """What is wrong with their answers; '' when nothing is."""

    def next_nonce(self, address: str) -> int:
        chain, count = self.node.read(
            [Call("eth_chainId"), Call("eth_getTransactionCount", (evm.to_address(address), "pending"))]
        )
        self.node.require_chain(chain)
        return number(count)

    def hot_address(self) -> str:
        """The settings' ``hot_address``, as the signer's ``show`` gave it; '' where nothing is paid."""
        named = str(self.config.settings.get("hot_address") or "")
        try:
            return evm.to_address(named) if named else ""
        except ValueError as exc:
            raise ConfigError(f"hot_address: {exc}") from None

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
        calls = [Call("eth_chainId"), LATEST_BLOCK, *self._scan_calls()]
        chain, latest, *own = node.try_read(calls)
        node.require_chain(chain)
        self._require_scan(own)
        head = to_block(latest)
        if after is None:
            blocks = [head]
        else:
            last = min(head.height, after.height + min(limit, self.settings.scan_blocks))
            blocks = self._linked_blocks(after.height + 1, last)
        return ScanResult(blocks=tuple(blocks), transfers=tuple(self._transfers(blocks)), head=head.height)

    def _scan_calls(self) -> list[Call]:
        """What is asked with each scan, before anything is believed."""
        return []

    def _require_scan(self, answers: list[Any]) -> None:
        """ConfigError when the answers forbid to believe the chain."""

    @abstractmethod
    def _transfers(self, blocks: list[Block]) -> list[IncomingTransfer]:
        """All of the currency's transfers in these blocks, read by block hash."""

    def foreign_transfers(self, addresses: Sequence[str], first: int, last: int) -> list[ForeignTransfer]:
        return evm_foreign.read(self.node, addresses, first, last)

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

    def _by_block(self, blocks: list[Block], calls: list[Call]) -> list[tuple[Block, Any]]:
        """Each block with its call's answer; an orphaned block is unknown by its hash."""
        found = []
        for block, answer in zip(blocks, self.node.try_read(calls), strict=True):
            if isinstance(answer, RpcError) or answer is None:
                # Words and codes differ between nodes.
                raise ReorgDuringScan(f"block {block.height} cannot be read any more ({answer})")
            found.append((block, answer))
        return found

    # -- money out ------------------------------------------------------------------------------

    def _is_native(self, request: PayoutRequest) -> bool:
        """Whether the chain's own currency is sent: ether itself, or the fee of a token's sweep."""
        return not self.has_token or request.currency == self.settings.native_currency

    def prepare_payout(self, request: PayoutRequest) -> PreparedPayout:
        to = self._recipient(request)
        try:
            native = self._is_native(request)
            units = money.to_units(request.amount, WEI_DIGITS if native else self.settings.decimals)
        except KauriError as exc:
            raise Rejected(exc.detail) from None
        if units <= 0:
            raise Rejected("the amount must be greater than zero")
        if request.nonce is None:
            raise ConfigError("the caller gave no nonce")
        payer = self._payer(request)
        prepare = payer.prepare_native if native else payer.prepare_token
        return prepare(to, units, request.nonce)

    def _recipient(self, request: PayoutRequest) -> str:
        if request.key == "hot":
            return self.validate_destination(request.currency, request.destination)
        # Only a customer's payment must not go to ourselves; sweeps go to the hot wallet.
        try:
            return evm.to_address(request.destination)
        except ValueError as exc:
            raise Rejected(str(exc)) from None

    def prepare_replacement(self, request: PayoutRequest, stuck: PreparedPayout) -> PreparedPayout:
        return self._payer(request).raise_fees(stuck)

    def prepare_cancel(self, request: PayoutRequest, stuck: PreparedPayout) -> PreparedPayout:
        return self._payer(request).cancel(stuck)

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
        """A refusal often means that the bytes arrived earlier; what the node knows by hash decides.

        Of replaced bytes the older ones may have been mined meanwhile: that is no unknown outcome.
        """
        names = [prepared.provider_reference, *(one.provider_reference for one in prepared.earlier)]
        calls = [
            Call(f"eth_getTransaction{what}", (name,)) for name in names for what in ("ByHash", "Receipt")
        ]
        try:
            found = self.node.read(calls)
        except Retryable:
            raise OutcomeUnknown(f"the node refused ({refusal}) and then fell silent") from None
        if any(answer is not None for answer in found):
            return PayoutState(PayoutStatus.PENDING, prepared.provider_reference)
        return refused_unknown(prepared.provider_reference, refusal)

    def fetch_payout(self, request: PayoutRequest, prepared: PreparedPayout) -> PayoutState:
        reference = prepared.provider_reference
        nonce = prepared.nonce if prepared.nonce is not None else request.nonce
        try:
            sender = request.source_address or self._require_hot_address()
            if nonce is None:
                raise ConfigError("the payout's nonce is not known")
            return Lookup(
                node=self.node,
                prepared=prepared,
                sender=evm.to_address(sender),
                recipient=evm.to_address(request.destination.strip()),
                nonce=nonce,
                need=max(request.min_confirmations, self.settings.confirmations),
                native=self._is_native(request),
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
        if self.config.signer is None:
            raise ConfigError("this process has no signer")
        source = request.source_address or self._require_hot_address()
        if request.key == "hot" and evm.to_address(source) != self._require_hot_address():
            raise ConfigError("the payout's nonce belongs to another address than the hot wallet's")
        return Payer(self.node, self.currency, evm.to_address(source), request.key, self.config.signer)


def _limit(given: Mapping[str, Any], name: str) -> Decimal | None:
    value = given.get(name)
    return Decimal(value) if isinstance(value, str) and value else None
