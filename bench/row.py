"""One row of the result, and the register of the functions that make rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bench.house import House
    from bench.measure import Result


@dataclass
class Row:
    """A figure of ours beside a peer's. ``least`` or ``most`` is the goal for ``ratio`` (or, without a peer, for ``ours``)."""

    name: str
    unit: str
    ours: float | None
    peer: float | None = None
    ratio: float | None = None
    least: float | None = None
    most: float | None = None
    other: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.ratio is None and self.ours is not None and self.peer:
            self.ratio = self.ours / self.peer

    @property
    def judged(self) -> float | None:
        return self.ours if self.peer is None else self.ratio

    @property
    def goal(self) -> str | None:
        """The goal in words; None where the row is only told."""
        if self.least is None and self.most is None:
            return None
        what = self.unit if self.peer is None else "x peer"
        return f">= {self.least:g} {what}" if self.least is not None else f"<= {self.most:g} {what}"

    @property
    def met(self) -> bool | None:
        """None where there is no goal, or nothing could be measured."""
        if self.goal is None or self.judged is None:
            return None
        if self.least is not None:
            return self.judged >= self.least
        return self.most is not None and self.judged <= self.most

    def as_json(self) -> dict[str, Any]:
        """The row as ``results.json`` has it."""
        values = {"name": self.name, "unit": self.unit, "ours": _short(self.ours), "peer": _short(self.peer)}
        return {
            **values,
            "other": self.other,
            "ratio": _short(self.ratio),
            "goal": self.goal,
            "met": self.met,
        }


def rate(name: str, result: Result, ours: str, peer: str, least: float | None = None) -> Row:
    """Operations a second of two cases that were measured together."""
    other = {"ours_range": result.spread(ours), "peer_range": result.spread(peer)}
    ratio = result.rate_ratio(ours, peer)
    return Row(name, "per second", result.rate(ours), result.rate(peer), ratio, least=least, other=other)


def cpu(name: str, result: Result, ours: str, peer: str, most: float | None = None) -> Row:
    """CPU time per operation of two cases that were measured together."""
    other = {"ours_server": _whole(result.server(ours)), "peer_server": _whole(result.server(peer))}
    ratio = result.cpu_ratio(ours, peer)
    return Row(name, "CPU µs each", result.cpu(ours), result.cpu(peer), ratio, most=most, other=other)


Maker = Callable[["House"], Iterable[Row]]


@dataclass(frozen=True, slots=True)
class Registered:
    """A function that makes rows: its name on the command line, and whether it needs the preloaded ledger."""

    name: str
    make: Maker
    filled: bool


REGISTER: list[Registered] = []


def rows(*, filled: bool = False) -> Callable[[Maker], Maker]:
    """Register a function that measures and gives rows. ``filled``: only after the ledger was preloaded."""

    def register(make: Maker) -> Maker:
        REGISTER.append(Registered(make.__name__, make, filled))
        return make

    return register


def _short(value: float | None) -> float | None:
    """Four digits are more than a shared machine can tell."""
    return None if value is None else float(f"{value:.4g}")


def _whole(value: float | None) -> int | None:
    return None if value is None else round(value)
