"""Keyed digests: equal numbers are found unopened, and whoever has only the database can't try numbers out."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass

from django.utils.crypto import salted_hmac

from kauri.payment_card.models import CardKey
from kauri.payment_card.numbers import ISSUER_LENGTHS


@dataclass(frozen=True, slots=True)
class Fingerprints:
    """Of one number, and of its issuer's digits: six and eight of them."""

    number: str
    issuers: dict[int, str]


def fingerprints(digits: str) -> Fingerprints:
    """All that a whole number is found by."""
    key = _key()
    return Fingerprints(
        _digest(key, f"number:{digits}".encode()),
        {length: _digest(key, f"issuer:{digits[:length]}".encode()) for length in ISSUER_LENGTHS},
    )


def issuer_fingerprint(prefix: str) -> str:
    """Of an issuer's six or eight digits."""
    return _digest(_key(), f"issuer:{prefix}".encode())


def request_digest(body: bytes) -> bytes:
    """Of a request that may have a number in it: an unkeyed digest beside the mask would give the number away.

    Under the application's own secret, so that a request that is refused writes nothing at all.
    """
    return salted_hmac("kauri.request", body, algorithm="sha256").digest()


def _digest(key: bytes, text: bytes) -> str:
    return hmac.new(key, text, hashlib.sha256).hexdigest()


def _key() -> bytes:
    row, _made = CardKey.objects.get_or_create(pk=1, defaults={"secret": secrets.token_hex(32)})
    return bytes.fromhex(row.secret)
