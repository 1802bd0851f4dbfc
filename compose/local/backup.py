"""``make backup FILE=…``, ``make restore FILE=…`` and ``make ledger-check``: the whole database, saved, put back,
and its books proven."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from compose.local import demo, environment, pg_binaries, places, postgres, secret_file, shell
from compose.local.console import SetupError, say, step

if TYPE_CHECKING:
    from collections.abc import Iterator


def backup() -> int:
    """Write the database to FILE (0600; a temporary name until it is whole)."""
    file = _file()
    if file.exists():
        message = f"{file} exists already: choose another FILE."
        raise SetupError(message)
    part = file.with_name(file.name + ".part")
    os.close(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, secret_file.MODE))
    with _database() as (binaries, url), step(f"backup to {file}"):
        shell.must(
            [binaries / "pg_dump", "--format=custom", "--no-owner", f"--file={part}", f"--dbname={url}"],
            "The backup",
        )
    part.rename(file)
    say(
        f"Backup: {file} ({file.stat().st_size / 1e6:.1f} MB). The keys in KAURI_ENCRYPTION_KEYS are not in it: keep them apart."
    )
    return 0


def restore() -> int:
    """Replace the database's content by FILE's, all or nothing. Nothing of Kauri may run meanwhile."""
    file = _file()
    if not file.exists():
        message = f"{file} does not exist."
        raise SetupError(message)
    if not os.environ.get("DATABASE_URL"):
        places.ensure_state()
        demo.take_lock().close()
    with _database() as (binaries, url), step(f"restore from {file}"):
        _must_be_unused(binaries, url)
        # the rights are ours to give, to a role that a new server does not have yet
        options = ["--clean", "--if-exists", "--no-owner", "--no-acl", "--single-transaction"]
        shell.must(
            [binaries / "pg_restore", *options, "--exit-on-error", f"--dbname={url}", file],
            "The restore (nothing was changed)",
        )
        shell.must([sys.executable, "manage.py", "rights"], "The rights", env=_environment(url))
    say(
        "Restored. Run 'manage.py migrate' (make run does) if the backup is of an older version, and the ledger's self-check."
    )
    return 0


def ledger_check() -> int:
    """Prove the ledger of the database here; AS_OF names another moment for its totals."""
    moment = os.environ.get("AS_OF", "")
    with _database() as (_, url):
        command = [sys.executable, "manage.py", "ledger_check", *(["--as-of", moment] if moment else [])]
        return subprocess.run(command, cwd=places.ROOT, env=_environment(url), check=False).returncode


def _environment(url: str) -> dict[str, str]:
    return environment.demo(url, environment.Ports.chosen(), secret_file.load_or_make(places.SECRETS))


def _file() -> Path:
    given = os.environ.get("FILE", "")
    if not given:
        message = "Name the file: make backup FILE=kauri.dump, make restore FILE=kauri.dump"
        raise SetupError(message)
    return Path(given).expanduser().absolute()


@contextmanager
def _database() -> Iterator[tuple[Path, str]]:
    """PostgreSQL's programs and the database: DATABASE_URL's, the running demo's, or the demo's started for this."""
    url = os.environ.get("DATABASE_URL", "")
    if url:
        yield pg_binaries.ensure(), url
        return
    if not (places.DEMO_DATABASE / "PG_VERSION").exists():
        message = "There is no database here: set DATABASE_URL, or run 'make run' once."
        raise SetupError(message)
    server = postgres.Server(places.DEMO_DATABASE)
    if shell.output([server.binaries / "psql", "-X", "-d", server.url(), "-Atc", "SELECT 1"]) == "1":
        yield server.binaries, server.url()
        return
    server.start()
    try:
        yield server.binaries, server.url()
    finally:
        server.stop()


def _must_be_unused(binaries: Path, url: str) -> None:
    query = (
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    others = shell.output([binaries / "psql", "-X", "-d", url, "-Atc", query])
    if others != "0":
        message = f"The database is in use by {others or 'an unknown number of'} connections: stop Kauri's processes first."
        raise SetupError(message)
