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
