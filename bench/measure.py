"""Slices of a second, interleaved round-robin; medians, and ratios inside a round.

A loaded machine changes from minute to minute. What is compared therefore runs within seconds of each other, and
CPU time per operation, which other load hardly moves, is given beside operations per second.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field
from statistics import median

from bench import proc
from bench.clients import OurClients, PgBench

ROUNDS = int(os.environ.get("BENCH_ROUNDS", "3"))
SECONDS = float(os.environ.get("BENCH_SECONDS", "1"))
WARM_SECONDS = 0.2

Case = OurClients | PgBench


@dataclass(frozen=True, slots=True)
class Sample:
    """One slice: operations a second, and CPU microseconds per operation (server and clients; of it the server's)."""

    rate: float
    cpu: float | None
    server: float | None


@dataclass
class Result:
    """The samples of each case, round by round."""

    samples: dict[str, list[Sample]] = field(default_factory=dict)

    def rate(self, name: str) -> float:
        """Median of operations a second."""
        return median(sample.rate for sample in self.samples[name])

    def cpu(self, name: str) -> float | None:
        """Median of CPU microseconds per operation."""
        return _median([sample.cpu for sample in self.samples[name]])

    def server(self, name: str) -> float | None:
        """Median of the server's part of it."""
        return _median([sample.server for sample in self.samples[name]])

    def rate_ratio(self, ours: str, peer: str) -> float:
        """Median of the rounds' ratios."""
        pairs = zip(self.samples[ours], self.samples[peer], strict=True)
        return median(a.rate / b.rate for a, b in pairs)

    def cpu_ratio(self, ours: str, peer: str) -> float | None:
        """Median of the rounds' ratios; None where CPU time could not be read."""
        pairs = zip(self.samples[ours], self.samples[peer], strict=True)
        return _median([a.cpu / b.cpu if a.cpu and b.cpu else None for a, b in pairs])

    def spread(self, name: str) -> str:
        """Least and most operations a second."""
        rates = [sample.rate for sample in self.samples[name]]
        return f"{min(rates):,.0f}-{max(rates):,.0f}"


def interleaved(cases: dict[str, Case], processes: int) -> Result:
    """Run every case for a slice, all of them once a round, each round in another order."""
    result = Result({name: [] for name in cases})
    names = list(cases)
    for number in range(ROUNDS):
        first = number % len(names)
        for name in names[first:] + names[:first]:
            result.samples[name].append(_slice(cases[name], processes))
    return result


def _slice(case: Case, processes: int) -> Sample:
    root = proc.postmaster()
    case.start(processes)
    try:
        time.sleep(WARM_SECONDS)
        count, server, client, at = (
            case.count(),
            proc.tree_ns(root),
            proc.cpu_ns(case.pids()),
            time.monotonic(),
        )
        time.sleep(SECONDS / 2)
        if case.meanwhile:
            case.meanwhile()
        time.sleep(max(0.0, SECONDS - (time.monotonic() - at)))
        done, seconds = case.count() - count, time.monotonic() - at
        used, ours = proc.tree_ns(root), proc.cpu_ns(case.pids()) - client
    finally:
        case.stop()
    if not done:
        raise RuntimeError("nothing was done within a slice: raise BENCH_SECONDS")
    if server is None or used is None:
        return Sample(done / seconds, None, None)
    return Sample(done / seconds, (used - server + ours) / 1000 / done, (used - server) / 1000 / done)


def _median(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return median(known) if known else None
