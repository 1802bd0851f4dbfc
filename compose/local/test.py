"""``make test`` and its kin: the linters, the tests and the benchmarks, each against a database of its own."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import tempfile
from contextlib import contextmanager
from typing import TYPE_CHECKING

from compose.local import environment, nodes, places, postgres, secret_file, system
from compose.local.console import say, step

if TYPE_CHECKING:
    from collections.abc import Iterator

# a checkout without .git has no ignored files for ruff, which would then read what lies in .kauri
RUFF_SKIPS = ["--extend-exclude", ".kauri"]
LINTERS = [
    ["ruff", "check", *RUFF_SKIPS],
    ["ruff", "format", "--check", *RUFF_SKIPS],
    ["mypy"],
    ["lint-imports"],
]
MIGRATIONS = ["python", "manage.py", "makemigrations", "--check", "--dry-run"]
BROWSER_VARIABLE = "CHROMIUM_BIN"
# each has browsers and nodes of its own
MOST_WORKERS = 4


def test() -> int:
    """Everything: linters, the migrations' check, then pytest, whose closing line is the last. The first failure's exit code is kept."""
    nodes.ensure()
    system.ensure_pdf()
    browser = system.ensure_browser()
    with throw_away(durable=False, name="test-pg") as env:
        if browser:
            env[BROWSER_VARIABLE] = str(browser)
        failed = [(command, code) for command in [*LINTERS, MIGRATIONS] if (code := run(command, env))]
        for command, code in failed:
            say(f"  !  FAILED: {shlex.join(command)} (exit code {code})")
        code = run(["pytest", *(shlex.split(os.environ.get("ARGS", "")) or _workers())], env)
    return code or (failed[0][1] if failed else 0)


def _workers() -> list[str]:
    """One process of tests a core, each with a database of its own: one after the other they take over an hour."""
    cores = min(os.cpu_count() or 1, MOST_WORKERS)
    return ["-n", str(cores)] if cores > 1 else []


def lint() -> int:
    """The linters alone. mypy reads the settings, so it needs some, but no database behind them."""
    env = environment.test("postgresql://nobody@/none", str(places.STATE), secret_file.generate())
    return max(run(command, env) for command in LINTERS)


def bench() -> int:
    """The benchmarks, on a database that is as safe as a real one; the desk's reads from one that is kept, to be made once."""
    names = shlex.split(os.environ.get("ARGS", ""))
    server = kept("desk-pg", "desk_bench") if names == ["desk"] else throw_away(durable=True, name="bench-pg")
    with server as env:
        return run(["python", "-m", "bench", *names], env)


def screenshots() -> int:
    """A picture of every page of the back office, and what no picture shows; ARGS="-k uk" for one language."""
    nodes.ensure()
    browser = system.ensure_browser()
    with throw_away(durable=False, name="screens-pg") as env:
        if browser:
            env[BROWSER_VARIABLE] = str(browser)
        folder = env["SCREENS_DIR"] = str(places.STATE / "screens")
        command = ["pytest", "tests/backoffice/screens.py", "-q", *shlex.split(os.environ.get("ARGS", ""))]
        code = run(command, env)
    say(f"pictures: {folder}/uk.html, ru.html, en.html")
    return code


def openapi() -> int:
    """Write the OpenAPI document anew."""
    with throw_away(durable=False, name="test-pg") as env:
        return run(["python", "manage.py", "openapi_export"], env)


def run(command: list[str], env: dict[str, str]) -> int:
    """Run one step with its output in view, and without standard input."""
    say(f"\n$ {shlex.join(command)}")
    program = places.VENV_PYTHON if command[0] == "python" else places.VENV_BIN / command[0]
    return subprocess.run(
        [str(program), *command[1:]], cwd=places.ROOT, env=env, stdin=subprocess.DEVNULL, check=False
    ).returncode


@contextmanager
def kept(name: str, database: str) -> Iterator[dict[str, str]]:
    """An environment with secrets and a database that stay until 'make clean': large, and not safe against a power cut."""
    places.ensure_state()
    server = postgres.Server(
        places.STATE / name, durable=False, log=places.LOGS / f"{name}.log", settings=postgres.FOR_MUCH
    )
    state = tempfile.mkdtemp(prefix="kauri-test-")
    try:
        with step("a PostgreSQL that is kept"):
            server.start()
            server.ensure_database(database)
        # Its rows are sealed by keys that have to stay as long as they do.
        yield environment.test(
            server.url(database), state, secret_file.load_or_make(places.STATE / f"{name}.env")
        )
    finally:
        server.stop()
        shutil.rmtree(state, ignore_errors=True)


@contextmanager
def throw_away(*, durable: bool, name: str) -> Iterator[dict[str, str]]:
    """An environment with fresh secrets, an empty state folder and a new database of its own; all gone afterwards."""
    places.ensure_state()
    data = places.STATE / name
    server = postgres.Server(data, durable=durable, log=places.LOGS / f"{name}.log")
    state = tempfile.mkdtemp(prefix="kauri-test-")
    try:
        # what a killed run left is in nobody's use once the lock is ours, which start() makes sure of
        with step("a throw-away PostgreSQL"):
            server.start(fresh=True)
        yield environment.test(server.url(), state, secret_file.generate())
    finally:
        # Where the lock is another's, so is the folder.
        folders = (state, data, server.sockets) if server.is_ours else (state,)
        server.stop()
        for folder in folders:
            shutil.rmtree(folder, ignore_errors=True)
