"""What a provider's row says to the Bitcoin adapter, read and checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from embit.bip32 import HDKey, parse_path

from kauri.payment_provider.gateway import ConfigError, GatewayConfig
from kauri.payment_provider.gateways.btc_chains import CHAINS, ChainParameters

DIGITS: Final = 8
#: Fee rates are whole satoshi per 1000 virtual bytes: exact, and what nodes count in.
KILO: Final = 1000
_FINGERPRINT_BYTES: Final = 4


@dataclass(frozen=True, slots=True)
class BtcSettings:
    """Fee rates in satoshi per 1000 virtual bytes, times in seconds."""

    rpc_url: str
    chain: ChainParameters
    account: HDKey
    fingerprint: bytes
    origin_path: tuple[int, ...]
    fee_target_blocks: int
    fee_mode: str
    min_fee_rate: int
    max_fee_rate: int
    fallback_fee_rate: int | None
    max_head_age: int
    scan_blocks: int
    rpc_batch: int
    rpc_timeout: int

    @classmethod
    def read(cls, config: GatewayConfig) -> BtcSettings:
        """Raise ConfigError, naming the setting, when one is missing or makes no sense.

        ``rpc_url`` (with user and password) may stand among the credentials instead.
        """
        given = config.settings
        chain = chain_of(given)
        try:
            account = chain.account_key(str(given.get("xpub") or ""))
        except ValueError as exc:
            raise ConfigError(f"xpub: {exc}") from None
        fingerprint, path = _origin(given, account)
        least, most = _rate(given, "min_fee_rate", "1"), _rate(given, "max_fee_rate", "200")
        if least > most:
            raise ConfigError("min_fee_rate is above max_fee_rate")
        fallback = _rate(given, "fallback_fee_rate", None) if given.get("fallback_fee_rate") else None
        mode = str(given.get("fee_mode", "conservative")).lower()
        if mode not in {"conservative", "economical"}:
            raise ConfigError("fee_mode must be conservative or economical")
        rpc_url = config.credentials.get("rpc_url") or given.get("rpc_url")
        if not isinstance(rpc_url, str) or not rpc_url:
            raise ConfigError("rpc_url is missing")
        return cls(
            rpc_url=rpc_url,
            chain=chain,
            account=account,
            fingerprint=fingerprint,
            origin_path=path,
            fee_target_blocks=integer(given, "fee_target_blocks", 3, 1, 1008),
            fee_mode=mode,
            min_fee_rate=least,
            max_fee_rate=most,
            fallback_fee_rate=fallback,
            max_head_age=integer(given, "max_head_age_seconds", 10_800, 0, 1_000_000),
            scan_blocks=integer(given, "scan_blocks", 10, 1, 100),
            rpc_batch=integer(given, "rpc_batch", 20, 1, 500),
            rpc_timeout=integer(given, "rpc_timeout_seconds", 60, 1, 300),
        )


def chain_of(given: Mapping[str, Any]) -> ChainParameters:
    """The chain that the settings name; ConfigError when it is none of :data:`CHAINS`."""
    name = str(given.get("chain", ""))
    if name not in CHAINS:
        raise ConfigError(f"chain must be one of {', '.join(CHAINS)}")
    return CHAINS[name]


def integer(given: Mapping[str, Any], name: str, default: int, least: int, most: int) -> int:
    """A whole number within its bounds; ConfigError naming it otherwise."""
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


def amount(given: Mapping[str, Any], name: str) -> Decimal | None:
    """A positive amount written as text; None where the setting is absent."""
    return None if given.get(name) is None else _decimal(given, name, None)


def _rate(given: Mapping[str, Any], name: str, default: str | None) -> int:
    """Satoshi per virtual byte, as a whole number per 1000 of them."""
    found = _decimal(given, name, default) * KILO
    if found != found.to_integral_value():
        raise ConfigError(f"{name} has more than three digits behind the point")
    return int(found)


def _decimal(given: Mapping[str, Any], name: str, default: str | None) -> Decimal:
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


def _origin(given: Mapping[str, Any], account: HDKey) -> tuple[bytes, tuple[int, ...]]:
    """The master key's fingerprint and the account's path ("73c5da0a/84h/1h/0h").

    Without ``key_origin`` the account's key stands for the master: a signer that holds just it agrees.
    """
    text = str(given.get("key_origin") or "")
    if not text:
        return account.my_fingerprint, ()
    head, _, tail = text.partition("/")
    try:
        fingerprint, path = bytes.fromhex(head), tuple(parse_path("m/" + tail))
        if len(fingerprint) != _FINGERPRINT_BYTES or len(path) != account.depth:
            raise ValueError
    except (ValueError, IndexError):
        raise ConfigError("key_origin must look like 73c5da0a/84h/0h/0h") from None
    return fingerprint, path
