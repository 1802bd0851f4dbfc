"""What the Ethereum adapters share: their settings, and a node that answers in the port's own errors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from kauri.common import evm
from kauri.common.jsonrpc import Call, JsonRpc, RpcError
from kauri.payment_provider.gateway import Block, ConfigError, GatewayConfig, Retryable
from kauri.payment_provider.gateways.node_reads import NodeReads

GWEI: Final = 10**9
WEI_DIGITS: Final = 18
#: Nodes refuse a replacement that does not raise both fees by 10 % (some: 12.5 %).
LEAST_BUMP_PERCENT: Final = Decimal("12.5")


@dataclass(frozen=True, slots=True)
class EvmSettings:
    """A provider's settings, read and checked. Fees in wei, times in seconds; ``token`` '' for ether."""

    rpc_url: str
    chain_id: int
    token: str
    decimals: int
    confirmations: int
    max_fee: int
    min_tip: int
    gas_margin_percent: int
    max_gas: int
    fee_bump_percent: Decimal
    max_head_age: int
    scan_blocks: int
    rpc_batch: int
    rpc_timeout: int
    native_currency: str
    allow_token_fee: bool
    replace_after: int

    @classmethod
    def read(cls, config: GatewayConfig, *, token: bool) -> EvmSettings:
        """Raise ConfigError, naming the setting, when one is missing or makes no sense.

        ``rpc_url`` may stand among the credentials instead: with many hosts it holds an API key.
        """
        given = config.settings
        bump = _decimal(given, "fee_bump_percent", "12.5")
        if bump < LEAST_BUMP_PERCENT:
            raise ConfigError(f"fee_bump_percent must be at least {LEAST_BUMP_PERCENT}: nodes refuse less")
        return cls(
            rpc_url=config.credentials.get("rpc_url") or _text(given, "rpc_url"),
            chain_id=_integer(given, "chain_id", None, 1, 1 << 63),
            token=_address(given, "token_address") if token else "",
            decimals=_integer(given, "token_decimals", None, 0, WEI_DIGITS) if token else WEI_DIGITS,
            confirmations=_integer(given, "confirmations", 1, 1, 10_000),
            max_fee=_gwei(given, "max_fee_gwei", "200"),
            min_tip=_gwei(given, "min_tip_gwei", "0.05"),
            gas_margin_percent=_integer(given, "gas_margin_percent", 25, 0, 200),
            max_gas=_integer(given, "max_gas", 250_000, 21_000, 10_000_000),
            fee_bump_percent=bump,
            max_head_age=_integer(given, "max_head_age_seconds", 180, 0, 86_400),
            scan_blocks=_integer(given, "scan_blocks", 50, 1, 1_000),
            rpc_batch=_integer(given, "rpc_batch", 20, 1, 500),
            rpc_timeout=_integer(given, "rpc_timeout_seconds", 20, 1, 120),
            native_currency=str(given.get("native_currency", "ETH")),
            allow_token_fee=given.get("allow_token_fee") is True,
            replace_after=_integer(given, "replace_after_seconds", 600, 10, 86_400),
        )


@dataclass(frozen=True, slots=True)
class Fees:
    """EIP-1559 fees in wei per gas."""

    max_fee: int
    tip: int


class EvmNode(NodeReads):
    """Reads of one node. Every failure is :class:`Retryable`: a read sends nothing."""

    def __init__(self, settings: EvmSettings, proxy: str) -> None:
        self.settings = settings
        try:
            self.rpc = JsonRpc(
                settings.rpc_url,
                proxy=proxy,
                read_timeout=settings.rpc_timeout,
                batch_size=settings.rpc_batch,
            )
        except ValueError as exc:
            raise ConfigError(f"rpc_url: {exc}") from None

    def require_chain(self, answer: object) -> None:
        """ConfigError when eth_chainId's ``answer`` is another chain's than the settings name."""
        found = number(answer)
        if found != self.settings.chain_id:
            raise ConfigError(f"the node serves chain {found}, the settings name {self.settings.chain_id}")

    def require_decimals(self, answer: object) -> None:
        """ConfigError when the token's decimals() ``answer`` is not what the settings say."""
        if isinstance(answer, RpcError) or answer == "0x":
            raise ConfigError("there is no token at token_address")
        found = number(answer)
        if found != self.settings.decimals:
            raise ConfigError(f"the token has {found} decimals, the settings say {self.settings.decimals}")

    def token_call(self, signature: str, *arguments: int | str, tag: str = "latest") -> Call:
        """A read-only call of the token's function."""
        request = {"to": self.settings.token, "data": evm.call_data(signature, *arguments)}
        return Call("eth_call", (request, tag))

    def fees_from(self, history: object) -> Fees:
        """Fees for the next block from eth_feeHistory's answer: twice its base fee and the usual tip.

        The tip is the median of recent blocks' median tips, at least ``min_tip``. Above ``max_fee``
        nothing is signed: Retryable, for the network calms down.
        """
        settings = self.settings
        try:
            if not isinstance(history, Mapping):
                raise TypeError
            base = evm.quantity(history["baseFeePerGas"][-1])
            rewards = sorted(evm.quantity(block[0]) for block in history.get("reward") or [])
        except (KeyError, IndexError, TypeError, ValueError):
            raise Retryable("the node's fee history is not readable") from None
        usual = rewards[len(rewards) // 2] if rewards else 0
        tip = max(usual, settings.min_tip)
        if base + tip > settings.max_fee:
            raise Retryable(f"the network's fee is above the cap of {Decimal(settings.max_fee) / GWEI} gwei")
        return Fees(max_fee=min(2 * base + tip, settings.max_fee), tip=tip)


FEE_HISTORY: Final = Call("eth_feeHistory", ("0x5", "latest", [50]))
LATEST_BLOCK: Final = Call("eth_getBlockByNumber", ("latest", False))


def number(answer: object) -> int:
    """A node's quantity; Retryable when it is none (a broken node makes no statement)."""
    try:
        return evm.quantity(answer)
    except ValueError:
        raise Retryable("the node's answer is not a number") from None


def to_block(answer: object) -> Block:
    """A block header as the port's Block; Retryable when it is none."""
    if not isinstance(answer, Mapping):
        raise Retryable("the node does not give the block")
    name, parent = answer.get("hash"), answer.get("parentHash")
    if not isinstance(name, str) or not isinstance(parent, str):
        raise Retryable("the node's block is not readable")
    return Block(height=number(answer.get("number")), hash=name.lower(), parent_hash=parent.lower())


def _text(given: Mapping[str, Any], name: str) -> str:
    value = given.get(name)
    if not isinstance(value, str) or not value:
        raise ConfigError(f"{name} is missing")
    return value


def _integer(given: Mapping[str, Any], name: str, default: int | None, least: int, most: int) -> int:
    value = given.get(name, default)
    try:
        if isinstance(value, (bool, float)) or value is None:
            raise TypeError
        found = int(value)
    except (TypeError, ValueError):
        raise ConfigError(f"{name} must be a whole number") from None
    if not least <= found <= most:
        raise ConfigError(f"{name} must be from {least} to {most}")
    return found


def _decimal(given: Mapping[str, Any], name: str, default: str) -> Decimal:
    value = given.get(name, default)
    try:
        if isinstance(value, (bool, float)):
            raise TypeError
        found = Decimal(value)
    except (TypeError, ValueError, InvalidOperation):
        raise ConfigError(f"{name} must be a number, written as text") from None
    if not found.is_finite() or found <= 0:
        raise ConfigError(f"{name} must be greater than zero")
    return found


def _gwei(given: Mapping[str, Any], name: str, default: str) -> int:
    return int(_decimal(given, name, default) * GWEI)


def _address(given: Mapping[str, Any], name: str) -> str:
    try:
        return evm.to_address(_text(given, name))
    except ValueError as exc:
        raise ConfigError(f"{name}: {exc}") from None
