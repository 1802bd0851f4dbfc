"""Fixtures that every test may use. PostgreSQL is real; so are the nodes."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as kauri_settings
from django.db import connection
from django.db.backends.postgresql.operations import DatabaseOperations
from django.utils import translation

os.environ.setdefault("DJANGO_ALLOW_ASYNC_UNSAFE", "true")

pytest_plugins = ["tests.signing", "tests.nodes", "tests.bitcoin_node", "tests.house"]


@pytest.fixture(autouse=True)
def _state_in_tmp(settings: Any, tmp_path: Path) -> None:
    """Letters, reports and files of a test stay in its own folder."""
    settings.EMAIL_FILE_PATH = tmp_path / "mail"
    settings.FILES_DIR = tmp_path / "files"


@pytest.fixture(autouse=True)
def _cheap_passwords(settings: Any) -> None:
    """A password's hash costs a third of a second on purpose; what is tested here is not that."""
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


@pytest.fixture(autouse=True)
def _english() -> Iterator[None]:
    """Pages are read in several languages; what a request leaves set on the thread is not the next test's."""
    yield
    translation.activate(kauri_settings.LANGUAGE_CODE)


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    """The owner has migrated; from here on every connection has the application's rights only.

    A test that plays the owner says so (``tests.moves.as_owner``). Emptying the tables between
    tests is the owner's work too.
    """
    del django_db_setup
    options = connection.settings_dict["OPTIONS"]
    before = options["options"]
    options["options"] += f" -c role={kauri_settings.KAURI.database_role}"
    empty: Callable[..., None] = DatabaseOperations.execute_sql_flush

    def emptied_by_the_owner(self: DatabaseOperations, statements: list[str]) -> None:
        empty(self, ["set role none", *statements, f"set role {kauri_settings.KAURI.database_role}"])

    DatabaseOperations.execute_sql_flush = emptied_by_the_owner  # type: ignore[method-assign]
    with django_db_blocker.unblock():
        connection.close()
    yield
    options["options"] = before
    DatabaseOperations.execute_sql_flush = empty  # type: ignore[method-assign]
    with django_db_blocker.unblock():
        connection.close()
        _end_what_is_left()
        connection.close()


def _end_what_is_left() -> None:
    """A database with a session in it can't be dropped, and whatever held it is no test's failure any more.

    The server of a browser's test has a thread, with a session, for each connection that the browser keeps. Its
    last words are told, so that a test that leaves more than that can be found.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "select pid, state, backend_start, query, pg_terminate_backend(pid, 5000) from pg_stat_activity"
            " where datname = current_database() and pid <> pg_backend_pid()"
        )
        for left in cursor.fetchall():
            print(f"left in {connection.settings_dict['NAME']}: {left}", file=sys.stderr)  # noqa: T201
