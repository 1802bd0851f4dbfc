"""What operators do with a case: look, approve, reject, ask again."""

from __future__ import annotations

import uuid
from collections.abc import Iterable

from django.db import transaction

from kauri.account.cases import files, machine
from kauri.account.cases.provider import wake
from kauri.account.models import VerificationAnswer, VerificationCase, VerificationDocument
from kauri.account.selectors import require_permission, require_scope
from kauri.account.states import OPERATOR_DECIDES, CaseState, DocumentKind, RejectReason
from kauri.common.actor import Actor
from kauri.common.errors import KauriError
from kauri.common.locks import lock
from kauri.core.audit import audit

DECIDE = "account.verify_user"
OPEN_DOCUMENT = "account.open_verificationdocument"
MAX_WORDS = 1000
_PLAYS = {
    VerificationAnswer.Verdict.APPROVED.value: VerificationCase.Call.PLAY_APPROVED,
    VerificationAnswer.Verdict.RETRY.value: VerificationCase.Call.PLAY_RETRY,
    VerificationAnswer.Verdict.REJECTED.value: VerificationCase.Call.PLAY_REJECTED,
}


@transaction.atomic
def case_approve(*, case_id: uuid.UUID, reason: str, actor: Actor) -> VerificationCase:
    """The customer reaches the level. ``forbidden``, ``not_found``, ``wrong_state``, ``validation_error``."""
    case = _decidable(case_id, actor)
    said, before = _words(reason, "reason"), case.state
    machine.keep_answer(case, VerificationAnswer.Verdict.APPROVED, actor=actor)
    machine.approve(case, actor=actor, reason=said)
    machine.record(case, "verification_approve", actor=actor, before=before, reason=said)
    return case


@transaction.atomic
def case_reject(*, case_id: uuid.UUID, reason_code: str, words: str, actor: Actor) -> VerificationCase:
    """The customer does not reach the level, for a reason of the list and with words to them.

    ``forbidden``, ``not_found``, ``wrong_state``, ``validation_error``.
    """
    case = _decidable(case_id, actor)
    if reason_code not in RejectReason.values:
        raise KauriError("validation_error", fields={"reason_code": ", ".join(RejectReason.values)})
    said, before = _words(words, "words"), case.state
    verdict = VerificationAnswer.Verdict.REJECTED
    machine.keep_answer(case, verdict, actor=actor, reason_code=reason_code, words=said)
    machine.reject(case, actor=actor, reason_code=reason_code, words=said)
    machine.record(case, "verification_reject", actor=actor, before=before, reason=said)
    return case


@transaction.atomic
def case_ask_again(
    *, case_id: uuid.UUID, documents: Iterable[str], words: str, actor: Actor
) -> VerificationCase:
    """Back to the customer: with the documents wanted once more, or through the provider's entrance.

    ``forbidden``, ``not_found``, ``wrong_state``, ``validation_error``.
    """
    case = _decidable(case_id, actor)
    said, before, asked = _words(words, "words"), case.state, list(dict.fromkeys(documents))
    uploads = case.entrance_kind == VerificationCase.Entrance.UPLOAD
    if set(asked) - set(DocumentKind.values) or bool(asked) != uploads:
        wanted = "at least one kind of document" if uploads else "the provider asks for the documents"
        raise KauriError("validation_error", fields={"documents": wanted})
    machine.keep_answer(case, VerificationAnswer.Verdict.RETRY, actor=actor, words=said)
    machine.ask_again(case, actor=actor, asked=asked, words=said)
    machine.record(case, "verification_ask_again", actor=actor, before=before, reason=said)
    if not uploads:
        case.entrance_until = None
        wake(case, VerificationCase.Call.AGAIN)
    return case


@transaction.atomic
def case_play(*, case_id: uuid.UUID, verdict: str, actor: Actor) -> VerificationCase:
    """Let the provider's sandbox end its check so. ``wrong_state`` outside a sandbox or when decided."""
    require_permission(actor, DECIDE)
    case = _locked(case_id)
    require_scope(actor, case)
    if verdict not in _PLAYS:
        raise KauriError("validation_error", fields={"verdict": ", ".join(_PLAYS)})
    if not (case.is_open and case.provider.environment == "sandbox" and case.provider_reference):
        raise KauriError("wrong_state", "only an open case at a provider's sandbox")
    wake(case, _PLAYS[verdict])
    machine.record(case, "verification_play", actor=actor, before=case.state, reason=verdict)
    return case


@transaction.atomic
def document_open(*, document_id: uuid.UUID, actor: Actor) -> tuple[VerificationDocument, bytes]:
    """A document and its bytes, for one who may see it; that it was seen is on record.

    ``forbidden``, ``not_found``, ``internal_error`` when the file is not the one that was sent.
    """
    require_permission(actor, OPEN_DOCUMENT)
    rows = VerificationDocument.objects.select_related("case__user")
    document = rows.filter(public_id=document_id).first()
    if document is None:
        raise KauriError("not_found")
    require_scope(actor, document)
    data = files.load(document.file_name, document.sha256)
    audit(
        actor,
        "verification_document_view",
        object_type="verification_case",
        object_id=document.case_id,
        label=str(document.case),
        after={"document": str(document.public_id), "kind": document.kind},
    )
    return document, data


def _decidable(case_id: uuid.UUID, actor: Actor) -> VerificationCase:
    operator = require_permission(actor, DECIDE)
    case = _locked(case_id)
    require_scope(actor, case)
    if operator.pk == case.user_id:
        raise KauriError("forbidden", "nobody verifies themselves")
    if not case.is_open:
        raise KauriError("wrong_state", f"somebody has decided already: {CaseState(case.state).value}")
    if case.state not in OPERATOR_DECIDES:
        raise KauriError("wrong_state", "the customer has not handed everything in")
    return case


def _locked(case_id: uuid.UUID) -> VerificationCase:
    rows = VerificationCase.objects.select_related("user", "provider")
    case = lock(rows.filter(public_id=case_id)).first()
    if case is None:
        raise KauriError("not_found")
    return case


def _words(text: str, field: str) -> str:
    said = text.strip()
    if not said or len(said) > MAX_WORDS:
        raise KauriError("validation_error", fields={field: f"1 to {MAX_WORDS} characters"})
    return said
