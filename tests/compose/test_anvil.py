"""The local node: installed from a pinned package, and a chain that survives being killed."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from compose.local import anvil, places
from compose.local.console import SetupError
from kauri.common import evm
from kauri.common.jsonrpc import JsonRpc
from tests.nodes import free_port, wait_for_node

Start = Callable[..., "tuple[subprocess.Popen[bytes], JsonRpc]"]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start nodes on a free port; whatever still lives at the end is killed."""
    nodes = []

    def begin(
        state: Path | None = None, block_time: int | None = None
    ) -> tuple[subprocess.Popen[bytes], JsonRpc]:
        port, log = free_port(), tmp_path / "logs" / "anvil.log"
        node = anvil.start(port, state=state, block_time=block_time, log=log)
        nodes.append(node)
        wait_for_node(f"http://127.0.0.1:{port}", log)
        return node, JsonRpc(f"http://127.0.0.1:{port}")

    yield begin
    for node in nodes:
        if node.poll() is None:
            node.kill()
            node.wait()


def height(rpc: JsonRpc) -> int:
    return evm.quantity(rpc.call("eth_blockNumber"))


def until(check: Callable[[], bool]) -> None:
    end = time.monotonic() + 30
    while not check():
        assert time.monotonic() < end, "it did not happen within 30 s"
        time.sleep(0.05)


def end(node: subprocess.Popen[bytes], sign: signal.Signals) -> None:
    os.killpg(node.pid, sign)  # it leads its own group
    node.wait(30)


def test_a_fresh_node_is_the_local_chain_without_blocks(start: Start) -> None:
    _, rpc = start()
    assert evm.quantity(rpc.call("eth_chainId")) == 31337
    assert height(rpc) == 0
    rpc.call("anvil_mine", "0xb")
    heights = [
        evm.quantity(rpc.call("eth_getBlockByNumber", tag, False)["number"]) for tag in ("safe", "finalized")
    ]
    assert heights == [7, 3]


def test_a_block_time_makes_blocks(start: Start) -> None:
    _, rpc = start(block_time=1)
    until(lambda: height(rpc) >= 2)


def test_a_stopped_node_loses_nothing(start: Start, tmp_path: Path) -> None:
    state = tmp_path / "chain" / "state.json"
    node, rpc = start(state)
    rpc.call("anvil_mine", "0x7")
    end(node, signal.SIGTERM)
    _, again = start(state)
    assert height(again) == 7


def test_a_killed_node_keeps_what_it_wrote(start: Start, tmp_path: Path) -> None:
    state = tmp_path / "state.json"
    node, rpc = start(state)
    rpc.call("anvil_mine", "0x7")
    # Written at intervals, and each time copied once it is whole.
    until(lambda: _blocks_in(state) == 7)
    until(lambda: _blocks_in(state.with_name("state.json.copy")) == 7)
    end(node, signal.SIGKILL)
    whole = state.read_bytes()
    state.write_bytes(whole[: len(whole) // 2])

    _, again = start(state)

    assert height(again) == 7
    assert state.with_name("state.json.broken").read_bytes() == whole[: len(whole) // 2]


def test_a_removed_state_is_a_fresh_chain(start: Start, tmp_path: Path) -> None:
    state = tmp_path / "state.json"
    node, rpc = start(state)
    rpc.call("anvil_mine", "0x7")
    end(node, signal.SIGTERM)
    end(start(state)[0], signal.SIGTERM)
    assert state.with_name("state.json.copy").exists()
    state.unlink()
    _, again = start(state)
    assert height(again) == 0
    assert not state.with_name("state.json.copy").exists()


def test_another_binary_can_be_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    own = tmp_path / "my-anvil"
    own.write_text("#!/bin/sh\n")
    monkeypatch.setenv("ANVIL_BIN", str(own))
    with pytest.raises(SetupError, match=r"which is not a program that can be run\.$"):
        anvil.ensure_installed()
    own.chmod(0o755)
    assert anvil.ensure_installed() == own


def test_without_npm_there_is_one_clear_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("ANVIL_BIN", raising=False)
    monkeypatch.setattr(places, "STATE", tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SetupError, match=r"^npm is needed once to fetch anvil: .*ANVIL_BIN\.$"):
        anvil.ensure_installed()


def test_a_failed_fetch_is_told_in_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    _fake_npm(tmp_path, monkeypatch, "echo 'npm error network' >&2; exit 1")
    with pytest.raises(SetupError, match=r"^npm could not fetch .*: npm error network$"):
        anvil.ensure_installed()


def test_another_program_under_that_name_is_not_installed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    # The fake writes what the package would hold, where npm was told to put it.
    body = 'shift 9; d="$1/node_modules/@foundry-rs/anvil-linux-amd64/bin"\n'
    _fake_npm(tmp_path, monkeypatch, f'{body}/bin/mkdir -p "$d"; echo evil > "$d/anvil"')
    with pytest.raises(SetupError, match=r"is not the pinned program \(SHA-256\); not installed\.$"):
        anvil.ensure_installed()
    assert sorted(path.name for path in (tmp_path / "nodes").iterdir()) == ["install.lock"]


def _fake_npm(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    npm = folder / "npm"
    npm.write_text(f"#!/bin/sh\n{script}\n")
    npm.chmod(npm.stat().st_mode | stat.S_IXUSR)
    monkeypatch.delenv("ANVIL_BIN", raising=False)
    monkeypatch.setattr(places, "STATE", folder)
    monkeypatch.setenv("PATH", str(folder))


def _blocks_in(state: Path) -> int:
    """The height in a state file; -1 while it is missing or half written."""
    try:
        return evm.quantity(json.loads(state.read_bytes())["block"]["number"])
    except (OSError, ValueError, KeyError):
        return -1
