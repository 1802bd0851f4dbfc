"""The only writer of a case's state: one table of moves, one row of history for each."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final

from django.utils import translation

from kauri.account.models import User, VerificationAnswer, VerificationCase, VerificationMove
from kauri.account.services import letter, level_set
from kauri.account.states import (
    CUSTOMERS_TURN,
    FINAL,
    MOVES,
    CaseState,
    DocumentKind,
    RejectReason,
    told_reason,
)
from kauri.common import clock
from kauri.common.actor import Actor, request_id
from kauri.common.errors import KauriError
from kauri.common.locks import lock
from kauri.core.audit import audit
from kauri.core.outbox import emit

#: How long a customer has to hand in what is asked.
PATIENCE: Final = timedelta(days=30)


def begin(case: VerificationCase, *, actor: Actor) -> None:
    """Save a new case with the first row of its history."""
    case.state = CaseState.STARTED
    case.expires_at = clock.now() + PATIENCE
    case.save(force_insert=True)
    _history(case, "", "", actor)


def move(case: VerificationCase, to: CaseState, *, actor: Actor, reason: str = "") -> None:
    """Move a locked case. Raises ``wrong_state`` for a move that the table does not list."""
    current = CaseState(case.state)
    if to not in MOVES.get(current, frozenset()):
        raise KauriError("wrong_state", f"a case that is {current.value} cannot become {to.value}")
    now = clock.now()
    case.state = to
    case.updated_at = now
    case.expires_at = now + PATIENCE if to in CUSTOMERS_TURN else None
    if to in FINAL:
        case.finished_at = now
        case.call, case.next_attempt_at, case.lease_until = VerificationCase.Call.NONE, None, None
        case.entrance_kind, case.entrance_secret, case.entrance_until = "", "", None
    case.save()
    _history(case, current.value, reason, actor)


def approve(case: VerificationCase, *, actor: Actor, reason: str) -> None:
    """The end that was hoped for: the level is set, never lowered, and the customer is told."""
    move(case, CaseState.APPROVED, actor=actor, reason=reason)
    user = lock(User.objects.filter(pk=case.user_id)).get()
    level_set(user=user, level=max(case.level, user.verification_level), reason=reason, actor=actor)
    letter(user, "verification_approved", {"level": str(case.level)})


def reject(case: VerificationCase, *, actor: Actor, reason_code: str, words: str) -> None:
    """The other end: the reason is kept, and the customer told what may be told."""
    case.reason_code, case.words = reason_code, words
    move(case, CaseState.REJECTED, actor=actor, reason=str(RejectReason(reason_code).value))
    emit(
        "customer.rejected",
        subject_type="user",
        subject_id=case.user.public_id,
        payload={"user_id": str(case.user.public_id), "level": case.level},
    )
    with translation.override(case.user.language):
        said = str(RejectReason(told_reason(reason_code)).label)
    letter(case.user, "verification_rejected", {"level": str(case.level), "reason": said, "words": words})


def ask_again(case: VerificationCase, *, actor: Actor, asked: list[str], words: str) -> None:
    """Back to the customer, with words and the documents that are wanted once more."""
    case.asked, case.words, case.reason_code = asked, words, ""
    move(case, CaseState.ASKED_AGAIN, actor=actor, reason=words)
    tell_again(case)


def tell_again(case: VerificationCase) -> None:
    """The letter that asks for more."""
    with translation.override(case.user.language):
        wanted = ", ".join(str(DocumentKind(kind).label) for kind in case.asked)
    letter(
        case.user, "verification_again", {"level": str(case.level), "words": case.words, "documents": wanted}
    )


def keep_answer(case: VerificationCase, verdict: str, *, actor: Actor, **fields: Any) -> VerificationAnswer:
    """Write down what an operator or a provider said."""
    row = VerificationAnswer(case=case, verdict=verdict, at=clock.now(), **fields)
    row.stamp(actor, request_id.get())
    row.save(force_insert=True)
    return row


def record(case: VerificationCase, verb: str, *, actor: Actor, before: str, reason: str = "") -> None:
    """The audit's entry of an act on a case."""
    audit(
        actor,
        verb,
        object_type="verification_case",
        object_id=case.pk,
        label=str(case),
        before={"state": before},
        after={"state": case.state, "level": case.level, "reason_code": case.reason_code},
        reason=reason,
    )


def _history(case: VerificationCase, before: str, reason: str, actor: Actor) -> None:
    row = VerificationMove(case=case, from_state=before, to_state=case.state, reason=reason, at=clock.now())
    row.stamp(actor, request_id.get())
    row.save(force_insert=True)
