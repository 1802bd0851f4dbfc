"""What makes an operator: their account, their roles, and the Telegram chat that is asked for decisions.

Every act here asks for the actor's one-time code again.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from django.contrib.auth.models import Group
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.db import transaction

from kauri.account.models import User
from kauri.account.second_factor import code_again, operator_code
from kauri.account.selectors import require_permission, require_whole
from kauri.account.services import notice
from kauri.account.telegram import DeepLink, link_make
from kauri.common import clock
from kauri.common.actor import Actor
from kauri.common.errors import KauriError
from kauri.common.locks import lock
from kauri.core import proposals
from kauri.core.audit import audit
from kauri.core.models import Proposal

CHANGE: Final = "auth.change_group"
#: Operators, as what is governed of them: their roles.
OPERATOR: Final = "account.user"


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


def operator_roles_set(
    *, operator_id: int, roles: Collection[int], reason: str, code: str, actor: Actor
) -> Proposal | None:
    """Give an operator exactly these roles (by primary key).

    To take roles away needs one person and is done at once (None); to give any is proposed to a second one.
    Raises ``forbidden`` (no permission, or oneself), ``not_found``, ``conflict`` (nothing would change, or a change
    waits already), ``validation_error`` (no reason, a role that is not there), and the code's.
    """
    require_permission(actor, CHANGE)
    require_whole(actor)
    not_of_oneself(actor, str(operator_id))
    operator = User.objects.filter(pk=operator_id, is_staff=True).first()
    if operator is None:
        raise KauriError("not_found")
    if not set(roles) < set(operator.groups.values_list("pk", flat=True)):
        return proposals.propose(
            target=OPERATOR,
            target_id=str(operator_id),
            values={"groups": set(roles)},
            reason=reason,
            code=code,
            actor=actor,
        )
    if not reason.strip():
        raise KauriError("validation_error", fields={"reason": "required"})
    guard = code_again(actor, code, "operator_roles_change", object_type="user", object_id=operator_id)
    with guard, transaction.atomic():
        lock(User.objects.filter(pk=operator_id)).get()
        operator_code(actor, code)
        held = {group.pk: group.name for group in operator.groups.all()}
        operator.groups.remove(*(set(held) - set(roles)))
        audit(
            actor,
            "operator_roles_change",
            object_type="user",
            object_id=operator.pk,
            label=operator.email,
            before={"roles": sorted(held.values())},
            after={"roles": sorted(name for pk, name in held.items() if pk in set(roles))},
            reason=reason.strip(),
        )
    return None


def operator_make(*, email: str, name: str, password: str, roles: Collection[str], actor: Actor) -> User:
    """A new operator with these roles (by name): for the host's command, where nobody is there yet who could.

    Raises ``conflict`` (the address has an account), ``validation_error`` (the address, the password, an unknown role).
    """
    operator = User(email=email.strip().lower(), username=name.strip(), is_staff=True)
    operator.set_unusable_password()
    try:
        operator.full_clean(validate_unique=False)
        validate_password(password, operator)
    except ValidationError as exc:
        named = exc.message_dict if hasattr(exc, "error_dict") else {"password": exc.messages}
        faults = {field: " ".join(said) for field, said in named.items()}
        raise KauriError("validation_error", "; ".join(faults.values()), fields=faults) from None
    if User.objects.filter(email=operator.email).exists():
        raise KauriError("conflict", "there is an account with this address")
    groups = list(Group.objects.filter(name__in=roles))
    if len(groups) != len(set(roles)):
        raise KauriError("validation_error", fields={"roles": "not there"})
    operator.set_password(password)
    operator.email_verified_at = clock.now()
    with transaction.atomic():
        operator.save(force_insert=True)
        operator.groups.set(groups)
        audit(
            actor,
            "operator_make",
            object_type="user",
            object_id=operator.pk,
            label=operator.email,
            after={"roles": sorted(group.name for group in groups)},
        )
    return operator


def operator_disable(*, operator_id: int, reason: str, code: str, actor: Actor) -> User:
    """Shut an operator out at once, by one person; to let them in again takes two (:func:`operator_enable`).

    Raises ``forbidden`` (no permission, or oneself), ``not_found``, ``validation_error`` (no reason), ``wrong_state``
    (shut out already), and the code's.
    """
    guard = code_again(actor, code, "operator_disable", object_type="user", object_id=operator_id)
    with guard, transaction.atomic():
        require_permission(actor, CHANGE)
        require_whole(actor)
        not_of_oneself(actor, str(operator_id))
        if not reason.strip():
            raise KauriError("validation_error", fields={"reason": "required"})
        operator = _operator(operator_id)
        if operator is None:
            raise KauriError("not_found")
        if not operator.is_active:
            raise KauriError("wrong_state", "the operator is shut out already")
        operator_code(actor, code)
        operator.is_active, operator.disabled_reason = False, reason.strip()[:300]
        operator.save(update_fields=["is_active", "disabled_reason"])
        audit(
            actor,
            "operator_disable",
            object_type="user",
            object_id=operator.pk,
            label=operator.email,
            before={"is_active": True},
            after={"is_active": False},
            reason=reason.strip(),
        )
        return operator


def operator_enable(*, operator_id: int, reason: str, code: str, actor: Actor) -> Proposal:
    """Propose to let an operator in again. Raises what :func:`kauri.core.proposals.propose` does."""
    return proposals.propose(
        target=OPERATOR,
        target_id=str(operator_id),
        values={"is_active": True, "disabled_reason": ""},
        reason=reason,
        code=code,
        actor=actor,
    )


def not_of_oneself(actor: Actor, operator_id: str) -> None:
    """Raise ``forbidden`` for whoever's own roles these are."""
    if operator_id == actor.id:
        raise KauriError("forbidden", "nobody decides on their own roles")


def of_another_operator(actor: Actor, operator_id: str) -> None:
    """Raise ``forbidden`` for oneself, ``not_found`` for whoever is no operator."""
    not_of_oneself(actor, operator_id)
    if not operator_id or not User.objects.filter(pk=int(operator_id), is_staff=True).exists():
        raise KauriError("not_found")


def not_of_own_role(actor: Actor, role_id: str) -> None:
    """Raise ``forbidden`` for whoever has the role."""
    if role_id and User.objects.filter(pk=actor.id, groups=int(role_id)).exists():
        raise KauriError("forbidden", "nobody decides on a role of their own")


def _operator(operator_id: int) -> User | None:
    return lock(User.objects.filter(pk=operator_id, is_staff=True)).first()
