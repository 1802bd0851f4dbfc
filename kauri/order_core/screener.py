"""The transaction analysis port. An adapter knows the wire and nothing else: no tables, no orders.

Rules that every adapter keeps:

* a score is a Decimal from 0 (clean) to 1; each adapter says how it makes one of its provider's words;
* an answer that the provider has not given yet is ``PENDING``; a word that we do not know is never "clean";
* asking twice about one transaction does no harm: at worst a second look is bought.
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


class ScreenerError(Exception):
    """Base of what an adapter raises. The text carries no secret."""


class Rejected(ScreenerError):
    """Final: the provider will not look at this."""


class Retryable(ScreenerError):
    """No answer now; the same question may be asked again."""


class ConfigError(ScreenerError):
    """The provider's settings are wrong, or it cannot do this; a person must mend them."""


class Level(enum.StrEnum):
    """How bad it is, in one vocabulary."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    SEVERE = "severe"


@dataclass(frozen=True, slots=True)
class ScreenerConfig:
    """What an adapter is given: the provider's row, read and decrypted by the caller."""

    code: str
    environment: str
    settings: Mapping[str, Any] = field(repr=False)
    credentials: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class Incoming:
    """Money that came: ``address`` is ours, ``sender`` is '' where the chain does not say."""

    reference: str  # ours, stored before the call
    customer: str  # an opaque id
    transaction: str
    address: str
    sender: str
    currency: str
    network: str
    amount: Decimal
    at: datetime
    price: Decimal | None = None  # US dollars for one


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A destination that is to be paid."""

    reference: str
    customer: str
    destination: str
    currency: str
    network: str
    amount: Decimal
    at: datetime
    price: Decimal | None = None


Question = Incoming | Outgoing


@dataclass(frozen=True, slots=True)
class Finding:
    """``ready`` says whether it is final; ``reference`` is the provider's. ``answer`` holds no secret."""

    ready: bool
    reference: str = ""
    score: Decimal | None = None
    level: Level | None = None
    signals: Mapping[str, Decimal] = field(default_factory=dict)
    answer: Mapping[str, Any] = field(default_factory=dict)


class Screener(ABC):
    """One provider of analysis. Subclasses live one to a file in ``screeners/`` and set :attr:`code`."""

    code: ClassVar[str]
    #: It can look at a destination before money is sent there.
    screens_outgoing: ClassVar[bool] = False

    def __init__(self, config: ScreenerConfig) -> None:
        self.config = config

    @abstractmethod
    def screen_incoming(self, question: Incoming) -> Finding:
        """Ask about money that came. The answer may be ready at once."""

    def screen_outgoing(self, question: Outgoing) -> Finding:
        """Ask about a destination."""
        raise ConfigError(f"{self.code} looks at no destinations")

    def fetch(self, reference: str, question: Question) -> Finding:
        """What became of a question that was pending."""
        raise ConfigError(f"{self.code} leaves nothing pending")


@cache
def registry() -> dict[str, type[Screener]]:
    """Adapter classes by code: the folder ``screeners/`` is the list."""
    package = importlib.import_module("kauri.order_core.screeners")
    found: dict[str, type[Screener]] = {}
    for info in pkgutil.iter_modules(package.__path__):
        module = importlib.import_module(f"{package.__name__}.{info.name}")
        for value in vars(module).values():
            if isinstance(value, type) and issubclass(value, Screener) and "code" in vars(value):
                found[value.code] = value
    return found


def build(adapter: str, config: ScreenerConfig) -> Screener:
    """The adapter named ``adapter`` with ``config``; ConfigError if there is none."""
    try:
        return registry()[adapter](config)
    except KeyError:
        raise ConfigError(f"no transaction analysis adapter {adapter!r}") from None
