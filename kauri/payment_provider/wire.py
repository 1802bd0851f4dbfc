"""What the payment provider port and its adapters say to each other: values and errors.

Amounts are ``Decimal`` plus a currency code. Every error says what is known about the money.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any, Protocol

from kauri.common import clock


class Direction(enum.StrEnum):
    IN = "in"
    OUT = "out"


class PayoutStatus(enum.StrEnum):
    """Where one payout stands at the provider."""

    PENDING = "pending"  # known there, not final
    CONFIRMED = "confirmed"  # final: the money has gone
    FAILED = "failed"  # final: nothing has gone
    NOT_FOUND = "not_found"  # the provider surely does not know it
    UNKNOWN = "unknown"  # no statement is possible now


class GatewayError(Exception):
    """Base of what an adapter raises. The text carries no secret."""


class Rejected(GatewayError):
    """Final: the provider refused, nothing was sent."""


class Retryable(GatewayError):
    """Nothing was sent; the same call may be made again later."""


class OutcomeUnknown(GatewayError):
    """The call may have had its effect. Look it up; never send anew."""


class InsufficientFloat(GatewayError):
    """The provider says that our own balance there is too small. Nothing was sent."""


class ConfigError(GatewayError):
    """The provider's settings are wrong; a person must mend them. Nothing was sent."""


class Signer(Protocol):
    """The one that holds the keys, in a process of its own. Signing moves no money.

    Both raise Retryable (it could not be reached), ConfigError (its policy refuses: a person looks).
    """

    def sign_evm(self, key: str, transaction: Mapping[str, Any]) -> str:
        """The raw bytes (0x…) of an EIP-1559 ``transaction``, signed by ``key``.

        ``key``: ``hot``, ``gas`` or ``deposit/<index>``. The fields are those of the wire: chainId,
        nonce, to, value, gas, maxFeePerGas, maxPriorityFeePerGas (whole numbers), data (0x…).
        """
        ...

    def sign_psbt(self, psbt: str) -> str:
        """The raw transaction (hex) of a base64 PSBT whose inputs and change carry their key paths."""
        ...


@dataclass(frozen=True, slots=True)
class GatewayConfig:
    """What an adapter is given: the provider's row, read and decrypted by the caller."""

    code: str
    # Neither is shown by repr(): both may hold secrets (an RPC address is often a key).
    settings: Mapping[str, Any] = field(repr=False)
    credentials: Mapping[str, str] = field(default_factory=dict, repr=False)
    proxy: str = ""
    #: Chains: who signs. None in processes that only read.
    signer: Signer | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Capability:
    """One thing the gateway can do: a currency in a direction, optionally on a named network."""

    currency: str
    direction: Direction
    network: str = ""
    minimum: Decimal | None = None
    maximum: Decimal | None = None


class InstructionKind(enum.StrEnum):
    REDIRECT = "redirect"
    FORM = "form"
    ADDRESS = "address"
    CHALLENGE = "challenge"


@dataclass(frozen=True, slots=True)
class PayinRequest:
    reference: str  # ours, stored before the call
    currency: str
    amount: Decimal | None  # None: the payer chooses
    description: str = ""
    return_url: str = ""
    callback_url: str = ""


@dataclass(frozen=True, slots=True)
class PayinInstruction:
    """How the customer pays: exactly one of redirect_url, html_form, address, challenge."""

    kind: InstructionKind
    value: str
    provider_reference: str = ""


@dataclass(frozen=True, slots=True)
class Coin:
    """An unspent output that is ours (Bitcoin family), and the key path that spends it."""

    transaction: str
    ordinal: int
    amount: Decimal
    address: str
    path: str  # "0/7": under the account's extended public key


@dataclass(frozen=True, slots=True)
class Output:
    """One more payment of the same transaction."""

    reference: str
    destination: str
    amount: Decimal


@dataclass(frozen=True, slots=True)
class PayoutRequest:
    reference: str  # ours, stored before the call
    currency: str
    amount: Decimal
    destination: str
    nonce: int | None = None  # chains with account nonces: allocated by the caller under a row lock
    source_address: str = ""
    min_confirmations: int = 1
    key: str = "hot"  # which of the signer's keys pays (chains)
    coins: tuple[Coin, ...] = ()  # what may be spent, where the chain has coins
    change_path: str = ""
    beside: tuple[Output, ...] = ()  # paid by the same transaction
    spent: tuple[Spend, ...] = ()  # where the caller's books saw coins of this payout used up


@dataclass(frozen=True, slots=True)
class Attempt:
    """Bytes that were signed for a payout and then replaced: of all of them only one can be mined."""

    provider_reference: str
    payload: str
    cancels: bool = False  # pays nobody: uses up the nonce or the coins


@dataclass(frozen=True, slots=True)
class PreparedPayout:
    """The bytes to send (``payload``), and the name the provider will know them by."""

    provider_reference: str
    payload: str
    nonce: int | None = None
    cancels: bool = False
    spends: tuple[tuple[str, int], ...] = ()  # coins it uses up: (transaction, ordinal)
    earlier: tuple[Attempt, ...] = ()


@dataclass(frozen=True, slots=True)
class PayoutState:
    status: PayoutStatus
    provider_reference: str = ""
    confirmations: int = 0
    mined_reference: str = ""  # which of the attempts the chain holds
    cost: Decimal | None = None  # what the provider or the network took for it
    cost_currency: str = ""
    answer: Mapping[str, Any] = field(default_factory=dict)  # kept for people; no secrets


@dataclass(frozen=True, slots=True)
class ForeignTransfer:
    """A token that is no currency of ours, sent to an address of ours; so its contract says, and it may lie."""

    transaction: str
    ordinal: int  # place among the transaction's own events: no reorganisation changes it
    contract: str
    sender: str
    address: str
    amount: str  # digits, in the contract's own unit; of a single item: its number
    is_item: bool
    height: int
    block_hash: str


@dataclass(frozen=True, slots=True)
class Block:
    height: int
    hash: str
    parent_hash: str


@dataclass(frozen=True, slots=True)
class IncomingTransfer:
    """Money seen on the way in. ``(transaction, ordinal)`` names it for ever, also across reorgs."""

    transaction: str
    ordinal: str
    address: str
    currency: str
    amount: Decimal
    block: Block
    sender: str = ""
    final_after: int = 0  # confirmations that the chain itself asks for (coinbase outputs)


@dataclass(frozen=True, slots=True)
class Spend:
    """An output that a transaction of this block used up."""

    transaction: str
    ordinal: int
    by: str
    block: Block


@dataclass(frozen=True, slots=True)
class ScanResult:
    """Blocks in ascending order after the cursor, with what they hold; ``head`` is the node's tip."""

    blocks: tuple[Block, ...]
    transfers: tuple[IncomingTransfer, ...]
    head: int
    spends: tuple[Spend, ...] = ()


@dataclass(frozen=True, slots=True)
class RawCallback:
    method: str
    path: str
    query: str
    headers: Mapping[str, str]  # lower-case names
    body: bytes
    remote_addr: str
    #: When it came in: ages are judged by this, so that a stored call can be replayed later.
    received_at: datetime = field(default_factory=clock.now)


class EventKind(enum.StrEnum):
    PAYIN = "payin"
    PAYOUT = "payout"


@dataclass(frozen=True, slots=True)
class Event:
    """Trusted: authenticated by the adapter. The caller still compares merchant, amount, currency."""

    kind: EventKind
    reference: str  # ours
    provider_reference: str
    status: PayoutStatus
    currency: str
    amount: Decimal


@dataclass(frozen=True, slots=True)
class Probe:
    """The provider asks whether an order exists before it takes money; no effect."""

    reference: str
    accept: bool


@dataclass(frozen=True, slots=True)
class Hint:
    """Unsigned: says only that it is worth asking about ``reference``."""

    reference: str


@dataclass(frozen=True, slots=True)
class Invalid:
    """Forged, malformed or not for us."""

    reason: str


CallbackMeaning = Event | Probe | Hint | Invalid


@dataclass(frozen=True, slots=True)
class Reply:
    status: int
    body: str
    content_type: str = "application/json"


@dataclass(frozen=True, slots=True)
class ProviderBalance:
    currency: str
    amount: Decimal


@dataclass(frozen=True, slots=True)
class SweepQuote:
    """What an address of ours could send now, and how much of the chain's own currency it lacks for the fee."""

    amount: Decimal
    missing: Decimal
    fee_currency: str


@dataclass(frozen=True, slots=True)
class Health:
    ok: bool
    detail: str
