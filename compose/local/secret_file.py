"""Secrets of the demo and the tests: made once, kept in one file that only its owner can read."""

from __future__ import annotations

import base64
import os
import secrets
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

MODE = 0o600


def _fernet_key() -> str:
    return base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()


def _ed25519_key() -> str:
    return base64.b64encode(secrets.token_bytes(32)).decode()


MAKERS: dict[str, Callable[[], str]] = {
    "KAURI_SECRET_KEY": lambda: secrets.token_urlsafe(64),
    "KAURI_ENCRYPTION_KEYS": _fernet_key,
    "KAURI_BOOKS_KEY": _ed25519_key,
}


def generate() -> dict[str, str]:
    """A fresh value of each secret."""
    return {name: make() for name, make in MAKERS.items()}


def load_or_make(path: Path) -> dict[str, str]:
    """The secrets in ``path`` (lines NAME=value); what it lacks is made and added, what is no secret of ours any more is left there unused. The file is 0600 from its first byte on."""
    found = read(path)
    missing = {name: value for name, value in generate().items() if name not in found}
    if missing:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, MODE)
        with os.fdopen(descriptor, "w") as file:
            os.fchmod(file.fileno(), MODE)
            file.writelines(f"{name}={value}\n" for name, value in missing.items())
    path.chmod(MODE)
    return {name: value for name, value in {**found, **missing}.items() if name in MAKERS}


def read(path: Path) -> dict[str, str]:
    """NAME=value lines of a file; nothing where there is none."""
    if not path.exists():
        return {}
    lines = [line.partition("=") for line in path.read_text().splitlines()]
    return {name.strip(): value.strip() for name, sign, value in lines if sign and not name.startswith("#")}
