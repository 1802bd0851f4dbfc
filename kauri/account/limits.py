"""Limiting an operator to customer groups, currencies and providers: by whoever changes roles, on record."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Final

from django.db import transaction
from django.db.models import Q
from django.utils.translation import gettext_lazy as _
from guardian.shortcuts import assign_perm, remove_perm

from kauri.account.models import GRANTS, CustomerGroup, User
from kauri.account.operators import OPERATOR
from kauri.account.second_factor import code_again, operator_code
from kauri.account.selectors import require_permission, require_whole
from kauri.common.actor import Actor
from kauri.common.errors import KauriError
from kauri.common.locks import lock
from kauri.common.scopes import KINDS, Scope
from kauri.core.audit import audit
from kauri.core.governing import Beside
from kauri.core.models import AuditEntry, Currency, Proposal, Provider
from kauri.core.proposals import propose

LIMIT: Final = "auth.change_group"
VERB: Final = "operator_limits_change"
#: What can be granted, by kind.
GRANTED: Final[dict[str, Any]] = {"groups": CustomerGroup, "currencies": Currency, "providers": Provider}
#: What a proposal calls the limits of each kind.
SEEN: Final = {"groups": "seen_groups", "currencies": "seen_currencies", "providers": "seen_providers"}


def limits_set(
    *, operator_id: int, limits: Mapping[str, Collection[int]], reason: str, code: str, actor: Actor
) -> Proposal | None:
    """Limit an operator to these primary keys, by kind; an empty kind has no limit.

    To narrow the view needs one person and is done at once (None); to widen it is proposed to a second one.
    Raises ``forbidden`` (no permission, oneself, or an actor who is limited), ``not_found``, ``conflict`` (nothing
    would change, or a change of this operator waits already), ``validation_error`` (no reason, or what is not
    there), and the code's, which is asked for again.
    """
    _allowed(operator_id, reason, actor)
    guard = code_again(actor, code, VERB, object_type="user", object_id=operator_id)
    with guard, transaction.atomic():
        operator = lock(User.objects.filter(pk=operator_id, is_staff=True)).first()
        if operator is None:
            raise KauriError("not_found")
        before = operator.scope
        if all((before.of(kind) or frozenset()) == set(limits.get(kind, ())) for kind in KINDS):
            raise KauriError("conflict", "nothing would change")
        if all(_is_narrower(before.of(kind), limits.get(kind, ())) for kind in KINDS):
            operator_code(actor, code)
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
            return None
    return propose(
        target=OPERATOR,
        target_id=str(operator_id),
        values={SEEN[kind]: set(limits.get(kind, ())) for kind in KINDS},
        reason=reason,
        code=code,
        actor=actor,
    )


def _is_narrower(before: frozenset[int] | None, after: Collection[int]) -> bool:
    """Whether nothing is seen that was not; no keys are no limit."""
    return before is None or (bool(after) and before.issuperset(after))


def _allowed(operator_id: int, reason: str, actor: Actor) -> None:
    require_permission(actor, LIMIT)
    require_whole(actor)
    if str(operator_id) == actor.id:
        raise KauriError("forbidden", "nobody changes their own limits")
    if not reason.strip():
        raise KauriError("validation_error", fields={"reason": "required"})


def _grant(operator: User, limits: Mapping[str, Collection[int]]) -> None:
    """Give the operator exactly these grants."""
    for kind in KINDS:
        _grant_kind(operator, kind, limits.get(kind, ()))


def _grant_kind(operator: User, kind: str, keys: Collection[int]) -> None:
    """Give exactly these grants of a kind; the row's cached scope is dropped, so that it says them too."""
    wanted, had = set(keys), operator.scope.of(kind) or frozenset()
    rows = GRANTED[kind].objects.in_bulk(wanted | had)
    if wanted - set(rows):
        raise KauriError("validation_error", fields={kind: "not there"})
    for pk in wanted - had:
        assign_perm(GRANTS[kind], operator, rows[pk])
    for pk in had - wanted:
        remove_perm(GRANTS[kind], operator, rows[pk])
    del operator.scope


def _beside(kind: str, title: Any) -> Beside:
    """The limits of a kind as a proposal reads and writes them."""
    return Beside(
        verbose_name=title,
        related_model=GRANTED[kind],
        read=lambda operator: operator.scope.of(kind) or (),
        write=lambda operator, keys: _grant_kind(operator, kind, keys),
    )


#: What a proposal may change of an operator's view.
BESIDE: Final[Mapping[str, Beside]] = {
    SEEN["groups"]: _beside("groups", _("sees only these customer groups")),
    SEEN["currencies"]: _beside("currencies", _("sees only these currencies")),
    SEEN["providers"]: _beside("providers", _("sees only these providers")),
}


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
    """Who limited the operator last, when and why; of what two people changed, the second."""
    by_two = Q(verb="proposal_apply", after__has_any_keys=list(SEEN.values()))
    return (
        AuditEntry.objects.filter(Q(verb=VERB) | by_two, object_type="user", object_id=str(operator.pk))
        .order_by("-id")
        .first()
    )
