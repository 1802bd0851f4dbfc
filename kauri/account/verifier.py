"""The verification port. An adapter knows the wire and nothing else: no tables, no cases.

Rules that every adapter keeps:

* :meth:`Verifier.start` may be called any number of times for one reference and registers one
  applicant: after a lost answer it looks for the applicant before it makes another;
* a webhook is a hint: only :meth:`Verifier.fetch_status` says how a check ended;
* a word that the adapter does not know is ``UNKNOWN``, never ``REJECTED``.

Where adapters come from: the folder ``verifiers/``, and packages of the installation's own choice
that name one class under the entry point group ``kauri.verifiers``. Such a package is imported only
when a provider's row names it.
"""

from __future__ import annotations

import enum
import importlib
import pkgutil
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from importlib.metadata import entry_points
from typing import Any, ClassVar, Final

from kauri.common import clock

GROUP: Final = "kauri.verifiers"


class VerifierError(Exception):
    """Base of what an adapter raises. The text carries no secret."""


class Rejected(VerifierError):
    """Final: the provider refused the call; nothing was registered."""


class Retryable(VerifierError):
    """Nothing happened; the same call may be made again later."""


class OutcomeUnknown(VerifierError):
    """The call may have had its effect. Making it again looks first."""


class ConfigError(VerifierError):
    """The provider's settings are wrong; a person must mend them. Nothing happened."""


class Verdict(enum.StrEnum):
    """What a provider says of one applicant now."""

    APPROVED = "approved"
    REJECTED = "rejected"  # for good
    RETRY = "retry"  # the customer may send again
    WAITING = "waiting"  # the customer has not handed everything in
    PENDING = "pending"  # the provider checks
    UNKNOWN = "unknown"  # a word that we do not know


class EntranceKind(enum.StrEnum):
    """How the customer comes to the provider."""

    LINK = "link"
    TOKEN = "token"  # noqa: S105 - a kind, not a token


@dataclass(frozen=True, slots=True)
class VerifierConfig:
    """What an adapter is given: the provider's row, read and decrypted by the caller."""

    code: str
    environment: str
    settings: Mapping[str, Any] = field(repr=False)
    credentials: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class StartRequest:
    reference: str  # ours, stored before the call
    level: int
    language: str = "en"


@dataclass(frozen=True, slots=True)
class Entrance:
    """The customer's way in. ``value`` is as good as a password until ``until``."""

    kind: EntranceKind
    value: str = field(repr=False)
    until: datetime


@dataclass(frozen=True, slots=True)
class Started:
    provider_reference: str
    entrance: Entrance


@dataclass(frozen=True, slots=True)
class StatusReport:
    """``words`` may be shown to the customer; ``answer`` is kept for operators and holds no secrets."""

    verdict: Verdict
    provider_reference: str = ""
    words: str = ""
    answer: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RawWebhook:
    method: str
    query: str
    headers: Mapping[str, str]  # lower-case names
    body: bytes
    received_at: datetime = field(default_factory=clock.now)


@dataclass(frozen=True, slots=True)
class Hint:
    """Authenticated: it is worth reading the status of ``reference`` (ours)."""

    reference: str


@dataclass(frozen=True, slots=True)
class Ignored:
    """Authenticated, and not about a customer's verification."""

    reason: str


@dataclass(frozen=True, slots=True)
class Invalid:
    """Forged, malformed or not for us."""

    reason: str


WebhookMeaning = Hint | Ignored | Invalid


@dataclass(frozen=True, slots=True)
class Health:
    ok: bool
    detail: str


class Verifier(ABC):
    """One verification provider. Subclasses set :attr:`code`."""

    code: ClassVar[str]
    #: The customer uploads documents to us and an operator decides; nobody outside is asked.
    takes_documents: ClassVar[bool] = False

    def __init__(self, config: VerifierConfig) -> None:
        self.config = config

    @abstractmethod
    def levels(self) -> tuple[int, ...]:
        """The levels that it can verify. No network."""

    @abstractmethod
    def check_health(self) -> Health:
        """Whether it is fit to verify."""

    def documents(self, level: int) -> tuple[str, ...]:
        """The kinds of documents that a level needs, where :attr:`takes_documents`. No network."""
        raise ConfigError(f"{self.code} takes no documents")

    def start(self, request: StartRequest) -> Started:
        """Register the applicant, once, and open an entrance; again: a fresh entrance."""
        raise ConfigError(f"{self.code} registers nobody")

    def fetch_status(self, request: StartRequest, provider_reference: str) -> StatusReport:
        raise ConfigError(f"{self.code} checks nobody")

    def ask_again(self, request: StartRequest, provider_reference: str) -> None:
        """Let the customer send again although the provider was done."""
        raise ConfigError(f"{self.code} cannot ask again")

    def play_verdict(self, provider_reference: str, verdict: Verdict) -> None:
        """Let the provider's sandbox end the check so: for tests and training."""
        raise ConfigError(f"{self.code} has no sandbox that plays verdicts")

    def parse_webhook(self, raw: RawWebhook) -> WebhookMeaning:
        return Invalid(f"{self.code} sends no webhooks")


@cache
def built_in() -> dict[str, type[Verifier]]:
    """The house's own adapters by code: the folder ``verifiers/`` is the list."""
    package = importlib.import_module("kauri.account.verifiers")
    found: dict[str, type[Verifier]] = {}
    for info in pkgutil.iter_modules(package.__path__):
        module = importlib.import_module(f"{package.__name__}.{info.name}")
        for value in vars(module).values():
            if isinstance(value, type) and issubclass(value, Verifier) and "code" in vars(value):
                found[value.code] = value
    return found


def adapter(name: str) -> type[Verifier]:
    """The class behind an adapter's name, ours or an installed package's.

    Raises :class:`ConfigError` when there is none, when two claim the name, when the package cannot
    be imported, or when what it names is no verifier of that name.
    """
    own = built_in().get(name)
    named = entry_points(group=GROUP, name=name)
    if len(named) + (own is not None) > 1:
        raise ConfigError(f"more than one verification adapter is called {name!r}")
    if own is not None:
        return own
    for entry in named:
        try:
            found = entry.load()
        except Exception as exc:  # noqa: BLE001 - whatever a foreign package does at its import
            raise ConfigError(f"the adapter {name!r} cannot be imported: {type(exc).__name__}") from None
        if not (isinstance(found, type) and issubclass(found, Verifier)):
            raise ConfigError(f"the entry point {name!r} names no verifier")
        if getattr(found, "code", None) != name:
            raise ConfigError(f"the adapter behind {name!r} calls itself something else")
        return found
    raise ConfigError(f"no verification adapter {name!r}")


def build(name: str, config: VerifierConfig) -> Verifier:
    """The adapter called ``name`` with ``config``; :class:`ConfigError` as :func:`adapter` says."""
    return adapter(name)(config)
