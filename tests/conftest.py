"""Fixtures that every test may use. PostgreSQL is real; so are the nodes."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

os.environ.setdefault("DJANGO_ALLOW_ASYNC_UNSAFE", "true")

pytest_plugins = ["tests.nodes", "tests.house"]


@pytest.fixture(autouse=True)
def _state_in_tmp(settings: Any, tmp_path: Path) -> None:
    """Letters, reports and files of a test stay in its own folder."""
    settings.EMAIL_FILE_PATH = tmp_path / "mail"
    settings.FILES_DIR = tmp_path / "files"


@pytest.fixture(autouse=True)
def _cheap_passwords(settings: Any) -> None:
    """A password's hash costs a third of a second on purpose; what is tested here is not that."""
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
