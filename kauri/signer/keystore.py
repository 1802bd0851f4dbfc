"""Where private keys live. ``FileKeyStore`` keeps a BIP-39 phrase in an encrypted file; an HSM or a KMS
takes its place by offering the four members of :class:`KeyStore`: keys never leave it."""

from __future__ import annotations

import base64
import json
import os
import secrets
from pathlib import Path
from typing import Any, Final, Protocol

from coincurve import PrivateKey
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt
from embit import bip39
from embit.base import EmbitError
from embit.bip32 import HDKey

from kauri.signer.errors import Unusable

VERSION: Final = 1
#: scrypt's cost: about half a second and 128 MiB for one try of a passphrase.
COST: Final = 1 << 17
_BLOCK: Final = 8
_SALT_BYTES: Final = 16
_NONCE_BYTES: Final = 12
_PRIVATE_MODE: Final = 0o600
_LEAST_PASSPHRASE: Final = 12
WORDS: Final = {12: 16, 24: 32}


class KeyStore(Protocol):
    """Signs by key path (``m/44h/60h/1h/0/0``) and tells public keys."""

    @property
    def fingerprint(self) -> bytes:
        """The master key's four bytes, which PSBTs name."""
        ...

    def public_key(self, path: str) -> bytes:
        """The compressed public key (33 bytes) at ``path``."""
        ...

    def account_xpub(self, path: str) -> str:
        """The extended public key of an account (``m/84h/0h/0h``), as xpub."""
        ...

    def sign(self, path: str, digest: bytes) -> bytes:
        """A recoverable ECDSA signature of a 32-byte digest: r, s and the recovery id (65 bytes)."""
        ...


class FileKeyStore:
    """The keys of one BIP-39 phrase, in this process's memory."""

    def __init__(self, phrase: str) -> None:
        self._root = HDKey.from_seed(bip39.mnemonic_to_seed(phrase))

    def __repr__(self) -> str:
        return f"FileKeyStore({self.fingerprint.hex()})"

    @property
    def fingerprint(self) -> bytes:
        return bytes(self._root.my_fingerprint)

    def public_key(self, path: str) -> bytes:
        return bytes(self._root.derive(path).key.get_public_key().sec())

    def account_xpub(self, path: str) -> str:
        return str(self._root.derive(path).to_public().to_base58())

    def sign(self, path: str, digest: bytes) -> bytes:
        key = PrivateKey(self._root.derive(path).key.secret)
        return key.sign_recoverable(digest, hasher=None)


def make_phrase(words: int = 24) -> str:
    """A fresh phrase of 12 or 24 words from the system's own randomness."""
    return str(bip39.mnemonic_from_bytes(secrets.token_bytes(WORDS[words])))


def check_phrase(text: str) -> str:
    """The phrase in its plain form; :class:`Unusable` when its words or its check sum are wrong."""
    phrase = " ".join(text.split()).lower()
    try:
        right = bip39.mnemonic_is_valid(phrase)
    except (EmbitError, ValueError):
        right = False
    if not right:
        raise Unusable("this is not a BIP-39 phrase (a word or the check sum is wrong)")
    return phrase


def write(path: Path, phrase: str, passphrase: str) -> None:
    """Encrypt the phrase into ``path`` (mode 600), replacing the file whole.

    :class:`Unusable` when the passphrase is shorter than 12 characters.
    """
    if len(passphrase) < _LEAST_PASSPHRASE:
        raise Unusable(f"the passphrase needs {_LEAST_PASSPHRASE} characters or more")
    salt, nonce = secrets.token_bytes(_SALT_BYTES), secrets.token_bytes(_NONCE_BYTES)
    fingerprint = FileKeyStore(phrase).fingerprint.hex()
    sealed = AESGCM(_key(passphrase, salt)).encrypt(nonce, phrase.encode(), fingerprint.encode())
    content = {
        "version": VERSION,
        "fingerprint": fingerprint,
        "kdf": {"name": "scrypt", "n": COST, "r": _BLOCK, "p": 1, "salt": _text(salt)},
        "cipher": "AES-256-GCM",
        "nonce": _text(nonce),
        "sealed": _text(sealed),
    }
    fresh = path.with_name(path.name + ".new")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, _PRIVATE_MODE)
    with os.fdopen(descriptor, "w") as file:
        json.dump(content, file, indent=1)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)


def read(path: Path, passphrase: str) -> str:
    """The phrase in ``path``. :class:`Unusable` when the file is another's to read, damaged, or the
    passphrase is wrong (the two look alike, on purpose)."""
    try:
        if path.stat().st_mode & 0o077:
            raise Unusable(f"{path.name} may be read by others than its owner: chmod 600 first")
        content: dict[str, Any] = json.loads(path.read_text())
        if content["version"] != VERSION or content["kdf"]["n"] != COST:
            raise Unusable(f"{path.name} was written by another version")
        key = _key(passphrase, base64.b64decode(content["kdf"]["salt"]))
        sealed, nonce = base64.b64decode(content["sealed"]), base64.b64decode(content["nonce"])
        return AESGCM(key).decrypt(nonce, sealed, content["fingerprint"].encode()).decode()
    except OSError as exc:
        raise Unusable(f"{path.name} can't be read: {exc.strerror}") from None
    except (ValueError, KeyError, TypeError):
        raise Unusable(f"{path.name} is no key store") from None
    except InvalidTag:
        raise Unusable("the passphrase does not open the key store, or the file was changed") from None


def _key(passphrase: str, salt: bytes) -> bytes:
    return Scrypt(salt=salt, length=32, n=COST, r=_BLOCK, p=1).derive(passphrase.encode())


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()
