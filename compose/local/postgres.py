"""An embedded PostgreSQL for the demo, development and the tests: one data folder, reached by one private socket.

It listens on no network port; the socket lies in a folder that only its owner may enter, so that everyone who can connect is
already us. Never for production.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import IO
from urllib.parse import quote

from compose.local import pg_binaries, places, shell
from compose.local.console import SetupError
from compose.local.processes import born

USER = "kauri"
APP_USER = "kauri_app"  # what Kauri's own processes connect as; migrate makes it and grants its rights
DATABASE = "kauri"
PORT = "5432"  # only names the socket file
LONGEST_SOCKET_PATH = 107
START_SECONDS = 60.0
STOP_SECONDS = 30.0
SETTINGS = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "shared_buffers": "64MB",
    "max_connections": "100",
    "max_wal_size": "256MB",
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] ",
}
THROW_AWAY = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    # It would count rows that a test has not committed as none, and plan for that.
    "autovacuum": "off",
}
#: What is written into a new table is not written to the log as well.
FOR_MUCH = {"wal_level": "minimal", "max_wal_senders": "0", "max_wal_size": "8GB"}


class Server:
    """One PostgreSQL over one data folder. ``durable=False`` gives up safety against a power cut for speed (tests)."""

    def __init__(
        self,
        data: Path,
        *,
        durable: bool = True,
        log: Path | None = None,
        settings: dict[str, str] | None = None,
    ) -> None:
        self.data = data
        self.settings = settings or {}
        self.durable = durable
        self.log = log or places.LOGS / "postgres.log"
        self.sockets = socket_folder(data)
        self.binaries = pg_binaries.ensure(data)
        self.prefix = pg_binaries.run_as(self.binaries, data)
        self.process: subprocess.Popen[bytes] | None = None
        self._lock: IO[str] | None = None

    @property
    def is_ours(self) -> bool:
        """Whether this process holds the folder's lock."""
        return self._lock is not None

    def url(self, database: str = DATABASE, user: str = USER) -> str:
        """What DATABASE_URL must say (libpq's form for a socket: no host, the folder as a parameter)."""
        return f"postgresql://{user}@/{database}?host={quote(str(self.sockets))}"

    def start(self, *, fresh: bool = False) -> subprocess.Popen[bytes]:
        """Initialise the folder if it is new, start the server, wait until it answers and has the database.

        ``fresh`` throws away what the folder held.
        """
        self._take_lock()
        if fresh:
            self._end_stale()
            shutil.rmtree(self.data, ignore_errors=True)
        if not (self.data / "PG_VERSION").exists():
            self._initialise()
        crashed = (self.data / "postmaster.pid").exists()
        self._end_stale()
        pg_binaries.give_to(self.prefix, self.sockets)
        # after a crash the old server's children need a moment to notice and leave
        for patience in (1.0, 3.0, 0.0) if crashed else (0.0,):
            process = self._launch()
            if self._became_ready(process):
                self.process = process
                self.ensure_database()
                return process
            time.sleep(patience)
        self.stop()
        message = f"PostgreSQL did not start:\n{shell.tail(self.log)}"
        raise SetupError(message)

    def _launch(self) -> subprocess.Popen[bytes]:
        settings = {
            **SETTINGS,
            **({} if self.durable else THROW_AWAY),
            **self.settings,
            "unix_socket_directories": str(self.sockets),
        }
        command = [*self.prefix, str(self.binaries / "postgres"), "-D", str(self.data), "-p", PORT]
        for name, value in settings.items():
            command += ["-c", f"{name}={value}"]
        with self.log.open("ab") as sink:
            return subprocess.Popen(
                command,
                cwd="/",
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def stop(self) -> None:
        """Disconnect everyone and shut down in order; at once if that takes too long. Harmless when it does not run."""
        if self.process and self.process.poll() is None:
            _end(self.process.pid, self.process)
        self.process = None
        if self._lock:
            self._lock.close()
            self._lock = None

    def _take_lock(self) -> None:
        if self._lock:
            return
        self.data.parent.mkdir(parents=True, exist_ok=True)
        lock = self.data.with_name(self.data.name + ".lock").open("w")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.close()
            message = (
                f"The database in {self.data} is in use by another make: wait for it, or run 'make stop'."
            )
            raise SetupError(message) from None
        self._lock = lock

    def _initialise(self) -> None:
        """Run initdb beside the final place, then rename: an interrupted one leaves nothing that looks whole."""
        new = self.data.with_name(self.data.name + ".new")
        shutil.rmtree(new, ignore_errors=True)
        pg_binaries.give_to(self.prefix, new)
        command = [
            *self.prefix,
            str(self.binaries / "initdb"),
            "-D",
            str(new),
            "--username",
            USER,
            "--encoding=UTF8",
        ]
        command += ["--locale=C.UTF-8", "--auth-local=trust", "--auth-host=scram-sha-256"]
        command += [] if self.durable else ["--no-sync"]
        shell.must(command, "Making the database", env=self._environment())
        new.rename(self.data)

    def _end_stale(self) -> None:
        """Stop a server that outlived the make that started it (we hold the lock, so it is nobody's)."""
        pid = self._recorded_pid()
        if pid and born(pid) and _is_postgres(pid):
            _end(pid, None)

    def _recorded_pid(self) -> int | None:
        try:
            return int((self.data / "postmaster.pid").read_text().split("\n", 1)[0])
        except (OSError, ValueError):
            return None

    def _became_ready(self, process: subprocess.Popen[bytes]) -> bool:
        """Wait for "ready" in the server's own pid file, as pg_ctl does; False where it ends or takes too long."""
        deadline = time.monotonic() + START_SECONDS
        while process.poll() is None and time.monotonic() < deadline:
            with suppress(OSError, IndexError, ValueError):
                lines = (self.data / "postmaster.pid").read_text().splitlines()
                if int(lines[0]) == process.pid and lines[7].strip() == "ready":
                    return True
            time.sleep(0.05)
        if process.poll() is None:
            _end(process.pid, process)
        return False

    def ensure_database(self, name: str = DATABASE) -> None:
        """Make it where it is missing."""
        psql = [str(self.binaries / "psql"), "-X", "-d", self.url("postgres"), "-Atc"]
        if name not in (shell.output([*psql, "SELECT datname FROM pg_database"]) or "").split():
            shell.must([*psql, f"CREATE DATABASE {name}"], "Making the database")

    @staticmethod
    def _environment() -> dict[str, str]:
        """Nothing of the caller's PostgreSQL settings, and no locale but ours."""
        env = {name: value for name, value in os.environ.items() if not name.startswith(("PG", "LC_"))}
        return {**env, "LANG": "C.UTF-8"}


def socket_folder(data: Path) -> Path:
    """A folder for the socket: beside the data, or a short one of our own where that path is longer than a socket's may be."""
    folder = data.with_name(data.name + ".sock")
    if len(str(folder / f".s.PGSQL.{PORT}")) <= LONGEST_SOCKET_PATH:
        return folder
    digest = hashlib.sha256(str(data).encode()).hexdigest()[:12]
    base = Path(os.environ.get("XDG_RUNTIME_DIR") or "/tmp")
    folder = base / f"kauri-{os.geteuid()}-{digest}"
    if folder.exists() and (
        folder.is_symlink() or folder.stat().st_uid not in (os.geteuid(), data.stat().st_uid)
    ):
        message = f"{folder} belongs to someone else: remove it, or move the checkout to a shorter path."
        raise SetupError(message)
    return folder


def _is_postgres(pid: int) -> bool:
    with suppress(OSError):
        return b"postgres" in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0", 1)[0]
    return False


def _end(pid: int, process: subprocess.Popen[bytes] | None) -> None:
    """Fast shutdown, then immediate shutdown, then force; wait until the process is gone."""
    for sign, patience in ((signal.SIGINT, STOP_SECONDS), (signal.SIGQUIT, 5.0), (signal.SIGKILL, 5.0)):
        with suppress(ProcessLookupError):
            os.kill(pid, sign)
        deadline = time.monotonic() + patience
        while time.monotonic() < deadline:
            if process.poll() is not None if process else not born(pid):
                return
            time.sleep(0.05)
