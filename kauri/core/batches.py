"""Several changes proposed together, and several decided with one press."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

from django.db import transaction

from kauri.common.actor import Actor
from kauri.common.errors import KauriError
from kauri.core.again import code_again, spend
from kauri.core.governing import governed, require
from kauri.core.models import Proposal
from kauri.core.proposals import DECIDE, approve, propose, reject


@dataclass(frozen=True, slots=True)
class Change:
    """What one row shall become: ``target_id`` '' is a new row, ``values`` are the fields that change."""

    target: str
    target_id: str
    values: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a press did to one proposal: ``proposal`` as it stands now, or why it was refused."""

    proposal_id: uuid.UUID
    proposal: Proposal | None
    error: KauriError | None


def propose_all(
    changes: Sequence[Change],
    *,
    reason: str,
    actor: Actor,
    code: str = "",
    batch: uuid.UUID | None = None,
    effective_from: datetime | None = None,
) -> list[Proposal]:
    """Propose all of ``changes``, or none of them, with one code used up where any kind of row asks for it.

    Raises what :func:`kauri.core.proposals.propose` does for the first that is refused.
    """
    asks = any("propose" in governed(change.target).codes for change in changes)
    kind = changes[0].target.partition(".")[2] if changes else "proposal"
    guard = code_again(actor, code, "proposal_make", object_type=kind, object_id=batch or "several")
    with guard, transaction.atomic():
        spent = spend(actor, code) if asks else ""
        return [
            propose(
                target=change.target,
                target_id=change.target_id,
                values=change.values,
                reason=reason,
                actor=actor,
                code=spent,
                effective_from=effective_from,
                batch=batch,
            )
            for change in changes
        ]


def approve_all(
    proposal_ids: Sequence[uuid.UUID], *, actor: Actor, reason: str = "", code: str = ""
) -> list[Outcome]:
    """Approve each in a transaction of its own, and say of each how it went.

    The code is used up once, before the first, where any of them asks for it. Raises ``forbidden`` and the
    code's refusals, with nothing decided.
    """
    require(actor, DECIDE)
    spent = ""
    if asks_code(proposal_ids):
        guard = code_again(actor, code, "proposal_approve", object_type="proposal", object_id="several")
        with guard, transaction.atomic():
            spent = spend(actor, code)
    return [
        _outcome(one, partial(approve, proposal_id=one, actor=actor, reason=reason, code=spent))
        for one in proposal_ids
    ]


def reject_all(proposal_ids: Sequence[uuid.UUID], *, actor: Actor, reason: str) -> list[Outcome]:
    """Reject each in a transaction of its own, and say of each how it went. ``validation_error`` without words."""
    require(actor, DECIDE)
    if not reason.strip():
        raise KauriError("validation_error", fields={"reason": "required"})
    return [
        _outcome(one, partial(reject, proposal_id=one, actor=actor, reason=reason)) for one in proposal_ids
    ]


def asks_code(proposal_ids: Sequence[uuid.UUID]) -> bool:
    """Whether approving any of them asks for the operator's one-time code."""
    targets = Proposal.objects.filter(public_id__in=proposal_ids).order_by().values_list("target", flat=True)
    return any("approve" in governed(target).codes for target in targets.distinct())


def _outcome(proposal_id: uuid.UUID, decide: Callable[[], Proposal]) -> Outcome:
    try:
        return Outcome(proposal_id, decide(), None)
    except KauriError as error:
        return Outcome(proposal_id, None, error)
