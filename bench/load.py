"""A load over HTTP: processes that each keep one connection and ask one thing over and over."""

from __future__ import annotations

import http.client
import multiprocessing
import os
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import quantiles
from typing import Any

from django.db import connection

from bench import proc

SECONDS = float(os.environ.get("BENCH_HTTP_SECONDS", "3"))
WARM_SECONDS = 0.5
TIMEOUT = 60

#: Makes a request: method, target, body, headers.
Ask = Callable[[], tuple[str, str, bytes, dict[str, str]]]


@dataclass(frozen=True, slots=True)
class Load:
    """What a slice came to. Times in milliseconds; CPU in microseconds a request, of it the database's part."""

    rate: float
    p50: float
    p99: float
    cpu: float
    database: float
    errors: int


def load(ask: Ask, port: int, pid: int, clients: int) -> Load:
    """Run ``clients`` for a slice; CPU is that of the web server's processes and of PostgreSQL's."""
    root = proc.postmaster()
    connection.close()  # a socket must not be shared with a fork
    fork = multiprocessing.get_context("fork")
    start = time.monotonic() + WARM_SECONDS + 0.02 * clients
    ends = start + SECONDS
    lines, children = [], []
    for _ in range(clients):
        mine, theirs = fork.Pipe(duplex=False)
        child = fork.Process(target=_client, args=(ask, port, start, ends, theirs))
        child.start()
        theirs.close()
        lines.append(mine)
        children.append(child)
    time.sleep(max(0.0, start - time.monotonic()))
    web, database = proc.whole_ns(pid), proc.tree_ns(root) or 0
    time.sleep(max(0.0, ends - time.monotonic()))
    web, database = proc.whole_ns(pid) - web, (proc.tree_ns(root) or 0) - database
    found = [line.recv() for line in lines]
    for child in children:
        child.join(TIMEOUT)
    times = [seconds * 1000 for some, _ in found for seconds in some]
    cuts = quantiles(times, n=100)
    done = len(times)
    return Load(
        rate=done / SECONDS,
        p50=cuts[49],
        p99=cuts[98],
        cpu=(web + database) / 1000 / done,
        database=database / 1000 / done,
        errors=sum(errors for _, errors in found),
    )


def _client(ask: Ask, port: int, start: float, ends: float, result: Any) -> None:
    random.seed()
    times, errors = [], 0
    line = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT)
    while (began := time.monotonic()) < ends:
        method, target, body, headers = ask()
        line.request(method, target, body, headers)
        answer = line.getresponse()
        answer.read()
        errors += answer.status != http.client.OK
        if began >= start:
            times.append(time.monotonic() - began)
    line.close()
    result.send((times, errors))
