"""Maker-checker for settings: one person proposes, another decides, and the change is made then.

Which rows are governed, and how their values are read and written, is :mod:`kauri.core.governing`'s.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from django.conf import settings
from django.db import DatabaseError, models, transaction
from django.utils import translation

from kauri.common import clock
from kauri.common.actor import Actor, ActorKind
from kauri.common.errors import KauriError
from kauri.common.locks import lock
from kauri.core import governing
from kauri.core.again import code_again, operator_code
from kauri.core.audit import audit
from kauri.core.governing import as_json, governed, require, value_of
from kauri.core.models import Proposal
from kauri.core.outbox import emit

#: A proposal that nobody decides on is forgotten after this; so is an approval whose day never comes.
LIFE: Final = timedelta(hours=72)
DECIDE: Final = "core.decide_proposal"


def propose(
    *,
    target: str,
    target_id: str,
    values: Mapping[str, Any],
    reason: str,
    actor: Actor,
    code: str = "",
    effective_from: datetime | None = None,
    batch: uuid.UUID | None = None,
) -> Proposal:
    """Propose that a row's fields (``target_id`` '' for a new row) get these values.

    Raises ``forbidden``, ``validation_error`` (no reason, a field that is not governed, values that
    the row could not have), ``conflict`` (nothing would change, or the row is being changed already); where
    the row's kind asks for a code, ``totp_required``, ``totp_invalid`` and ``rate_limited``.
    """
    guard = code_again(
        actor, code, "proposal_make", object_type=target.partition(".")[2], object_id=target_id or "new"
    )
    with guard, transaction.atomic():
        return _proposed(target, target_id, values, reason, actor, code, effective_from, batch=batch)


def _proposed(
    target: str,
    target_id: str,
    values: Mapping[str, Any],
    reason: str,
    actor: Actor,
    code: str,
    effective_from: datetime | None = None,
    reverts: Proposal | None = None,
    batch: uuid.UUID | None = None,
) -> Proposal:
    row_type = governed(target)
    require(actor, row_type.propose)
    if not reason.strip():
        raise KauriError("validation_error", fields={"reason": "required"})
    foreign = set(values) - set(row_type.fields)
    if foreign:
        raise KauriError("validation_error", fields=dict.fromkeys(sorted(foreign), "not governed"))
    if row_type.may is not None:
        row_type.may(actor, target_id)
    row = governing.row_of(row_type, target_id, actor)
    after = {name: as_json(value) for name, value in values.items()}
    before = {name: as_json(value_of(row_type, row, name)) for name in after} if target_id else {}
    if target_id:
        after = {name: value for name, value in after.items() if before[name] != value}
        before = {name: before[name] for name in after}
        if not after:
            raise KauriError("conflict", "nothing would change")
        if row_type.fixed & set(after):
            fixed = dict.fromkeys(sorted(row_type.fixed & set(after)), "chosen once")
            raise KauriError("validation_error", fields=fixed)
        if _open(target, target_id).exists():
            raise KauriError("conflict", "another change of this row waits already")
    governing.assign(row_type, row, after)
    governing.check(row_type, row, after)
    if "propose" in row_type.codes:
        operator_code(actor, code)
    now = clock.now()
    before, after, secrets = governing.sealed(row_type, before, after)
    proposal = Proposal.objects.create(
        target=target,
        target_id=target_id,
        label=str(row)[:254],
        labels=_in_all_languages(row),
        before=before,
        after=after,
        secrets=secrets,
        reason=reason.strip(),
        proposed_by_id=int(actor.id),
        proposed_by=actor.label,
        proposed_at=now,
        effective_from=effective_from,
        expires_at=max(now, effective_from or now) + LIFE,
        reverts=reverts,
        batch=batch,
    )
    _record(proposal, "proposal_make", actor, proposal.reason)
    _tell(proposal, "waiting")
    return proposal


def approve(*, proposal_id: uuid.UUID, actor: Actor, reason: str = "", code: str = "") -> Proposal:
    """The second person's yes: applied at once, or when its moment comes.

    Raises ``forbidden`` (no permission, or one's own), ``wrong_state`` (decided already), and the code's as
    :func:`propose`. A row that changed meanwhile makes it FAILED, with nothing changed.
    """
    guard = code_again(actor, code, "proposal_approve", object_type="proposal", object_id=proposal_id)
    with guard, transaction.atomic():
        proposal = _decided(proposal_id, actor, Proposal.State.APPROVED, reason)
        if "approve" in governed(proposal.target).codes:
            operator_code(actor, code)
        _record(proposal, "proposal_approve", actor, reason)
        if proposal.effective_from is None or proposal.effective_from <= clock.now():
            _apply(proposal, actor)
        return proposal


@transaction.atomic
def reject(*, proposal_id: uuid.UUID, actor: Actor, reason: str) -> Proposal:
    """The second person's no, with words."""
    if not reason.strip():
        raise KauriError("validation_error", fields={"reason": "required"})
    proposal = _decided(proposal_id, actor, Proposal.State.REJECTED, reason.strip())
    _forget(proposal)
    _record(proposal, "proposal_reject", actor, reason.strip())
    _tell(proposal, "rejected")
    return proposal


@transaction.atomic
def withdraw(*, proposal_id: uuid.UUID, actor: Actor) -> Proposal:
    """The maker takes it back while it waits."""
    proposal = _locked(proposal_id)
    if str(proposal.proposed_by_id) != actor.id:
        raise KauriError("forbidden", "only its maker withdraws a proposal")
    if proposal.state not in {Proposal.State.PENDING, Proposal.State.APPROVED}:
        raise KauriError("wrong_state", "this proposal no longer waits")
    proposal.state = Proposal.State.WITHDRAWN
    proposal.save(update_fields=["state"])
    _forget(proposal)
    _record(proposal, "proposal_withdraw", actor, "")
    return proposal


def revert(*, proposal_id: uuid.UUID, reason: str, actor: Actor, code: str = "") -> Proposal:
    """Propose to put back what an applied change has changed, once. A second person decides again.

    Raises ``wrong_state`` (not in effect, already taken back, or a new row, which has no before), and what
    :func:`propose` does.
    """
    guard = code_again(actor, code, "proposal_make", object_type="proposal", object_id=proposal_id)
    with guard, transaction.atomic():
        return _reverted(proposal_id, reason, actor, code)


def _reverted(proposal_id: uuid.UUID, reason: str, actor: Actor, code: str) -> Proposal:
    proposal = _locked(proposal_id)
    if proposal.state != Proposal.State.APPLIED or not proposal.before:
        raise KauriError("wrong_state", "only a change in effect is taken back")
    if (
        Proposal.objects.filter(reverts=proposal)
        .exclude(state__in=[Proposal.State.REJECTED, Proposal.State.WITHDRAWN, Proposal.State.EXPIRED])
        .exists()
    ):
        raise KauriError("wrong_state", "this change is being taken back already")
    # An attempt that came to nothing no longer speaks for the change.
    Proposal.objects.filter(reverts=proposal).update(reverts=None)
    return _proposed(
        proposal.target,
        proposal.target_id,
        governing.opened(governed(proposal.target), proposal.before, proposal.secrets, "before"),
        reason,
        actor,
        code,
        reverts=proposal,
    )


def apply_due(actor: Actor) -> int:
    """Apply what was approved for a moment that has come, expire what nobody decided on; how many."""
    now = clock.now()
    due = list(
        Proposal.objects.filter(
            models.Q(state=Proposal.State.APPROVED, effective_from__lte=now)
            | models.Q(state=Proposal.State.PENDING, expires_at__lte=now)
        ).values_list("public_id", flat=True)
    )
    for proposal_id in due:
        with transaction.atomic():
            proposal = _locked(proposal_id)
            if proposal.state == Proposal.State.APPROVED:
                _apply(proposal, actor)
            elif proposal.state == Proposal.State.PENDING:
                proposal.state = Proposal.State.EXPIRED
                proposal.save(update_fields=["state"])
                _forget(proposal)
                _record(proposal, "proposal_expire", actor, "")
                _tell(proposal, "expired")
    return len(due)


def _apply(proposal: Proposal, actor: Actor) -> None:
    """Make the change onto a row that still stands as it did; otherwise nothing, and FAILED."""
    row_type = governed(proposal.target)
    try:
        with transaction.atomic():
            maker = Actor(ActorKind.OPERATOR, str(proposal.proposed_by_id), proposal.proposed_by)
            row = governing.row_of(row_type, proposal.target_id, maker, for_change=True)
            moved = [
                name
                for name, value in proposal.before.items()
                if not governing.stands(row_type, row, name, value)
            ]
            if moved:
                raise KauriError("conflict", f"changed meanwhile: {', '.join(moved)}")
            values = governing.opened(row_type, proposal.after, proposal.secrets, "after")
            governing.assign(row_type, row, values)
            governing.check(row_type, row, values)
            why = f"{proposal.reason} (proposal {proposal.pk}, {proposal.proposed_by})"
            governing.store(row_type, row, values, why)
    except (KauriError, DatabaseError) as exc:
        proposal.state = Proposal.State.FAILED
        proposal.error = str(exc)[:500]
        proposal.save(update_fields=["state", "error"])
        _forget(proposal)
        _record(proposal, "proposal_fail", actor, proposal.error)
        _tell(proposal, "failed")
        return
    proposal.state = Proposal.State.APPLIED
    proposal.applied_at = clock.now()
    proposal.target_id = str(row.pk)
    proposal.save(update_fields=["state", "applied_at", "target_id"])
    _record(proposal, "proposal_apply", actor, proposal.reason)
    _tell(proposal, "applied")


def _decided(proposal_id: uuid.UUID, actor: Actor, state: Proposal.State, reason: str) -> Proposal:
    require(actor, DECIDE)
    proposal = _locked(proposal_id)
    if str(proposal.proposed_by_id) == actor.id:
        raise KauriError("forbidden", "nobody decides on their own proposal")
    may = governed(proposal.target).may
    if may is not None and state == Proposal.State.APPROVED:
        may(actor, proposal.target_id)
    if proposal.state != Proposal.State.PENDING or proposal.expires_at <= clock.now():
        raise KauriError("wrong_state", f"this proposal no longer waits: {proposal.state}")
    proposal.state = state
    proposal.decided_by_id = int(actor.id)
    proposal.decided_by = actor.label
    proposal.decided_at = clock.now()
    proposal.decision_reason = reason
    proposal.save(update_fields=["state", "decided_by_id", "decided_by", "decided_at", "decision_reason"])
    return proposal


def _open(target: str, target_id: str) -> models.QuerySet[Proposal]:
    return Proposal.objects.filter(
        target=target, target_id=target_id, state__in=[Proposal.State.PENDING, Proposal.State.APPROVED]
    )


def open_for(target: str, target_id: str) -> Proposal | None:
    """The change of this row that waits, if any."""
    return _open(target, target_id).first()


def _locked(proposal_id: uuid.UUID) -> Proposal:
    proposal = lock(Proposal.objects.filter(public_id=proposal_id)).first()
    if proposal is None:
        raise KauriError("not_found")
    return proposal


def _forget(proposal: Proposal) -> None:
    """Secrets that never came into use are not kept."""
    if proposal.secrets:
        proposal.secrets = ""
        proposal.save(update_fields=["secrets"])


def _in_all_languages(row: models.Model) -> dict[str, str]:
    """What the row is called, by language."""
    named = {}
    for code, _name in settings.LANGUAGES:
        with translation.override(code):
            named[code] = str(row)[:254]
    return named


def _record(proposal: Proposal, verb: str, actor: Actor, reason: str) -> None:
    row_type = governed(proposal.target)
    audit(
        actor,
        verb,
        object_type=proposal.target.partition(".")[2],
        object_id=proposal.target_id or proposal.public_id,
        label=proposal.label,
        before=governing.in_words(row_type, proposal.before),
        after=governing.in_words(row_type, proposal.after),
        reason=reason,
    )


def _tell(proposal: Proposal, what: str) -> None:
    emit(
        f"proposal.{what}",
        subject_type="proposal",
        subject_id=proposal.public_id,
        payload={
            "proposal_id": str(proposal.public_id),
            "label": proposal.label,
            "by": proposal.proposed_by,
            "reason": proposal.reason,
            "fields": sorted(proposal.after),
            "error": proposal.error,
        },
    )
