"""What the signer may sign at all, from a file that only its own user can change.

The shapes are in :mod:`kauri.signer.ethereum` and :mod:`kauri.signer.bitcoin`; here are the figures.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

from kauri.common import evm, money
from kauri.signer.errors import Refused, Unusable
from kauri.signer.journal import Journal


@dataclass(frozen=True, slots=True)
class Cap:
    """The most that one transaction, and 24 hours of them, may pay out."""

    per_transaction: Decimal
    per_day: Decimal

    def check(self, amount: Decimal, spent: Decimal, currency: str) -> None:
        """:class:`Refused` when ``amount``, or ``spent`` with it among the last 24 hours', is above the cap."""
        if amount > self.per_transaction:
            raise Refused(f"{money.plain(amount)} {currency} is above the cap of one transaction")
        if spent > self.per_day:
            raise Refused(f"{money.plain(amount)} {currency} is above what is left of the cap of 24 hours")


@dataclass(frozen=True, slots=True)
class Token:
    currency: str
    decimals: int


@dataclass(frozen=True, slots=True)
class EthereumPolicy:
    chain_id: int
    currency: str
    tokens: Mapping[str, Token]
    caps: Mapping[str, Cap]
    gas: Cap
    max_fee: Decimal
    cold: frozenset[str]


@dataclass(frozen=True, slots=True)
class BitcoinPolicy:
    currency: str
    coin_type: int
    cap: Cap
    max_fee: Decimal
    cold_scripts: frozenset[str]  # hex of the scriptPubKey


@dataclass(frozen=True, slots=True)
class Policy:
    ethereum: EthereumPolicy | None
    bitcoin: BitcoinPolicy | None


def read(path: Path) -> Policy:
    """:class:`Unusable`, naming the fault, when the file makes no sense or others may write it."""
    try:
        if path.stat().st_mode & 0o022:
            raise Unusable(f"{path.name} may be written by others than its owner")
        data = json.loads(path.read_text())
        return Policy(
            ethereum=_ethereum(data["ethereum"]) if "ethereum" in data else None,
            bitcoin=_bitcoin(data["bitcoin"]) if "bitcoin" in data else None,
        )
    except OSError as exc:
        raise Unusable(f"{path.name} can't be read: {exc.strerror}") from None
    except KeyError as exc:
        raise Unusable(f"{path.name}: {exc.args[0]} is missing") from None
    except (ValueError, TypeError, AttributeError, InvalidOperation) as exc:
        raise Unusable(f"{path.name}: {exc}") from None


def require_room(
    cap: Cap,
    journal: Journal,
    *,
    key: str,
    currency: str,
    amount: Decimal,
    now: int,
    slots: tuple[str, ...],
) -> None:
    """:class:`Refused` when this payment does not fit under ``cap`` beside those of the last day."""
    cap.check(amount, journal.spent(key, currency, now, slots, amount), currency)


def _ethereum(data: dict[str, Any]) -> EthereumPolicy:
    return EthereumPolicy(
        chain_id=int(data["chain_id"]),
        currency=str(data.get("currency", "ETH")),
        tokens={
            evm.to_address(address): Token(str(token["currency"]), int(token["decimals"]))
            for address, token in data.get("tokens", {}).items()
        },
        caps={currency: _cap(cap) for currency, cap in data["caps"].items()},
        gas=_cap(data["gas"]),
        max_fee=_amount(data["max_fee"]),
        cold=frozenset(evm.to_address(address) for address in data.get("cold", [])),
    )


def _bitcoin(data: dict[str, Any]) -> BitcoinPolicy:
    return BitcoinPolicy(
        currency=str(data.get("currency", "BTC")),
        coin_type=int(data["coin_type"]),
        cap=_cap(data["cap"]),
        max_fee=_amount(data["max_fee"]),
        cold_scripts=frozenset(bytes.fromhex(text).hex() for text in data.get("cold_scripts", [])),
    )


def _cap(data: dict[str, Any]) -> Cap:
    return Cap(per_transaction=_amount(data["per_transaction"]), per_day=_amount(data["per_day"]))


def _amount(value: Any) -> Decimal:
    if not isinstance(value, str):
        raise TypeError("amounts are written as text")
    amount = Decimal(value)
    if not amount.is_finite() or amount < 0:
        raise ValueError(f"{value} is no amount")
    return amount
