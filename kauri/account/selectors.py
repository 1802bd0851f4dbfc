"""Reading accounts: who may do what."""

from __future__ import annotations

from kauri.account.models import User
from kauri.common.actor import Actor
from kauri.common.errors import KauriError


def require_permission(actor: Actor, permission: str) -> User:
    """The operator behind ``actor``; ``forbidden`` unless they are one, active, and may do this."""
    operator = User.objects.filter(pk=int(actor.id)).first() if actor.is_operator else None
    if operator is None or not (operator.is_staff and operator.is_active and operator.has_perm(permission)):
        raise KauriError("forbidden", f"{actor.label} lacks {permission}")
    return operator
