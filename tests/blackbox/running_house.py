"""A whole running house in a folder of its own, started as ``make run`` starts it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from compose.local import anvil, litecoind, places
from tests.nodes import free_port

READY_SECONDS = 300


@dataclass
class RunningHouse:
    """The folder, the ports' environment, and the runner's process."""

    root: Path
    environment: dict[str, str]
    runner: subprocess.Popen[bytes]
    log: Path

    @property
    def demo(self) -> Path:
        return self.root / ".kauri" / "demo.json"

    def processes(self, *words: str) -> list[int]:
        """Ids of this house's processes whose command line has all of ``words``."""
        found = []
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            try:
                command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                state_dir = f"KAURI_STATE_DIR={self.root}/.kauri"
                ours = state_dir.encode() in (entry / "environ").read_bytes().split(b"\0")
            except OSError:
                continue
            if ours and all(word in command for word in words):
                found.append(int(entry.name))
        return sorted(found)


def copy_of_the_tree(target: Path) -> None:
    """What git would check out (with changes not committed yet), sharing environment and nodes."""
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "-z"],
        cwd=places.ROOT,
        check=True,
        capture_output=True,
    ).stdout
    for name in listed.decode().split("\0"):
        source = places.ROOT / name
        if name and source.is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target / name)
    (target / ".venv").symlink_to(places.VENV)
    (target / ".kauri").mkdir()
    (target / ".kauri" / "nodes").symlink_to(places.STATE / "nodes")


@contextmanager
def running(target: Path, **settings: str) -> Iterator[RunningHouse]:
    """Start the house and wait until it serves; stop it in the end, whatever happened."""
    anvil.ensure_installed()
    litecoind.ensure_installed()
    copy_of_the_tree(target)
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("KAURI_", "DATABASE_", "DJANGO_"))
    }
    environment = {
        **kept,
        "KAURI_PORT": str(free_port()),
        "KAURI_CALLBACKS_PORT": str(free_port()),
        "KAURI_DEMO_EVM_PORT": str(free_port()),
        "KAURI_DEMO_BTC_PORT": str(free_port()),
        "KAURI_DEMO_DAYS": "3",
        **settings,
    }
    log = target / "run.log"
    with log.open("wb") as sink:
        runner = subprocess.Popen(
            [sys.executable, "-m", "compose.local.commands", "run"],
            cwd=target,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    house = RunningHouse(target, environment, runner, log)
    try:
        wait_until_up(house)
        yield house
    finally:
        runner.send_signal(signal.SIGTERM)
        runner.wait(120)


def wait_until_up(house: RunningHouse) -> None:
    """The runner says so in its last block; its log is shown when it does not come to that."""
    end = time.monotonic() + READY_SECONDS
    while "Kauri runs." not in house.log.read_text():
        if house.runner.poll() is not None or time.monotonic() > end:
            logs = "\n".join(
                f"== {path.name}\n{path.read_text()[-2000:]}"
                for path in (house.root / ".kauri" / "logs").glob("*.log")
            )
            raise AssertionError(f"the house did not start:\n{house.log.read_text()}\n{logs}")
        time.sleep(0.2)
    json.loads(house.demo.read_text())
