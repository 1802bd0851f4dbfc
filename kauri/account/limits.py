"""Limiting an operator to customer groups, currencies and providers: by whoever changes roles, on record."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Final

from django.db import transaction
from guardian.shortcuts import assign_perm, remove_perm

from kauri.account.models import GRANTS, CustomerGroup, User
from kauri.account.second_factor import code_again, operator_code
from kauri.account.selectors import require_permission, require_whole
from kauri.common.actor import Actor
from kauri.common.errors import KauriError
from kauri.common.locks import lock
from kauri.common.scopes import KINDS, Scope
from kauri.core.audit import audit
from kauri.core.models import AuditEntry, Currency, Provider

LIMIT: Final = "auth.change_group"
VERB: Final = "operator_limits_change"
#: What can be granted, by kind.
GRANTED: Final[dict[str, Any]] = {"groups": CustomerGroup, "currencies": Currency, "providers": Provider}


def limits_set(
    *, operator_id: int, limits: Mapping[str, Collection[int]], reason: str, code: str, actor: Actor
) -> Scope:
    """Limit an operator to these primary keys, by kind; an empty kind has no limit.

    Raises ``forbidden`` (no permission, oneself, or an actor who is limited), ``not_found``,
    ``validation_error`` (no reason, or what is not there), and the code's, which is asked for again.
    """
    guard = code_again(actor, code, VERB, object_type="user", object_id=operator_id)
    with guard, transaction.atomic():
        operator = _changeable(operator_id, reason, actor)
        operator_code(actor, code)
        before = operator.scope
        _grant(operator, limits)
        audit(
            actor,
            VERB,
            object_type="user",
            object_id=operator.pk,
            label=operator.email,
            before=named(before),
            after=named(operator.scope),
            reason=reason.strip(),
        )
        return operator.scope


def _changeable(operator_id: int, reason: str, actor: Actor) -> User:
    require_permission(actor, LIMIT)
    require_whole(actor)
    if not reason.strip():
        raise KauriError("validation_error", fields={"reason": "required"})
    operator = lock(User.objects.filter(pk=operator_id, is_staff=True)).first()
    if operator is None:
        raise KauriError("not_found")
    if str(operator.pk) == actor.id:
        raise KauriError("forbidden", "nobody changes their own limits")
    return operator


def _grant(operator: User, limits: Mapping[str, Collection[int]]) -> None:
    """Give the operator exactly these grants; the row's cached scope is dropped, so that it says them too."""
    before = operator.scope
    for kind in KINDS:
        wanted, had = set(limits.get(kind, ())), before.of(kind) or frozenset()
        rows = GRANTED[kind].objects.in_bulk(wanted | had)
        if wanted - set(rows):
            raise KauriError("validation_error", fields={kind: "not there"})
        for pk in wanted - had:
            assign_perm(GRANTS[kind], operator, rows[pk])
        for pk in had - wanted:
            remove_perm(GRANTS[kind], operator, rows[pk])
    del operator.scope


def named(scope: Scope) -> dict[str, list[str]]:
    """The limits in codes, by kind; a kind without a limit is left out."""
    return {
        kind: list(
            GRANTED[kind]
            .objects.filter(pk__in=scope.of(kind))
            .order_by("code")
            .values_list("code", flat=True)
        )
        for kind in scope.kinds
    }


def last_change(operator: User) -> AuditEntry | None:
    """Who limited the operator last, when and why."""
    return (
        AuditEntry.objects.filter(object_type="user", object_id=str(operator.pk), verb=VERB)
        .order_by("-id")
        .first()
    )
