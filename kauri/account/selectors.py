"""Reading accounts: who may do what."""

from __future__ import annotations

from typing import Final

from kauri.account.models import User
from kauri.common.actor import Actor
from kauri.common.errors import KauriError
from kauri.common.ids import is_account_number

#: Digits of a bigint that can't overflow one.
_LONGEST_ID: Final = 19


def recipient(addressed_by: str, addressed_to: str) -> User | None:
    """The customer that another names by ``email``, ``number`` or ``telegram`` (id or @name).

    None for nobody, an operator, a disabled account and an unconfirmed e-mail alike: an address that
    nobody has proven to read may be anybody's.
    """
    text = addressed_to.strip()
    people = User.objects.filter(is_staff=False, is_active=True)
    if addressed_by == "email":
        return people.filter(email=text.lower(), email_verified_at__isnull=False).first()
    if addressed_by == "number":
        number = text.replace(" ", "").upper()
        return people.filter(number=number).first() if is_account_number(number) else None
    if text.isdecimal() and text.isascii() and len(text) < _LONGEST_ID:
        return people.filter(telegram_id=int(text)).first()
    name = text.removeprefix("@")
    return people.filter(telegram_username__iexact=name).exclude(telegram_username="").first()


def require_permission(actor: Actor, permission: str) -> User:
    """The operator behind ``actor``; ``forbidden`` unless they are one, active, and may do this."""
    operator = User.objects.filter(pk=int(actor.id)).first() if actor.is_operator else None
    if operator is None or not (operator.is_staff and operator.is_active and operator.has_perm(permission)):
        raise KauriError("forbidden", f"{actor.label} lacks {permission}")
    return operator
