"""Short codes that a customer sends back from a letter: made, counted, used once. Only a keyed hash is kept."""

from __future__ import annotations

import secrets
import uuid
from datetime import datetime
from typing import Final

from django.db.models import QuerySet
from django.utils.crypto import constant_time_compare, salted_hmac

from kauri.account.models import ConfirmationCode, User
from kauri.common import clock
from kauri.common.locks import lock

DIGITS: Final = 8


def code_make(user: User, purpose: str, subject_id: uuid.UUID, expires_at: datetime) -> str:
    """A new code in the caller's transaction; the ones before it are worth nothing."""
    _unused(user, purpose, subject_id).update(used_at=clock.now())
    made = f"{secrets.randbelow(10**DIGITS):0{DIGITS}d}"
    ConfirmationCode.objects.create(
        user=user,
        purpose=purpose,
        subject_id=subject_id,
        code_hash=_hash(purpose, subject_id, made),
        expires_at=expires_at,
    )
    return made


def code_use(user: User, purpose: str, subject_id: uuid.UUID, code: str) -> bool:
    """Whether ``code`` is the one that was sent last: it is used up then, else one of its tries is.

    The caller commits either way, and says ``wrong_code`` afterwards: a try counts though its answer is lost.
    """
    good_now = _unused(user, purpose, subject_id).filter(tries_left__gt=0, expires_at__gt=clock.now())
    stored = lock(good_now).last()
    if stored is None:
        return False
    if constant_time_compare(_hash(purpose, subject_id, code.strip()), stored.code_hash):
        stored.used_at = clock.now()
        stored.save(update_fields=["used_at"])
        return True
    stored.tries_left -= 1
    stored.save(update_fields=["tries_left"])
    return False


def _unused(user: User, purpose: str, subject_id: uuid.UUID) -> QuerySet[ConfirmationCode]:
    return ConfirmationCode.objects.filter(
        user=user, purpose=purpose, subject_id=subject_id, used_at__isnull=True
    )


def _hash(purpose: str, subject_id: uuid.UUID, code: str) -> str:
    return salted_hmac(
        f"kauri.account.codes.{purpose}", f"{subject_id}:{code}", algorithm="sha256"
    ).hexdigest()
