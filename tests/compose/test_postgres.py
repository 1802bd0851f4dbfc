"""The embedded PostgreSQL: starts and stops as whoever runs this, root or not, and leaves nothing behind."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest

from compose.local import places, postgres, shell
from compose.local.console import SetupError
from compose.local.test import throw_away

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def server() -> Iterator[postgres.Server]:
    # not pytest's own folder: its parents are closed to the user that PostgreSQL runs under when this is root
    folder = Path(shell.output(["mktemp", "-d"]) or "")
    folder.chmod(0o755)
    made = postgres.Server(folder / "pg", durable=False, log=folder / "log")
    yield made
    made.stop()
    subprocess.run(["rm", "-rf", str(folder)], check=True)


def ask(server: postgres.Server, query: str) -> object:
    with psycopg.connect(server.url(), autocommit=True) as connection:
        row = connection.execute(query.encode()).fetchone()
    return row[0] if row else None


def put(server: postgres.Server, statement: str) -> None:
    with psycopg.connect(server.url(), autocommit=True) as connection:
        connection.execute(statement.encode())


def processes_in(folder: Path) -> list[str]:
    found = [Path(entry, "cmdline") for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    lines = [
        path.read_bytes().replace(b"\0", b" ").decode(errors="replace") for path in found if path.exists()
    ]
    return [line for line in lines if str(folder) in line]


def test_data_is_kept_over_a_stop_and_nothing_runs_after_it(server: postgres.Server) -> None:
    process = server.start()
    assert ask(server, "SHOW timezone") == "UTC"
    assert ask(server, "SHOW server_encoding") == "UTF8"
    put(server, "CREATE TABLE kept AS SELECT 42 AS answer")
    server.stop()
    assert process.poll() == 0
    assert processes_in(server.data) == []
    server.start()
    assert ask(server, "SELECT answer FROM kept") == 42


def test_it_listens_on_a_private_socket_only(server: postgres.Server) -> None:
    process = server.start()
    assert ask(server, "SHOW listen_addresses") == ""
    assert server.sockets.stat().st_mode & 0o777 == 0o700
    assert server.data.stat().st_mode & 0o777 == 0o700
    assert Path(f"/proc/{process.pid}").stat().st_uid != 0 or server.prefix[:1] == ["unshare"]


def test_a_server_that_was_killed_comes_back_with_its_data(server: postgres.Server) -> None:
    server.durable = True
    process = server.start()
    put(server, "CREATE TABLE kept AS SELECT 42 AS answer")
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert server.start().pid != process.pid
    assert ask(server, "SELECT answer FROM kept") == 42


def test_a_second_start_over_the_same_data_is_one_clear_line(server: postgres.Server) -> None:
    server.start()
    with pytest.raises(SetupError, match=r"is in use by another make: wait for it, or run 'make stop'\.$"):
        postgres.Server(server.data).start()
    assert ask(server, "SELECT 1") == 1


def test_a_forgotten_server_is_ended_before_a_new_one_starts(server: postgres.Server) -> None:
    old = server.start()
    assert server._lock is not None
    server._lock.close()  # what the system does when the maker is killed
    new = postgres.Server(server.data, durable=False, log=server.log)
    try:
        new.start()
        assert old.wait(10) == 0
        assert ask(new, "SELECT 1") == 1
    finally:
        new.stop()
        server.process = None


def test_fresh_forgets_what_was_there(server: postgres.Server) -> None:
    server.start()
    put(server, "CREATE TABLE kept AS SELECT 42 AS answer")
    server.stop()
    server.start(fresh=True)
    assert ask(server, "SELECT to_regclass('kept')::text") is None


def test_a_long_path_gets_a_short_socket_folder_of_our_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    short = tmp_path.parent
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(short))
    data = tmp_path / ("long" * 25) / "pg"
    data.mkdir(parents=True)
    folder = postgres.socket_folder(data)
    assert folder.parent == short
    assert postgres.socket_folder(data) == folder
    assert postgres.socket_folder(data.parent / "other") != folder
    assert postgres.socket_folder(Path("/x/pg")) == Path("/x/pg.sock")


def test_start_and_stop_are_quick(server: postgres.Server) -> None:
    server.start()
    server.stop()
    started = time.monotonic()
    server.start()
    server.stop()
    assert time.monotonic() - started < 10


def test_a_second_run_leaves_the_first_ones_database(
    server: postgres.Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(places, "STATE", server.data.parent)
    server.start()
    put(server, "CREATE TABLE kept AS SELECT 42 AS answer")
    with pytest.raises(SetupError, match="in use by another make"), throw_away(durable=False, name="pg"):
        raise AssertionError
    assert ask(server, "SELECT answer FROM kept") == 42
    server.stop()
    with throw_away(durable=False, name="pg"):
        assert processes_in(server.data)
    assert not server.data.exists()
