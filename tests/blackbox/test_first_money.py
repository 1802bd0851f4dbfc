"""The first money through a running house, as its first customer and its operators live it."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from examples import first_money
from examples.house import House
from tests.blackbox.running_house import RunningHouse, running
from tests.nodes import free_port


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> RunningHouse:
    bot = free_port()
    with running(
        tmp_path_factory.mktemp("house") / "kauri",
        KAURI_TELEGRAM_API_URL=f"http://127.0.0.1:{bot}",
        KAURI_TELEGRAM_TOKEN="42:TEST",
        KAURI_TELEGRAM_ALERT_CHAT="1",
    ) as started:
        yield started  # type: ignore[misc]


@pytest.fixture(autouse=True)
def _as_the_houses_own(house: RunningHouse, monkeypatch: pytest.MonkeyPatch) -> None:
    """The example finds the chain and make's commands in the running house's folder."""
    monkeypatch.setattr(first_money, "ROOT", house.root)
    for name in list(os.environ):
        if name.startswith(("KAURI_", "DATABASE_", "DJANGO_")):
            monkeypatch.delenv(name)
    for name, value in house.environment.items():
        monkeypatch.setenv(name, value)


def tell(
    house: RunningHouse, pictures: Path | None, between: Callable[[str], None], coin: str = "USDT"
) -> None:
    """The story in a thread of its own: another test's browser driver may hold this one's event loop."""
    with ThreadPoolExecutor(max_workers=1) as pool:
        told = first_money.COINS[coin]
        pool.submit(first_money.story, House.read(house.demo), pictures, between, told).result()


@pytest.mark.timeout(600)
@pytest.mark.parametrize("coin", ["USDT", "ETH", "BTC"])
def test_the_whole_story(house: RunningHouse, tmp_path: Path, coin: str) -> None:
    tell(house, tmp_path / "pictures", lambda step: None, coin)


@pytest.mark.timeout(900)
def test_the_whole_story_with_workers_killed_between_all_steps(
    house: RunningHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process of the clusters is killed at each step: mains, idle workers, watchers."""
    monkeypatch.setattr(first_money, "PATIENCE", 240.0)
    killed: list[tuple[str, int]] = []

    def kill(step: str) -> None:
        clusters = house.processes("manage.py", "qcluster")
        watchers = house.processes("manage.py", "worker")
        victims = {
            "registered": clusters[:1],  # the oldest: a cluster's main process
            "deposited": clusters[-1:],  # the youngest: an idle worker or a monitor
            "verified": clusters,  # every process of every cluster
            "asked": watchers,  # those who watch
            "paid": clusters[len(clusters) // 2 :],
            "told": house.processes("manage.py", "scheduler"),
        }[step]
        assert victims, step
        for pid in victims:
            os.kill(pid, signal.SIGKILL)
            killed.append((step, pid))

    tell(house, None, kill)
    assert {step for step, _ in killed} == {"registered", "deposited", "verified", "asked", "paid", "told"}
