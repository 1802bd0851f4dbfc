"""What a customer does: start a verification, and hand in documents."""

from __future__ import annotations

import uuid
from contextlib import suppress
from datetime import timedelta
from typing import Final

from django.db import IntegrityError, transaction

from kauri.account.cases import files, machine
from kauri.account.cases.provider import verifier_of, wake
from kauri.account.models import User, VerificationCase, VerificationDocument
from kauri.account.services import MAX_LEVEL
from kauri.account.states import CUSTOMERS_TURN, OPEN, CaseState, DocumentKind
from kauri.account.verifier import Verifier, VerifierError
from kauri.common import clock
from kauri.common.errors import KauriError
from kauri.common.locks import lock
from kauri.core.audit import audit
from kauri.core.models import Provider
from kauri.core.selectors import switch_is_on

#: Refusals of one level in 30 days after which nobody starts it again.
MAX_REFUSALS: Final = 5
MAX_DOCUMENTS: Final = 20
_MONTH: Final = timedelta(days=30)
#: An entrance that closes sooner is of no use to anybody.
_ENTRANCE_LEFT: Final = timedelta(minutes=2)


def verification_start(*, user_id: int, level: int, ip: str) -> VerificationCase:
    """The customer's open case for ``level``, made if there is none; a closed entrance is asked for anew.

    ``validation_error`` (no such level), ``wrong_state`` (has it already), ``limit_exceeded`` (refused
    too often), ``operation_disabled`` (no provider verifies it).
    """
    if not 1 <= level <= MAX_LEVEL:
        raise KauriError("validation_error", fields={"level": f"1 to {MAX_LEVEL}"})
    with transaction.atomic():
        case = _open_case(user_id, level)
        if case is not None:
            _renew_entrance(case)
            return case
    provider, verifier = _provider_for(level)
    try:
        with transaction.atomic():
            return _begin(user_id, level, provider, verifier, ip)
    except IntegrityError:  # started by the same customer this very moment
        with transaction.atomic():
            case = _open_case(user_id, level)
        if case is None:
            raise KauriError("conflict") from None
        return case


def document_add(
    *, user_id: int, case_id: uuid.UUID, kind: str, data: bytes, ip: str
) -> VerificationDocument:
    """Keep one document of the customer's own case; the same bytes again are the document that is there.

    With the last document that was asked for the case goes to an operator. ``not_found``,
    ``wrong_state`` (decided, or the provider takes the documents), ``limit_exceeded``,
    ``payload_too_large``, ``validation_error`` (what it is, or what it is for).
    """
    if kind not in DocumentKind.values:
        raise KauriError("validation_error", fields={"kind": ", ".join(DocumentKind.values)})
    mine = VerificationCase.objects.filter(public_id=case_id, user_id=user_id)
    # Before anything is decoded or stored: whoever may not upload costs nothing.
    _must_take(mine.select_related("provider").first())
    looked = files.look(data)
    name = files.store(data)
    kept = False
    try:
        with transaction.atomic():
            case = _must_take(lock(mine.select_related("provider", "user")).first())
            known = case.documents.filter(kind=kind, sha256=looked.sha256).first()
            if known is not None:
                return known
            document = _add(case, kind, looked, len(data), name, ip)
        kept = True
        return document
    finally:
        if not kept:
            files.discard(name)


def _add(
    case: VerificationCase, kind: str, looked: files.Looked, size: int, name: str, ip: str
) -> VerificationDocument:
    if case.documents.count() >= MAX_DOCUMENTS:
        raise KauriError("limit_exceeded", f"at most {MAX_DOCUMENTS} documents")
    document = VerificationDocument.objects.create(
        case=case,
        kind=kind,
        content_type=looked.content_type,
        size=size,
        sha256=looked.sha256,
        file_name=name,
        ip=ip or None,
    )
    actor = case.user.as_actor(ip)
    audit(
        actor,
        "verification_document_add",
        object_type="verification_case",
        object_id=case.pk,
        label=str(case),
        after={"document": str(document.public_id), "kind": kind, "sha256": looked.sha256},
    )
    if kind in case.asked:
        case.asked = [wanted for wanted in case.asked if wanted != kind]
        case.save(update_fields=["asked"])
        if not case.asked:
            machine.move(case, CaseState.WAITING_FOR_OPERATOR, actor=actor, reason="everything is here")
    return document


def _must_take(case: VerificationCase | None) -> VerificationCase:
    if case is None:
        raise KauriError("not_found")
    if not case.is_open:
        raise KauriError("wrong_state", "the case is closed")
    if case.entrance_kind != VerificationCase.Entrance.UPLOAD:
        raise KauriError("wrong_state", "the provider takes the documents itself")
    return case


def _open_case(user_id: int, level: int) -> VerificationCase | None:
    return lock(
        VerificationCase.objects.filter(
            user_id=user_id, level=level, state__in=[state.value for state in OPEN]
        ).select_related("provider")
    ).first()


def _renew_entrance(case: VerificationCase) -> None:
    """Ask for a fresh link or token when the last one is used up by time."""
    calls = VerificationCase.Call
    if (
        case.entrance_kind != VerificationCase.Entrance.UPLOAD
        and case.state in CUSTOMERS_TURN
        and case.call in {calls.NONE, calls.STATUS}
        and (case.entrance_until is None or case.entrance_until - clock.now() < _ENTRANCE_LEFT)
    ):
        wake(case, calls.START)


def _provider_for(level: int) -> tuple[Provider, Verifier]:
    """The first healthy one that is switched on and verifies ``level``; broken settings are passed by.

    ``operation_disabled`` when nobody can, ``provider_unavailable`` when those who can are unhealthy.
    """
    able = []
    rows = Provider.objects.filter(kind=Provider.Kind.VERIFICATION, is_enabled=True)
    for provider in rows.order_by("priority", "code"):
        if not switch_is_on(f"provider:{provider.code}"):
            continue
        with suppress(VerifierError):
            verifier = verifier_of(provider)
            if level in verifier.levels():
                able.append((provider, verifier))
    if not able:
        raise KauriError("operation_disabled", f"nobody verifies level {level} now")
    for provider, verifier in able:
        if provider.health != Provider.HealthState.BAD:
            return provider, verifier
    raise KauriError("provider_unavailable")


def _begin(user_id: int, level: int, provider: Provider, verifier: Verifier, ip: str) -> VerificationCase:
    user = lock(User.objects.filter(pk=user_id, is_staff=False, is_active=True)).first()
    if user is None:
        raise KauriError("not_found")
    if user.verification_level >= level:
        raise KauriError("wrong_state", "this level is reached")
    refused = VerificationCase.objects.filter(
        user=user, level=level, state=CaseState.REJECTED, finished_at__gt=clock.now() - _MONTH
    ).count()
    if refused >= MAX_REFUSALS:
        raise KauriError("limit_exceeded", "refused too often; write to support")
    actor = user.as_actor(ip)
    case = VerificationCase(user=user, level=level, provider=provider)
    if verifier.takes_documents:
        case.entrance_kind = VerificationCase.Entrance.UPLOAD
        case.asked = list(verifier.documents(level))
    machine.begin(case, actor=actor)
    machine.record(case, "verification_start", actor=actor, before="")
    if verifier.takes_documents:
        machine.move(case, CaseState.WAITING_FOR_CUSTOMER, actor=actor)
    else:
        wake(case, VerificationCase.Call.START)
    return case
