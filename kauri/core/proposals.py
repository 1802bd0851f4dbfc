"""Maker-checker for settings: one person proposes, another decides, and the change is made then.

Which rows are governed is an explicit list that the shell hands in at its start (:func:`govern`);
this floor knows the mechanism and none of the rows above it.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, Final

from django.core.exceptions import NON_FIELD_ERRORS, ObjectDoesNotExist, ValidationError
from django.db import DatabaseError, models, transaction

from kauri.common import clock
from kauri.common.actor import Actor
from kauri.common.errors import KauriError
from kauri.common.locks import lock
from kauri.common.money import plain
from kauri.core.again import code_again, operator_code
from kauri.core.audit import audit
from kauri.core.models import Proposal
from kauri.core.outbox import emit

#: A proposal that nobody decides on is forgotten after this; so is an approval whose day never comes.
LIFE: Final = timedelta(hours=72)
DECIDE: Final = "core.decide_proposal"

Allowed = Callable[[Actor, str], Any]


@dataclass(frozen=True, slots=True)
class Governed:
    """One kind of settings row: its model, the fields that a proposal may change, who may propose, and
    what the second person is shown of its effect. ``codes``: which acts (``propose``, ``approve``) ask for the
    operator's one-time code again. ``key``: the fields by which a line of a file finds its row; without one
    the kind is not imported (:mod:`kauri.core.imports`)."""

    model: type[models.Model]
    fields: tuple[str, ...]
    propose: str
    preview: Callable[[Proposal], Any] | None = None
    codes: frozenset[str] = frozenset()
    key: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return self.model._meta.label_lower


@dataclass(frozen=True, slots=True)
class _House:
    """What the shell handed in: the governed rows, and how a permission is demanded of an actor."""

    rows: dict[str, Governed]
    require: list[Allowed]


_HOUSE: Final = _House({}, [])


def govern(rows: Iterable[Governed], require: Allowed) -> None:
    """Say once, at the start, what is governed. ``require(actor, permission)`` raises ``forbidden``."""
    _HOUSE.rows.clear()
    _HOUSE.rows.update({row.name: row for row in rows})
    _HOUSE.require[:] = [require]


def governed(target: str) -> Governed:
    """The governed row type of that name; ``not_found`` for any other."""
    if target not in _HOUSE.rows:
        raise KauriError("not_found", f"{target} is not governed")
    return _HOUSE.rows[target]


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
    row = _row(row_type, target_id)
    after = {name: as_json(value) for name, value in values.items()}
    before = {name: as_json(field_value(row, name)) for name in after} if target_id else {}
    if target_id:
        after = {name: value for name, value in after.items() if before[name] != value}
        before = {name: before[name] for name in after}
        if not after:
            raise KauriError("conflict", "nothing would change")
        if _open(target, target_id).exists():
            raise KauriError("conflict", "another change of this row waits already")
    _assign(row, after)
    _check(row)
    if "propose" in row_type.codes:
        operator_code(actor, code)
    now = clock.now()
    proposal = Proposal.objects.create(
        target=target,
        target_id=target_id,
        label=str(row)[:254],
        before=before,
        after=after,
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
        proposal.target, proposal.target_id, dict(proposal.before), reason, actor, code, reverts=proposal
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
                _record(proposal, "proposal_expire", actor, "")
                _tell(proposal, "expired")
    return len(due)


def field_value(row: models.Model, name: str) -> Any:
    """A field's plain value; of a foreign key, the key."""
    field = row._meta.get_field(name)
    return getattr(row, field.attname)  # type: ignore[union-attr]


def as_json(value: Any) -> Any:
    """A value as a proposal keeps it: JSON's own kinds, decimals as plain digits, moments as ISO 8601."""
    if isinstance(value, models.Model):
        return value.pk
    if isinstance(value, Decimal):
        return plain(value)
    if isinstance(value, (date, datetime, time)):
        return value.isoformat()
    return value


def _apply(proposal: Proposal, actor: Actor) -> None:
    """Make the change onto a row that still stands as it did; otherwise nothing, and FAILED."""
    row_type = governed(proposal.target)
    try:
        with transaction.atomic():
            row = _row(row_type, proposal.target_id, for_change=True)
            moved = [
                name for name, value in proposal.before.items() if as_json(field_value(row, name)) != value
            ]
            if moved:
                raise KauriError("conflict", f"changed meanwhile: {', '.join(moved)}")
            _assign(row, proposal.after)
            _check(row)
            row._change_reason = f"{proposal.reason} (proposal {proposal.pk}, {proposal.proposed_by})"  # type: ignore[attr-defined]
            row.save()
    except (KauriError, DatabaseError) as exc:
        proposal.state = Proposal.State.FAILED
        proposal.error = str(exc)[:500]
        proposal.save(update_fields=["state", "error"])
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
    if proposal.state != Proposal.State.PENDING or proposal.expires_at <= clock.now():
        raise KauriError("wrong_state", f"this proposal no longer waits: {proposal.state}")
    proposal.state = state
    proposal.decided_by_id = int(actor.id)
    proposal.decided_by = actor.label
    proposal.decided_at = clock.now()
    proposal.decision_reason = reason
    proposal.save(update_fields=["state", "decided_by_id", "decided_by", "decided_at", "decision_reason"])
    return proposal


def require(actor: Actor, permission: str) -> None:
    """Raise ``forbidden`` unless the operator has the permission: the shell knows how to tell."""
    for demand in _HOUSE.require:
        demand(actor, permission)
    if not _HOUSE.require or not actor.is_operator:
        raise KauriError("forbidden", f"{actor.label} lacks {permission}")


def _open(target: str, target_id: str) -> models.QuerySet[Proposal]:
    return Proposal.objects.filter(
        target=target, target_id=target_id, state__in=[Proposal.State.PENDING, Proposal.State.APPROVED]
    )


def open_for(target: str, target_id: str) -> Proposal | None:
    """The change of this row that waits, if any."""
    return _open(target, target_id).first()


def _row(row_type: Governed, target_id: str, *, for_change: bool = False) -> models.Model:
    if not target_id:
        return row_type.model()
    rows = row_type.model._default_manager.filter(pk=target_id)
    row = (lock(rows) if for_change else rows).first()
    if row is None:
        raise KauriError("not_found", f"no {row_type.name} {target_id}")
    return row


def _assign(row: models.Model, values: Mapping[str, Any]) -> None:
    for name, value in values.items():
        field: Any = row._meta.get_field(name)
        try:
            setattr(row, field.attname, field.to_python(value) if value is not None else None)
        except ValidationError as exc:
            raise KauriError("validation_error", fields={name: " ".join(exc.messages)}) from None


def _check(row: models.Model) -> None:
    try:
        row.full_clean()
    except ValidationError as exc:
        faults = {
            "row" if name == NON_FIELD_ERRORS else name: " ".join(messages)
            for name, messages in exc.message_dict.items()
        }
        raise KauriError("validation_error", "; ".join(faults.values()), fields=faults) from None
    except ObjectDoesNotExist as exc:
        raise KauriError("validation_error", str(exc)) from None


def _locked(proposal_id: uuid.UUID) -> Proposal:
    proposal = lock(Proposal.objects.filter(public_id=proposal_id)).first()
    if proposal is None:
        raise KauriError("not_found")
    return proposal


def _record(proposal: Proposal, verb: str, actor: Actor, reason: str) -> None:
    audit(
        actor,
        verb,
        object_type=proposal.target.partition(".")[2],
        object_id=proposal.target_id or proposal.public_id,
        label=proposal.label,
        before=proposal.before,
        after=proposal.after,
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
