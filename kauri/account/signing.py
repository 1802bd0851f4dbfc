"""API request signatures, version 2: what exactly is signed."""

from __future__ import annotations

import hashlib
import hmac


def string_to_sign(*, timestamp: str, nonce: str, method: str, path: str, query: str, body: bytes) -> bytes:
    """``timestamp\\nnonce\\nMETHOD\\npath\\nraw query\\nsha256hex(raw body)``."""
    digest = hashlib.sha256(body).hexdigest()
    return "\n".join([timestamp, nonce, method.upper(), path, query, digest]).encode()


def sign(secret: str, message: bytes) -> str:
    """Lower-case hex HMAC-SHA256."""
    return hmac.new(secret.encode(), message, hashlib.sha256).hexdigest()


def matches(secret: str, message: bytes, signature: str) -> bool:
    """Compare in constant time; anything that is not a hex digest is simply wrong."""
    return hmac.compare_digest(sign(secret, message).encode(), signature.strip().lower().encode())
