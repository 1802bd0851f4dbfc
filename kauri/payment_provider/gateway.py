"""The payment provider port. An adapter knows the wire and nothing else.

Rules every adapter keeps (``tests/kauri/payment_provider/test_gateway_contract.py`` checks them):

* amounts are ``Decimal`` plus a currency code; the adapter converts to the wire's unit exactly;
* a payout has two halves: :meth:`Gateway.prepare_payout` moves no money and returns the bytes that
  will be sent, which the caller stores and commits; :meth:`Gateway.send_payout` sends exactly those
  bytes, any number of times, with the effect of one;
* after :class:`OutcomeUnknown` only :meth:`Gateway.fetch_payout` (or the same bytes again, where
  ``resend_is_safe``) is allowed;
* a status word that the adapter does not know is ``UNKNOWN``, never ``FAILED``.
"""

from __future__ import annotations

import enum
import importlib
import pkgutil
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from functools import cache
from typing import Any, ClassVar

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


@dataclass(frozen=True, slots=True)
class GatewayConfig:
    """What an adapter is given: the provider's row, read and decrypted by the caller."""

    code: str
    # Neither is shown by repr(): both may hold secrets (an RPC address is often a key).
    settings: Mapping[str, Any] = field(repr=False)
    credentials: Mapping[str, str] = field(default_factory=dict, repr=False)
    proxy: str = ""


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
class PayoutRequest:
    reference: str  # ours, stored before the call
    currency: str
    amount: Decimal
    destination: str
    nonce: int | None = None  # chains with account nonces: allocated by the caller under a row lock
    source_address: str = ""
    min_confirmations: int = 1


@dataclass(frozen=True, slots=True)
class PreparedPayout:
    """The bytes to send (``payload``), and the name the provider will know them by."""

    provider_reference: str
    payload: str
    nonce: int | None = None


@dataclass(frozen=True, slots=True)
class PayoutState:
    status: PayoutStatus
    provider_reference: str = ""
    confirmations: int = 0
    cost: Decimal | None = None  # what the provider or the network took for it
    cost_currency: str = ""
    answer: Mapping[str, Any] = field(default_factory=dict)  # kept for people; no secrets


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


@dataclass(frozen=True, slots=True)
class ScanResult:
    """Blocks in ascending order after the cursor, with what they hold; ``head`` is the node's tip."""

    blocks: tuple[Block, ...]
    transfers: tuple[IncomingTransfer, ...]
    head: int


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
class Health:
    ok: bool
    detail: str


class Gateway(ABC):
    """One payment provider. Subclasses live one to a file in ``gateways/`` and set :attr:`code`."""

    code: ClassVar[str]
    #: Sending the same stored bytes twice has the effect of once (a signed chain transaction, or an
    #: API that keys on our reference).
    resend_is_safe: ClassVar[bool] = False
    #: The chain has account nonces: the caller allocates one under a lock before ``prepare_payout``.
    uses_nonce: ClassVar[bool] = False
    #: Money is found by ``scan_incoming`` (a node) rather than told by callbacks.
    scans: ClassVar[bool] = False

    def __init__(self, config: GatewayConfig) -> None:
        self.config = config

    @abstractmethod
    def capabilities(self) -> tuple[Capability, ...]:
        """What it can do. No network."""

    @abstractmethod
    def validate_destination(self, currency: str, destination: str) -> str:
        """Return the destination in canonical form, or raise :class:`Rejected`. No network."""

    @abstractmethod
    def check_health(self) -> Health:
        """Ask the provider whether it is fit to take and pay money (right chain, synced, ...)."""

    @abstractmethod
    def fetch_balances(self) -> tuple[ProviderBalance, ...]: ...

    @abstractmethod
    def prepare_payout(self, request: PayoutRequest) -> PreparedPayout: ...

    @abstractmethod
    def send_payout(self, request: PayoutRequest, prepared: PreparedPayout) -> PayoutState: ...

    @abstractmethod
    def fetch_payout(self, request: PayoutRequest, prepared: PreparedPayout) -> PayoutState: ...

    def create_payin(self, request: PayinRequest) -> PayinInstruction:
        raise Rejected(f"{self.code} takes no payins by request")

    def next_nonce(self, address: str) -> int:
        """The chain's own next nonce for ``address`` (pending included); start-up check only."""
        raise ConfigError(f"{self.code} has no nonces")

    def hot_address(self) -> str:
        """The address payouts leave from (chains); '' elsewhere."""
        return ""

    def block_at(self, height: int) -> Block | None:
        """The canonical block at ``height`` now; None above the head."""
        raise ConfigError(f"{self.code} does not scan")

    def scan_incoming(self, after: Block | None, limit: int) -> ScanResult:
        """Blocks after ``after`` (exclusive; None: start at the head), at most ``limit`` of them.

        Pinned by block hash, so a reorg in mid-scan raises :class:`Retryable` rather than mixing
        two chains. The first returned block's ``parent_hash`` need not equal ``after.hash``: the
        caller compares and walks back.
        """
        raise ConfigError(f"{self.code} does not scan")

    def parse_callback(self, raw: RawCallback) -> CallbackMeaning:
        return Invalid(f"{self.code} sends no callbacks")

    def callback_reply(self, meaning: CallbackMeaning) -> Reply:
        """The provider's own words for "received". Called after the raw callback is stored."""
        if isinstance(meaning, Invalid):
            return Reply(status=400, body='{"status":"error"}')
        return Reply(status=200, body='{"status":"ok"}')


@cache
def registry() -> dict[str, type[Gateway]]:
    """Adapter classes by code: the folder ``gateways/`` is the list."""
    package = importlib.import_module("kauri.payment_provider.gateways")
    found: dict[str, type[Gateway]] = {}
    for info in pkgutil.iter_modules(package.__path__):
        module = importlib.import_module(f"{package.__name__}.{info.name}")
        for value in vars(module).values():
            if isinstance(value, type) and issubclass(value, Gateway) and "code" in vars(value):
                found[value.code] = value
    return found


def build(adapter: str, config: GatewayConfig) -> Gateway:
    """The adapter named ``adapter`` with ``config``; ConfigError if there is none."""
    try:
        return registry()[adapter](config)
    except KeyError:
        raise ConfigError(f"no payment provider adapter {adapter!r}") from None
