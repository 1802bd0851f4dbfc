"""Documents on disk: outside the web root, under random names, encrypted; judged by what they are."""

from __future__ import annotations

import hashlib
import io
import os
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from django.conf import settings
from PIL import Image

from kauri.common import crypto
from kauri.common.errors import KauriError

MAX_BYTES: Final = 10 * 1024 * 1024
MAX_PIXELS: Final = 40_000_000
MIN_SIDE: Final = 64
_TAIL: Final = 2048
_PICTURES: Final = {b"\xff\xd8\xff": ("JPEG", "image/jpeg"), b"\x89PNG\r\n\x1a\n": ("PNG", "image/png")}
PDF: Final = "application/pdf"


@dataclass(frozen=True, slots=True)
class Looked:
    """What a file is, found by its content."""

    content_type: str
    sha256: str


def look(data: bytes) -> Looked:
    """Say what ``data`` is. ``payload_too_large``, or ``validation_error`` on ``file``."""
    if len(data) > MAX_BYTES:
        raise KauriError("payload_too_large", f"at most {MAX_BYTES} bytes")
    return Looked(_content_type(data), hashlib.sha256(data).hexdigest())


def store(data: bytes) -> str:
    """Keep ``data`` encrypted, whole or not at all; returns its random name."""
    name = secrets.token_hex(24)
    _write(name, crypto.encrypt_bytes(data))
    return name


def rotate(name: str, *, is_dry: bool) -> bool:
    """Encrypt a file anew where another key than the newest made it; whether it needed that.

    Raises ``InvalidToken`` when no key opens it, ``OSError`` when it is not there.
    """
    token = (_folder() / name).read_bytes()
    if not crypto.needs_rotation(token.decode()):
        return False
    if not is_dry:
        _write(name, crypto.encrypt_bytes(crypto.decrypt_bytes(token)))
    return True


def discard(name: str) -> None:
    """Forget a file whose row was not written."""
    (_folder() / name).unlink(missing_ok=True)


def load(name: str, sha256: str) -> bytes:
    """The document's bytes; ``internal_error`` when they are not the ones that were sent."""
    try:
        data = crypto.decrypt_bytes((_folder() / name).read_bytes())
    except (OSError, crypto.InvalidToken):
        raise KauriError("internal_error", "the stored document cannot be read") from None
    if hashlib.sha256(data).hexdigest() != sha256:
        raise KauriError("internal_error", "the stored document is not the one that was sent")
    return data


def _write(name: str, token: bytes) -> None:
    """Whole or not at all; a file of this name is replaced."""
    folder = _folder()
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    part = folder / f".{name}.{secrets.token_hex(4)}.part"
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(token)
    os.replace(part, folder / name)


def _folder() -> Path:
    return Path(settings.FILES_DIR) / "verification"


def _content_type(data: bytes) -> str:
    if data.startswith(b"%PDF-"):
        if b"%%EOF" not in data[-_TAIL:]:
            raise _refused("the PDF is not whole")
        return PDF
    for head, (name, content_type) in _PICTURES.items():
        if data.startswith(head):
            _open_picture(data, name)
            return content_type
    raise _refused("a JPEG, PNG or PDF is needed")


def _open_picture(data: bytes, name: str) -> None:
    """Decode it whole, in the one format that its first bytes claim."""
    try:
        with Image.open(io.BytesIO(data), formats=(name,)) as picture:
            width, height = picture.size
            if width * height > MAX_PIXELS:
                raise _refused("the picture has too many pixels")
            if min(width, height) < MIN_SIDE:
                raise _refused("the picture is too small to read")
            # A JPEG is decoded at an eighth of its size: all of its data is read, little memory used.
            picture.draft(picture.mode, (1, 1))
            picture.load()
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise _refused("the picture cannot be opened") from None


def _refused(why: str) -> KauriError:
    return KauriError("validation_error", fields={"file": why})
