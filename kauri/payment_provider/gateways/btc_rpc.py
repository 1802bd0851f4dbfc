"""A node of the Bitcoin family that answers in the port's own errors: blocks, fees, coins. Reads only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from kauri.common import clock, money
from kauri.common.errors import KauriError
from kauri.common.jsonrpc import Call, JsonRpc, RpcError
from kauri.payment_provider.gateway import (
    Block,
    ConfigError,
    Health,
    IncomingTransfer,
    Retryable,
    Spend,
)
from kauri.payment_provider.gateways.btc_chains import COINBASE_MATURITY
from kauri.payment_provider.gateways.btc_settings import DIGITS, BtcSettings
from kauri.payment_provider.gateways.node_reads import NodeReads

#: A block of four million weight units in JSON, its scripts in hex twice.
MAX_BLOCK_ANSWER: Final = 192 * 1024 * 1024
NO_SUCH_THING: Final = -5
OUT_OF_RANGE: Final = -8
NO_PARENT: Final = "0" * 64
INFO: Final = Call("getblockchaininfo")
GENESIS: Final = Call("getblockhash", (0,))


class ReorgDuringScan(Retryable):
    """The chain changed while it was read; the same scan made again will see one chain."""


@dataclass(frozen=True, slots=True)
class FeeRates:
    """Satoshi per 1000 virtual bytes: what is paid now, and the least that a replacement adds."""

    now: int
    increment: int


class BtcNode(NodeReads):
    """Reads of one node. Every failure is :class:`Retryable`: a read sends nothing."""

    def __init__(self, settings: BtcSettings, proxy: str) -> None:
        self.settings = settings
        try:
            self.rpc = JsonRpc(
                settings.rpc_url,
                proxy=proxy,
                read_timeout=settings.rpc_timeout,
                batch_size=settings.rpc_batch,
                max_answer_bytes=MAX_BLOCK_ANSWER,
            )
        except ValueError as exc:
            raise ConfigError(f"rpc_url: {exc}") from None

    def require_chain(self, genesis: object, info: object = None) -> None:
        """ConfigError when the chain's first block is another chain's than the settings name."""
        chain = self.settings.chain
        named = info.get("chain") if isinstance(info, Mapping) else chain.rpc_chain
        if genesis != chain.genesis or named != chain.rpc_chain:
            raise ConfigError(f"the node serves another chain than {chain.name}")

    # -- health ---------------------------------------------------------------------------------

    def health(self) -> Health:
        """Right chain, in step with it, and on its longest branch."""
        genesis, info, tips = self.read([GENESIS, INFO, Call("getchaintips")])
        self.require_chain(genesis, info)
        height = whole(field(info, "blocks"))
        [head] = self.read([Call("getblockheader", (field(info, "bestblockhash"),))])
        if field(info, "initialblockdownload") is not False:
            return Health(ok=False, detail="the node is still downloading the chain")
        missing = whole(field(info, "headers")) - height
        if missing > 1:
            return Health(ok=False, detail=f"the node is {missing} blocks behind")
        longer = [
            tip for tip in tips if tip.get("status") != "active" and whole(tip.get("height")) > height + 1
        ]
        if longer:
            words = f"{longer[0].get('status')}, height {longer[0].get('height')}"
            return Health(ok=False, detail=f"the node knows a longer chain and does not follow it ({words})")
        age = int(clock.now().timestamp()) - whole(field(head, "time"))
        if self.settings.max_head_age and age > self.settings.max_head_age:
            return Health(ok=False, detail=f"the node's newest block {height} is {age} s old")
        pruned = f", blocks from {self.oldest_block()}" if info.get("pruned") else ""
        return Health(ok=True, detail=f"{self.settings.chain.name}, block {height}{pruned}")

    def oldest_block(self) -> int:
        """The lowest height whose block the node still has."""
        genesis, info = self.read([GENESIS, INFO])
        self.require_chain(genesis, info)
        return whole(info.get("pruneheight") or 0) if info.get("pruned") else 0

    # -- blocks ---------------------------------------------------------------------------------

    def block_at(self, height: int) -> Block | None:
        genesis, name = self.try_read([GENESIS, Call("getblockhash", (height,))])
        if isinstance(genesis, RpcError):
            raise Retryable(f"the node refuses getblockhash ({genesis})")
        self.require_chain(genesis)
        if isinstance(name, RpcError):
            if name.code == OUT_OF_RANGE:
                return None
            raise Retryable(f"the node refuses getblockhash ({name})")
        [header] = self.read([Call("getblockheader", (name,))])
        return to_block(header)

    def head(self) -> Block:
        genesis, info = self.read([GENESIS, INFO])
        self.require_chain(genesis, info)
        [header] = self.read([Call("getblockheader", (field(info, "bestblockhash"),))])
        return to_block(header)

    def blocks(self, first: int, last: int) -> list[Mapping[str, Any]]:
        """The whole blocks of these heights, each the parent of the next."""
        names = self.try_read([Call("getblockhash", (height,)) for height in range(first, last + 1)])
        if any(isinstance(name, RpcError) for name in names):
            raise ReorgDuringScan("the chain became shorter while it was read")
        return [self.block(str(name)) for name in names]

    def block(self, name: str) -> Mapping[str, Any]:
        """One whole block, by its hash."""
        [found] = self.try_read([Call("getblock", (name, 2))])
        if isinstance(found, RpcError):
            raise Retryable(f"block {name} cannot be read ({found})")
        if not isinstance(found, Mapping) or found.get("hash") != name:
            raise Retryable("the node's block is not readable")
        return found

    # -- fees -----------------------------------------------------------------------------------

    def fee_rates(self) -> FeeRates:
        """The rate for the next blocks: the node's estimate, at least what it relays, at most our cap.

        Raises Retryable above the cap (the network calms down) and where there is no estimate and
        ``fallback_fee_rate`` is not set.
        """
        settings = self.settings
        genesis, pool, network, estimate = self.try_read(
            [
                GENESIS,
                Call("getmempoolinfo"),
                Call("getnetworkinfo"),
                Call("estimatesmartfee", (settings.fee_target_blocks, settings.fee_mode.upper())),
            ]
        )
        for answer in (genesis, pool, network):
            if isinstance(answer, RpcError):
                raise Retryable(f"the node refuses ({answer})")
        self.require_chain(genesis)
        floor = max(
            settings.min_fee_rate, units(field(pool, "mempoolminfee")), units(field(network, "relayfee"))
        )
        rate = None
        if isinstance(estimate, Mapping) and estimate.get("feerate"):
            rate = units(estimate["feerate"])
        rate = settings.fallback_fee_rate if rate is None else rate
        if rate is None:
            raise Retryable("the node has no fee estimate, and fallback_fee_rate is not set")
        rate = max(rate, floor)
        if rate > settings.max_fee_rate:
            raise Retryable(f"the network's fee is above the cap of {settings.max_fee_rate} sat/kvB")
        return FeeRates(now=rate, increment=units(field(network, "incrementalfee")))


def transfers(block: Block, body: Mapping[str, Any], currency: str) -> list[IncomingTransfer]:
    """Every output of a block that pays one address. Outputs of any other make belong to nobody we know."""
    found: list[IncomingTransfer] = []
    for transaction in field(body, "tx"):
        coinbase = any("coinbase" in source for source in field(transaction, "vin"))
        for output in field(transaction, "vout"):
            address = _address(output.get("scriptPubKey"))
            value = output.get("value")
            if not address or not value:
                continue
            found.append(
                IncomingTransfer(
                    transaction=str(field(transaction, "txid")),
                    ordinal=str(whole(field(output, "n"))),
                    address=address,
                    currency=currency,
                    amount=money.from_units(units(value), DIGITS),
                    block=block,
                    final_after=COINBASE_MATURITY if coinbase else 0,
                )
            )
    return found


def spends(block: Block, body: Mapping[str, Any]) -> list[Spend]:
    """Every output that the block's transactions use up."""
    return [
        Spend(str(source["txid"]), whole(source["vout"]), str(field(transaction, "txid")), block)
        for transaction in field(body, "tx")
        for source in field(transaction, "vin")
        # Coinbases and Litecoin's private inputs name no output.
        if "txid" in source and "vout" in source
    ]


def to_block(header: object) -> Block:
    """A block or its header as the port's Block; Retryable when it is none."""
    return Block(
        height=whole(field(header, "height")),
        hash=str(field(header, "hash")),
        parent_hash=str(header.get("previousblockhash") or NO_PARENT),  # type: ignore[attr-defined]
    )


def field(answer: object, name: str) -> Any:
    """One field of a node's answer; Retryable when it is not there (a broken node makes no statement)."""
    if not isinstance(answer, Mapping) or name not in answer:
        raise Retryable(f"the node's answer has no {name}")
    return answer[name]


def whole(value: object) -> int:
    """A node's count; Retryable when it is none."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise Retryable("the node's answer is not a number")
    return value


def units(value: object) -> int:
    """A node's amount in satoshi, exactly; Retryable when it is none."""
    if isinstance(value, bool) or not isinstance(value, (Decimal, int)):
        raise Retryable("the node's answer is not an amount")
    try:
        return money.to_units(Decimal(value), DIGITS)
    except KauriError:
        raise Retryable("the node's answer is not an amount") from None


def _address(script: object) -> str:
    """The one address a script pays; '' where there is none. Older nodes give a list."""
    if not isinstance(script, Mapping):
        return ""
    listed = script.get("addresses") or []
    address = script.get("address") or (listed[0] if len(listed) == 1 else "")
    return str(address)
