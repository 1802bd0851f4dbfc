"""Who belongs to a cluster: its own processes, and no helper that one of its tasks runs for a moment."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta

import pytest

from backoffice.management.commands import worker
from backoffice.management.commands.worker import Cluster, processes_of
from kauri.common import clock

#: Two processes of the cluster's and a helper of another program; each says so once it is there.
PROGRAM = """
import os, subprocess, sys, time
if os.fork():
    helper = subprocess.Popen(["sleep", "600"])
    print(helper.pid, flush=True)
    helper.wait()
time.sleep(600)
"""


@pytest.fixture
def group() -> Iterator[subprocess.Popen[bytes]]:
    leader = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, "qcluster"], stdout=subprocess.PIPE, start_new_session=True
    )
    try:
        yield leader
    finally:
        os.killpg(leader.pid, signal.SIGKILL)
        leader.wait()
        assert leader.stdout is not None
        leader.stdout.close()


def helper_of(group: subprocess.Popen[bytes]) -> int:
    assert group.stdout is not None
    return int(group.stdout.readline())


def cluster(group: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch) -> Cluster:
    monkeypatch.setattr(Cluster, "__post_init__", lambda self: None)
    monkeypatch.setattr(worker, "is_silent", lambda *_: False)
    watched = Cluster("general", started=clock.now() - timedelta(minutes=1))
    watched.main = group
    return watched


def test_a_helper_that_ends_is_no_fault(
    group: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    watched, helper = cluster(group, monkeypatch), helper_of(group)
    assert [watched.fault(), watched.fault()] == ["", ""]
    assert len(watched.members) == 2
    assert helper not in watched.members
    os.kill(helper, signal.SIGKILL)
    assert watched.fault() == ""


def test_a_worker_that_vanishes_is_one(
    group: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    watched = cluster(group, monkeypatch)
    helper_of(group)
    assert [watched.fault(), watched.fault()] == ["", ""]
    [child] = processes_of(group.pid) - {group.pid}
    os.kill(child, signal.SIGKILL)
    while child in processes_of(group.pid):
        pass
    assert watched.fault() == f"process {child} vanished"
