"""An operator who lost their phone: one person proposes to take the second factor off, another one does it.

The operator has a say in neither, and enrols anew at the next sign-in; both give a code of their own.
"""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Final

from django.db import transaction
from django.db.models import QuerySet

from kauri.account.models import FactorReset, RecoveryCode, Session, TOTPDevice, User
from kauri.account.second_factor import code_again, operator_code
from kauri.account.selectors import require_permission, require_whole
from kauri.account.services import notice, sessions_end
from kauri.common import clock
from kauri.common.actor import SYSTEM, Actor
from kauri.common.errors import KauriError
from kauri.common.locks import claim, lock
from kauri.core.audit import audit
from kauri.core.outbox import emit

#: As roles have it.
CHANGE: Final = "auth.change_group"
#: A proposal that nobody has decided on by then is none any more.
LIFE: Final = timedelta(hours=72)
_AT_A_TIME: Final = 50
State = FactorReset.State


def factor_reset_propose(*, operator_id: uuid.UUID, reason: str, code: str, actor: Actor) -> FactorReset:
    """Propose that an operator's second factor is taken off.

    Raises ``forbidden`` (no permission, limited, oneself, a superuser where the actor is none), ``not_found``,
    ``validation_error`` (no reason), ``wrong_state`` (they have none), ``conflict`` (one waits already), and
    the code's.
    """
    guard = code_again(actor, code, "factor_reset_propose", object_type="user", object_id=operator_id)
    with guard, transaction.atomic():
        _demand(actor)
        if not reason.strip():
            raise KauriError("validation_error", fields={"reason": "required"})
        operator = _operator(User.objects.filter(public_id=operator_id), actor)
        device = _device(operator)
        waiting = lock(FactorReset.objects.filter(operator=operator, state=State.PENDING)).first()
        if waiting is not None and not _expired(waiting):
            raise KauriError("conflict", "one waits for a decision already")
        operator_code(actor, code)
        now = clock.now()
        row = FactorReset.objects.create(
            operator=operator,
            device_id=device.pk,
            reason=reason.strip(),
            proposed_by_id=int(actor.id),
            proposed_by=actor.label,
            proposed_at=now,
            expires_at=now + LIFE,
        )
        _record(row, "factor_reset_propose", actor, row.reason)
        emit(
            "factor_reset.waiting",
            subject_type="factor_reset",
            subject_id=row.public_id,
            payload={
                "reset_id": str(row.public_id),
                "by": actor.label,
                "operator": operator.email,
                "reason": row.reason,
            },
        )
        notice(operator, "second_factor_reset_asked", ip=actor.ip, who=actor.label)
        return row


def factor_reset_approve(*, reset_id: uuid.UUID, code: str, actor: Actor, reason: str = "") -> FactorReset:
    """The second person's yes: the authenticator goes, the operator's sessions end, and a letter tells them.

    Raises ``forbidden`` (as for proposing; one's own proposal), ``not_found``, ``wrong_state`` (decided, too
    late, or the operator has another authenticator meanwhile), and the code's. Nothing is done then.
    """
    guard = code_again(actor, code, "factor_reset_approve", object_type="factor_reset", object_id=reset_id)
    with guard, transaction.atomic():
        row, operator = _decidable(reset_id, actor)
        if _device(operator).pk != row.device_id:
            raise KauriError("wrong_state", "the operator has another authenticator meanwhile")
        operator_code(actor, code)
        _decide(row, State.DONE, actor, reason)
        # A back office session is one of its authenticator: without it, it opens nothing any more.
        TOTPDevice.objects.filter(user=operator).delete()
        RecoveryCode.objects.filter(user=operator).delete()
        operator.security_changed_at = clock.now()
        operator.save(update_fields=["security_changed_at"])
        sessions_end(operator, Session.End.OPERATOR)
        _record(row, "factor_reset_approve", actor, reason)
        notice(operator, "second_factor_reset", ip=actor.ip, who=f"{row.proposed_by}, {actor.label}")
        return row


@transaction.atomic
def factor_reset_reject(*, reset_id: uuid.UUID, reason: str, actor: Actor) -> FactorReset:
    """The second person's no, with words. Raises ``forbidden``, ``not_found``, ``wrong_state``, ``validation_error``."""
    if not reason.strip():
        raise KauriError("validation_error", fields={"reason": "required"})
    row, _operator_row = _decidable(reset_id, actor)
    _decide(row, State.REJECTED, actor, reason)
    _record(row, "factor_reset_reject", actor, reason)
    return row


@transaction.atomic
def factor_reset_withdraw(*, reset_id: uuid.UUID, actor: Actor) -> FactorReset:
    """Its maker takes it back while it waits."""
    row = _waiting(reset_id)
    if str(row.proposed_by_id) != actor.id or not actor.is_operator:
        raise KauriError("forbidden", "only its maker withdraws it")
    row.state = State.WITHDRAWN
    row.save(update_fields=["state"])
    _record(row, "factor_reset_withdraw", actor, "")
    return row


@transaction.atomic
def factor_resets_expire() -> int:
    """End what nobody decided on in time; how many."""
    late = FactorReset.objects.filter(state=State.PENDING, expires_at__lte=clock.now()).order_by("pk")
    return sum(_expired(row) for row in claim(late, _AT_A_TIME))


def _demand(actor: Actor) -> None:
    require_permission(actor, CHANGE)
    require_whole(actor)


def _operator(found: QuerySet[User], actor: Actor) -> User:
    """The operator in question, locked; nobody's own, and no superuser's for others than superusers."""
    operator = lock(found.filter(is_staff=True, is_active=True)).first()
    if operator is None:
        raise KauriError("not_found")
    if str(operator.pk) == actor.id:
        raise KauriError("forbidden", "nobody takes their own second factor off")
    if operator.is_superuser and not User.objects.get(pk=int(actor.id)).is_superuser:
        raise KauriError("forbidden", "a superuser's is for superusers")
    return operator


def _device(operator: User) -> TOTPDevice:
    device = TOTPDevice.objects.filter(user=operator, confirmed=True).order_by("pk").last()
    if device is None:
        raise KauriError("wrong_state", "the operator has no second factor")
    return device


def _waiting(reset_id: uuid.UUID) -> FactorReset:
    row = lock(FactorReset.objects.filter(public_id=reset_id)).first()
    if row is None:
        raise KauriError("not_found")
    if row.state != State.PENDING:
        raise KauriError("wrong_state", "somebody has already decided on this")
    if row.expires_at <= clock.now():
        raise KauriError("wrong_state", "its time is over: propose it anew")
    return row


def _decidable(reset_id: uuid.UUID, actor: Actor) -> tuple[FactorReset, User]:
    """The operator's row is locked first, as for proposing."""
    _demand(actor)
    known = FactorReset.objects.filter(public_id=reset_id).first()
    if known is None:
        raise KauriError("not_found")
    operator = _operator(User.objects.filter(pk=known.operator_id), actor)
    row = _waiting(reset_id)
    if str(row.proposed_by_id) == actor.id:
        raise KauriError("forbidden", "nobody decides on their own proposal")
    return row, operator


def _decide(row: FactorReset, state: FactorReset.State, actor: Actor, reason: str) -> None:
    row.state = state
    row.decided_by_id, row.decided_by = int(actor.id), actor.label
    row.decided_at, row.decision_reason = clock.now(), reason.strip()
    row.save(update_fields=["state", "decided_by_id", "decided_by", "decided_at", "decision_reason"])


def _expired(row: FactorReset) -> bool:
    """End a locked waiting row whose time is over; whether it was."""
    if row.expires_at > clock.now():
        return False
    row.state = State.EXPIRED
    row.save(update_fields=["state"])
    _record(row, "factor_reset_expire", SYSTEM, "")
    return True


def _record(row: FactorReset, verb: str, actor: Actor, reason: str) -> None:
    audit(
        actor,
        verb,
        object_type="factor_reset",
        object_id=row.public_id,
        label=row.operator.email,
        after={"operator": row.operator_id, "state": row.state},
        reason=reason.strip(),
    )
