"""What makes an operator: their roles, what a role may do, and the Telegram chat that is asked for decisions.

Every act here asks for the actor's one-time code again.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from django.contrib.auth.models import Group, Permission
from django.core.exceptions import ValidationError
from django.db import transaction

from kauri.account.models import User
from kauri.account.second_factor import code_again, operator_code
from kauri.account.selectors import require_permission, require_whole
from kauri.account.services import notice
from kauri.account.telegram import DeepLink, link_make
from kauri.common.actor import Actor
from kauri.common.errors import KauriError
from kauri.common.locks import lock
from kauri.core.audit import audit

CHANGE: Final = "auth.change_group"
ADD: Final = "auth.add_group"


def operator_telegram_assign(*, actor: Actor, code: str) -> DeepLink:
    """A link that ties the operator to whoever opens it in Telegram within 15 minutes. An older one ends.

    Raises ``forbidden``, ``totp_required``, ``totp_invalid``, ``rate_limited``, ``wrong_state`` (tied
    already), ``operation_disabled`` (there is no bot).
    """
    guard = code_again(actor, code, "telegram_assign", object_type="user", object_id=actor.id)
    with guard, transaction.atomic():
        operator = _operator(int(actor.id)) if actor.is_operator else None
        if operator is None or not operator.is_active:
            raise KauriError("forbidden")
        operator_code(actor, code)
        return link_make(operator, actor)


def operator_telegram_unassign(*, operator_id: int, code: str, actor: Actor, reason: str = "") -> User:
    """Untie an operator from Telegram: by themselves, or with a reason by whoever changes roles.

    Raises ``forbidden``, ``not_found``, ``validation_error`` (no reason), ``wrong_state`` (not tied), and the
    code's.
    """
    guard = code_again(actor, code, "telegram_unassign", object_type="user", object_id=operator_id)
    with guard, transaction.atomic():
        if str(operator_id) != actor.id:
            require_permission(actor, CHANGE)
            require_whole(actor)
            if not reason.strip():
                raise KauriError("validation_error", fields={"reason": "required"})
        operator = _operator(operator_id) if actor.is_operator else None
        if operator is None:
            raise KauriError("not_found")
        operator_code(actor, code)
        if operator.telegram_id is None:
            raise KauriError("wrong_state", "the operator has no Telegram user")
        before = {"telegram_id": operator.telegram_id, "telegram_username": operator.telegram_username}
        operator.telegram_id, operator.telegram_username = None, ""
        operator.save(update_fields=["telegram_id", "telegram_username"])
        audit(
            actor,
            "telegram_unassign",
            object_type="user",
            object_id=operator.pk,
            label=operator.email,
            before=before,
            reason=reason.strip(),
        )
        name = before["telegram_username"]
        notice(
            operator,
            "telegram_unassigned",
            ip=actor.ip,
            who=f"@{name}" if name else str(before["telegram_id"]),
        )
        return operator


def operator_roles_set(*, operator_id: int, roles: Collection[int], code: str, actor: Actor) -> User:
    """Give an operator exactly these roles (by primary key). Raises ``forbidden`` (no permission, or oneself),
    ``not_found``, ``validation_error`` (a role that is not there), and the code's."""
    guard = code_again(actor, code, "operator_roles_change", object_type="user", object_id=operator_id)
    with guard, transaction.atomic():
        require_permission(actor, CHANGE)
        require_whole(actor)
        if str(operator_id) == actor.id:
            raise KauriError("forbidden", "nobody changes their own roles")
        operator = _operator(operator_id)
        if operator is None:
            raise KauriError("not_found")
        wanted = list(Group.objects.filter(pk__in=roles).order_by("name"))
        if len(wanted) != len(set(roles)):
            raise KauriError("validation_error", fields={"roles": "not there"})
        operator_code(actor, code)
        before = sorted(operator.groups.values_list("name", flat=True))
        operator.groups.set(wanted)
        audit(
            actor,
            "operator_roles_change",
            object_type="user",
            object_id=operator.pk,
            label=operator.email,
            before={"roles": before},
            after={"roles": [group.name for group in wanted]},
        )
        return operator


def role_save(
    *, role_id: int | None, name: str, permissions: Collection[int], code: str, actor: Actor
) -> Group:
    """Make a role (``role_id`` None), or say anew what it is called and may do.

    Raises ``forbidden`` (no permission, or a role of one's own), ``not_found``, ``validation_error`` (its
    name), and the code's.
    """
    act = "role_add" if role_id is None else "role_change"
    guard = code_again(actor, code, act, object_type="role", object_id=role_id or name)
    with guard, transaction.atomic():
        operator = require_permission(actor, ADD if role_id is None else CHANGE)
        require_whole(actor)
        role = Group() if role_id is None else lock(Group.objects.filter(pk=role_id)).first()
        if role is None:
            raise KauriError("not_found")
        if role.pk is not None and operator.groups.filter(pk=role.pk).exists():
            raise KauriError("forbidden", "nobody changes a role of their own")
        role.name = name
        try:
            role.full_clean()
        except ValidationError as exc:
            faults = {field: " ".join(said) for field, said in exc.message_dict.items()}
            raise KauriError("validation_error", fields=faults) from None
        operator_code(actor, code)
        before = permission_names(role) if role.pk is not None else []
        role.save()
        role.permissions.set(Permission.objects.filter(pk__in=permissions))
        audit(
            actor,
            act,
            object_type="role",
            object_id=role.pk,
            label=role.name,
            before={"permissions": before},
            after={"permissions": permission_names(role)},
        )
        return role


def permission_names(role: Group) -> list[str]:
    """What a role may do, as ``app.codename``."""
    rows = role.permissions.order_by("content_type__app_label", "codename")
    return [f"{app}.{codename}" for app, codename in rows.values_list("content_type__app_label", "codename")]


def _operator(operator_id: int) -> User | None:
    return lock(User.objects.filter(pk=operator_id, is_staff=True)).first()
