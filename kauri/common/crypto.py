"""Secrets at rest: Fernet with rotatable keys, and a model field that uses it.

``KAURI_ENCRYPTION_KEYS`` lists keys, newest first: the first one encrypts, all of them decrypt.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings
from django.db import models


@lru_cache(maxsize=4)
def _fernet(keys: tuple[str, ...]) -> MultiFernet:
    return MultiFernet([Fernet(key.encode()) for key in keys])


def encrypt(text: str) -> str:
    """Return the ciphertext (URL-safe base64) of ``text``."""
    return _fernet(tuple(settings.KAURI.encryption_keys)).encrypt(text.encode()).decode()


def decrypt(token: str) -> str:
    """Return the clear text; ``InvalidToken`` when no key fits."""
    return _fernet(tuple(settings.KAURI.encryption_keys)).decrypt(token.encode()).decode()


def needs_rotation(token: str) -> bool:
    """Whether another key than the newest made this ciphertext; ``InvalidToken`` when no key fits."""
    newest = _fernet((settings.KAURI.encryption_keys[0],))
    try:
        newest.decrypt(token.encode())
    except InvalidToken:
        decrypt_bytes(token.encode())
        return True
    return False


def encrypt_bytes(data: bytes) -> bytes:
    """Return the ciphertext of ``data``, for a file."""
    return _fernet(tuple(settings.KAURI.encryption_keys)).encrypt(data)


def decrypt_bytes(token: bytes) -> bytes:
    """Return the clear bytes; ``InvalidToken`` when no key fits or a byte was changed."""
    return _fernet(tuple(settings.KAURI.encryption_keys)).decrypt(token)


class EncryptedTextField(models.TextField):
    """Text that the database only ever sees encrypted. Not searchable, on purpose."""

    def get_prep_value(self, value: Any) -> Any:
        return value if value in {None, ""} else encrypt(str(value))

    def from_db_value(self, value: str | None, expression: Any, connection: Any) -> str | None:
        del expression, connection
        return value if value in {None, ""} else decrypt(str(value))


__all__ = [
    "EncryptedTextField",
    "InvalidToken",
    "decrypt",
    "decrypt_bytes",
    "encrypt",
    "encrypt_bytes",
    "needs_rotation",
]
