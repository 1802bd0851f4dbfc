"""The papers behind what people decide: kept under their own digest, for ever."""

from __future__ import annotations

import hashlib
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from django.conf import settings

from kauri.common.errors import KauriError

MAX_DOCUMENT: Final = 10 * 1024 * 1024
#: What a document may be, by its first bytes (a name proves nothing).
KINDS: Final = {b"%PDF-": "application/pdf", b"\x89PNG\r\n": "image/png", b"\xff\xd8\xff": "image/jpeg"}


@dataclass(frozen=True, slots=True)
class Document:
    """A paper as it was handed in."""

    name: str
    data: bytes

    @property
    def title(self) -> str:
        """Its name without a path, at most 120 characters."""
        return Path(self.name).name[:120] or "document"


def keep(folder: str, document: Document) -> str:
    """Store the document under its own digest in a folder of the house's files; returns the digest.

    The same bytes twice are one file. ``validation_error`` when it is no PDF, PNG or JPEG, or too large.
    """
    if not document.data or len(document.data) > MAX_DOCUMENT or not content_type(document.data):
        raise KauriError(
            "validation_error", fields={"document": "a PDF, PNG or JPEG of at most 10 MB is needed"}
        )
    digest = hashlib.sha256(document.data).hexdigest()
    path = _path(folder, digest)
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    if not path.exists():
        part = path.with_name(f"{digest}.{uuid.uuid4().hex}.part")
        part.write_bytes(document.data)
        part.rename(path)
    return digest


def read(folder: str, digest: str) -> tuple[bytes, str]:
    """A kept document and its content type. ``not_found`` where this host does not have it."""
    path = _path(folder, digest)
    if not path.exists():
        raise KauriError("not_found", "the document is not in the files of this host")
    data = path.read_bytes()
    return data, content_type(data)


def content_type(data: bytes) -> str:
    """What the bytes are, or '' when they are nothing that is kept."""
    return next((kind for head, kind in KINDS.items() if data.startswith(head)), "")


def _path(folder: str, digest: str) -> Path:
    return Path(settings.FILES_DIR) / folder / digest
