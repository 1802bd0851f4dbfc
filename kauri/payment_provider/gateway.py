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

import importlib
import pkgutil
from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import cache
from typing import ClassVar

from kauri.payment_provider.wire import (
    Attempt,
    Block,
    CallbackMeaning,
    Capability,
    Coin,
    ConfigError,
    Direction,
    Event,
    EventKind,
    ForeignTransfer,
    GatewayConfig,
    GatewayError,
    Health,
    Hint,
    IncomingTransfer,
    InstructionKind,
    InsufficientFloat,
    Invalid,
    OutcomeUnknown,
    Output,
    PayinInstruction,
    PayinRequest,
    PayoutRequest,
    PayoutState,
    PayoutStatus,
    PreparedPayout,
    Probe,
    ProviderBalance,
    RawCallback,
    Rejected,
    Reply,
    Retryable,
    ScanResult,
    Signer,
    Spend,
    SweepQuote,
)

__all__ = [
    "Attempt",
    "Block",
    "CallbackMeaning",
    "Capability",
    "Coin",
    "ConfigError",
    "Direction",
    "Event",
    "EventKind",
    "ForeignTransfer",
    "Gateway",
    "GatewayConfig",
    "GatewayError",
    "Health",
    "Hint",
    "IncomingTransfer",
    "InstructionKind",
    "InsufficientFloat",
    "Invalid",
    "OutcomeUnknown",
    "Output",
    "PayinInstruction",
    "PayinRequest",
    "PayoutRequest",
    "PayoutState",
    "PayoutStatus",
    "PreparedPayout",
    "Probe",
    "ProviderBalance",
    "RawCallback",
    "Rejected",
    "Reply",
    "Retryable",
    "ScanResult",
    "Signer",
    "Spend",
    "SweepQuote",
    "build",
    "registry",
]


class Gateway(ABC):
    """One payment provider. Subclasses live one to a file in ``gateways/`` and set :attr:`code`."""

    code: ClassVar[str]
    #: Sending the same stored bytes twice has the effect of once (a signed chain transaction, or an
    #: API that keys on our reference).
    resend_is_safe: ClassVar[bool] = False
    #: The chain has account nonces: the caller allocates one under a lock before ``prepare_payout``.
    uses_nonce: ClassVar[bool] = False
    #: The chain has coins: the caller gives the unspent ones and keeps what a payout uses up.
    uses_coins: ClassVar[bool] = False
    #: Money is found by ``scan_incoming`` (a node) rather than told by callbacks.
    scans: ClassVar[bool] = False
    #: Deposit addresses have to be emptied into the hot wallet (:meth:`quote_sweep`).
    sweeps: ClassVar[bool] = False
    #: Bytes that stay unmined can be replaced (:meth:`prepare_replacement`, :meth:`prepare_cancel`).
    replaces: ClassVar[bool] = False
    #: It can say which tokens that are none of ours came to addresses of ours (:meth:`foreign_transfers`).
    sees_foreign: ClassVar[bool] = False

    def __init__(self, config: GatewayConfig) -> None:
        self.config = config

    @property
    def chain(self) -> str:
        """The chain's own name, the same for every adapter on it; '' where there is no chain."""
        return ""

    @property
    def replace_after(self) -> int:
        """Seconds after which unmined bytes are replaced."""
        return 600

    @property
    def batch_size(self) -> int:
        """How many payouts one transaction may pay."""
        return 1

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

    def prepare_replacement(self, request: PayoutRequest, stuck: PreparedPayout) -> PreparedPayout:
        """The same payment again with a higher fee, of which only one can be mined. Moves no money.

        Raises Retryable when the raised fee would pass the cap. The caller keeps both, sends the new
        one, and asks for all of them.
        """
        raise ConfigError(f"{self.code} replaces nothing")

    def prepare_cancel(self, request: PayoutRequest, stuck: PreparedPayout) -> PreparedPayout:
        """Bytes that pay nobody and make ``stuck`` impossible once mined (``cancels`` is True)."""
        raise ConfigError(f"{self.code} cancels nothing")

    def quote_sweep(self, address: str) -> SweepQuote:
        """What the deposit address could send to the hot wallet. Reads only."""
        raise ConfigError(f"{self.code} sweeps nothing")

    def fetch_holdings(self, addresses: Sequence[str]) -> list[tuple[ProviderBalance, ...]]:
        """What each address holds on the chain now, in the order given. Reads only."""
        raise ConfigError(f"{self.code} has no addresses")

    def derive_address(self, index: int, *, change: bool = False) -> str:
        """The address at ``0/index`` (``1/index``) under the settings' extended public key. No network."""
        raise ConfigError(f"{self.code} derives no addresses")

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

    def oldest_block(self) -> int:
        """The lowest height whose block can still be read (a pruned node forgets old ones)."""
        return 0

    def unspent(self, coins: Sequence[Coin]) -> tuple[Coin, ...]:
        """Those of ``coins`` that the chain holds, unspent and with this amount."""
        raise ConfigError(f"{self.code} has no coins")

    def scan_incoming(self, after: Block | None, limit: int) -> ScanResult:
        """Blocks after ``after`` (exclusive; None: start at the head), at most ``limit`` of them.

        Pinned by block hash, so a reorg in mid-scan raises :class:`Retryable` rather than mixing
        two chains. The first returned block's ``parent_hash`` need not equal ``after.hash``: the
        caller compares and walks back.
        """
        raise ConfigError(f"{self.code} does not scan")

    def foreign_transfers(self, addresses: Sequence[str], first: int, last: int) -> list[ForeignTransfer]:
        """Tokens of other contracts that came to ``addresses`` in the blocks ``first`` to ``last``. Reads only.

        Not pinned by block hash: the caller asks for blocks that are deep enough, and whether the last
        of them is still the one it knows.
        """
        raise ConfigError(f"{self.code} sees no foreign tokens")

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
