"""Secrets are made once, and only their owner can read them."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

from cryptography.fernet import Fernet

from compose.local import secret_file

if TYPE_CHECKING:
    from pathlib import Path


def test_secrets_are_made_once_and_readable_by_the_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "state" / "secrets.env"
    first = secret_file.load_or_make(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert set(first) == {
        "KAURI_SECRET_KEY",
        "KAURI_ENCRYPTION_KEYS",
        "KAURI_BOOKS_KEY",
    }
    assert len(first["KAURI_SECRET_KEY"]) >= 50
    Fernet(first["KAURI_ENCRYPTION_KEYS"].encode())
    assert len(base64.b64decode(first["KAURI_BOOKS_KEY"], validate=True)) == 32
    assert secret_file.load_or_make(path) == first


def test_a_file_that_others_may_read_is_closed_and_what_it_lacks_is_added(tmp_path: Path) -> None:
    path = tmp_path / "secrets.env"
    path.write_text("# mine\nKAURI_SECRET_KEY=kept=as it is\n")
    path.chmod(0o644)
    found = secret_file.load_or_make(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert found["KAURI_SECRET_KEY"] == "kept=as it is"
    assert "KAURI_ENCRYPTION_KEYS" in found
    assert secret_file.read(path) == found


def test_each_installation_has_its_own(tmp_path: Path) -> None:
    one, two = (secret_file.load_or_make(tmp_path / name) for name in ("one", "two"))
    assert not set(one.values()) & set(two.values())
