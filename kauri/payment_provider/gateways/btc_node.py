"""Bitcoin, and its kin, through a full node's JSON-RPC: no wallet in the node, no index of transactions.

Addresses come from an account's extended public key (BIP-84); incoming money is read block by block, by
block hash; outgoing money is a transaction that is built here out of coins which the caller gives,
signed by the signer as a PSBT, and named by its id before it is sent. A pruned node is enough.
Credentials: ``rpc_url`` where it holds a password (it usually does). Settings: those of
:class:`~kauri.payment_provider.gateways.btc_settings.BtcSettings`, and ``currency``, ``network``,
``minimum_in``, ``minimum_out``, ``maximum_out``, ``batch_size``, ``replace_after_seconds``.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from itertools import pairwise
from typing import ClassVar

from kauri.common.jsonrpc import Call, NoAnswer, NotSent, RpcError
from kauri.payment_provider.gateway import (
    Block,
    Capability,
    Coin,
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
    Spend,
)
from kauri.payment_provider.gateways import btc_rpc
from kauri.payment_provider.gateways.btc_outcome import Lookup, refused_unknown
from kauri.payment_provider.gateways.btc_payer import Payer, parse, payments_of
from kauri.payment_provider.gateways.btc_rpc import BtcNode, ReorgDuringScan
from kauri.payment_provider.gateways.btc_settings import BtcSettings, amount, chain_of, integer

REPLACE_AFTER = 1800
BATCH_SIZE = 20


class BtcNodeGateway(Gateway):
    """One chain of the Bitcoin family."""

    code: ClassVar[str] = "btc_node"
    resend_is_safe: ClassVar[bool] = True
    uses_coins: ClassVar[bool] = True
    scans: ClassVar[bool] = True
    replaces: ClassVar[bool] = True

    @cached_property
    def settings(self) -> BtcSettings:
        """Read on first use, so that one row with a mistake does not keep the others from being built."""
        return BtcSettings.read(self.config)

    @cached_property
    def node(self) -> BtcNode:
        return BtcNode(self.settings, self.config.proxy)

    @property
    def currency(self) -> str:
        return str(self.config.settings.get("currency", "BTC"))

    @property
    def chain(self) -> str:
        return str(self.config.settings.get("chain", ""))

    @property
    def replace_after(self) -> int:
        return integer(self.config.settings, "replace_after_seconds", REPLACE_AFTER, 60, 1_000_000)

    @property
    def batch_size(self) -> int:
        return integer(self.config.settings, "batch_size", BATCH_SIZE, 1, 100)

    def capabilities(self) -> tuple[Capability, ...]:
        given = self.config.settings
        network = str(given.get("network", ""))
        least_out, most_out = amount(given, "minimum_out"), amount(given, "maximum_out")
        return (
            Capability(self.currency, Direction.IN, network, amount(given, "minimum_in")),
            Capability(self.currency, Direction.OUT, network, least_out, most_out),
        )

    def validate_destination(self, currency: str, destination: str) -> str:
        if currency != self.currency:
            raise Rejected(f"this chain pays {self.currency}, not {currency}")
        try:
            return chain_of(self.config.settings).canonical(destination.strip())
        except ValueError as exc:
            raise Rejected(str(exc)) from None

    def derive_address(self, index: int, *, change: bool = False) -> str:
        chain = self.settings.chain
        try:
            key = chain.child(self.settings.account, f"{int(change)}/{index}")
        except ValueError as exc:
            raise ConfigError(str(exc)) from None
        return chain.address_of_key(key.key.sec())

    # -- the node -------------------------------------------------------------------------------

    def check_health(self) -> Health:
        try:
            return self.node.health()
        except GatewayError as exc:
            return Health(ok=False, detail=str(exc))

    def fetch_balances(self) -> tuple[ProviderBalance, ...]:
        """None: a node without a wallet does not know which outputs are ours. See :meth:`unspent`."""
        return ()

    def unspent(self, coins: Sequence[Coin]) -> tuple[Coin, ...]:
        """Each coin is one look into the node's set of unspent outputs."""
        genesis = self.node.read([btc_rpc.GENESIS])[0]
        self.node.require_chain(genesis)
        calls = [Call("gettxout", (coin.transaction, coin.ordinal, False)) for coin in coins]
        answers = self.node.read(calls)
        found = []
        for coin, answer in zip(coins, answers, strict=True):
            if answer is not None and btc_rpc.units(btc_rpc.field(answer, "value")) == btc_rpc.units(
                coin.amount
            ):
                found.append(coin)
        return tuple(found)

    def oldest_block(self) -> int:
        return self.node.oldest_block()

    # -- money in -------------------------------------------------------------------------------

    def block_at(self, height: int) -> Block | None:
        return None if height < 0 else self.node.block_at(height)

    def scan_incoming(self, after: Block | None, limit: int) -> ScanResult:
        node = self.node
        head = node.head()
        if after is None:
            bodies = [node.block(head.hash)]
        else:
            last = min(head.height, after.height + min(limit, self.settings.scan_blocks))
            bodies = list(node.blocks(after.height + 1, last))
        blocks: list[Block] = []
        transfers: list[IncomingTransfer] = []
        spends: list[Spend] = []
        for body in bodies:
            block = btc_rpc.to_block(body)
            blocks.append(block)
            transfers += btc_rpc.transfers(block, body, self.currency)
            spends += btc_rpc.spends(block, body)
        for lower, upper in pairwise(blocks):
            if upper.parent_hash != lower.hash:
                raise ReorgDuringScan(f"block {upper.height} has another parent")
        return ScanResult(tuple(blocks), tuple(transfers), head.height, tuple(spends))

    # -- money out ------------------------------------------------------------------------------

    def prepare_payout(self, request: PayoutRequest) -> PreparedPayout:
        self.validate_destination(request.currency, request.destination)
        payments_of(self.settings, request)
        return self._payer(request).prepare()

    def prepare_replacement(self, request: PayoutRequest, stuck: PreparedPayout) -> PreparedPayout:
        return self._payer(request).replace(stuck)

    def prepare_cancel(self, request: PayoutRequest, stuck: PreparedPayout) -> PreparedPayout:
        """Also for a transaction that pays several: none of them is paid then."""
        return self._payer(request).cancel(stuck)

    def _payer(self, request: PayoutRequest) -> Payer:
        if self.config.signer is None:
            raise ConfigError("there is no signer: this process cannot pay")
        return Payer(self.settings, self.config.signer, request, self.node.fee_rates())

    def send_payout(self, request: PayoutRequest, prepared: PreparedPayout) -> PayoutState:
        name = prepared.provider_reference
        if parse(prepared.payload).txid().hex() != name:
            raise ConfigError("the stored bytes are not those of the stored transaction id")
        try:
            answer = self.node.rpc.call("sendrawtransaction", prepared.payload)
        except NotSent:
            raise Retryable("the node cannot be reached") from None
        except NoAnswer as exc:
            raise OutcomeUnknown(f"the node gave no usable answer ({exc})") from None
        except RpcError as exc:
            return self._after_refusal(request, prepared, exc)
        if answer != name:
            raise OutcomeUnknown("the node names the transaction otherwise than we do")
        return PayoutState(PayoutStatus.PENDING, name)

    def _after_refusal(
        self, request: PayoutRequest, prepared: PreparedPayout, refusal: RpcError
    ) -> PayoutState:
        """A refusal often means that the bytes, or those they replace, arrived earlier: look first."""
        try:
            state = Lookup(self.node, request, prepared).state()
        except Retryable:
            raise OutcomeUnknown(f"the node refused ({refusal}) and then fell silent") from None
        if state.status in {PayoutStatus.PENDING, PayoutStatus.CONFIRMED}:
            return PayoutState(PayoutStatus.PENDING, prepared.provider_reference)
        return refused_unknown(prepared.provider_reference, refusal)

    def fetch_payout(self, request: PayoutRequest, prepared: PreparedPayout) -> PayoutState:
        try:
            return Lookup(self.node, request, prepared).state()
        except ConfigError as exc:
            # What was sent before the settings went wrong was sent: this is no "nothing was sent".
            return PayoutState(PayoutStatus.UNKNOWN, prepared.provider_reference, answer={"reason": str(exc)})
