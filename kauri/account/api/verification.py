"""Verification: start, documents, and where it stands."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any

from django.http import HttpRequest
from django.utils import translation
from ninja import File, Form, Router, Schema, Status, UploadedFile
from pydantic import Field

from kauri.account import cases
from kauri.account.api.caller import by_token, ip_of
from kauri.account.models import User, VerificationCase, VerificationDocument
from kauri.account.states import CUSTOMERS_TURN, CaseState, RejectReason, told_reason
from kauri.common import clock, throttle
from kauri.common.api import errors, language_of
from kauri.common.errors import KauriError

router = Router(tags=["Account"])

STARTS_PER_HOUR = 20
DOCUMENTS_PER_HOUR = 40
_SHOWN = 20


class VerificationStartIn(Schema):
    level: int = Field(..., examples=[1], description="The level to reach: 1, 2 or 3.")


class VerificationDocumentIn(Schema):
    """Beside the file: a JPEG, PNG or PDF of at most 10 MiB."""

    case_id: uuid.UUID
    kind: str = Field(
        ..., max_length=16, examples=["identity"], description="identity, selfie, address, funds or other."
    )


class EntranceOut(Schema):
    """How the customer goes on: ``link`` to open, ``token`` for the provider's SDK, or ``upload`` here."""

    kind: str = Field(..., examples=["link"])
    value: str = Field("", examples=["https://in.sumsub.com/websdk/p/sbx_1"])
    until: datetime | None = Field(None, examples=["2026-05-01T12:30:00Z"])


class DocumentOut(Schema):
    document_id: uuid.UUID
    kind: str = Field(..., examples=["identity"])
    content_type: str = Field(..., examples=["image/jpeg"])
    size: int = Field(..., examples=[184320])
    sha256: str = Field(..., examples=["9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"])
    sent: datetime = Field(..., examples=["2026-05-01T12:00:00Z"])


class CaseOut(Schema):
    """``asked`` names the documents still wanted; ``reason`` and ``words`` say why it was refused or asked again."""

    case_id: uuid.UUID
    level: int = Field(..., examples=[1])
    state: str = Field(..., examples=["waiting_for_customer"])
    entrance: EntranceOut | None = None
    asked: list[str] = Field(default_factory=list, examples=[["identity"]])
    documents: list[DocumentOut] = Field(default_factory=list)
    reason: str = Field("", examples=["unreadable"])
    reason_text: str = Field("", examples=["The documents cannot be read"])
    words: str = Field("", examples=["The photo is too dark."])
    created: datetime = Field(..., examples=["2026-05-01T12:00:00Z"])
    expires: datetime | None = Field(None, examples=["2026-05-31T12:00:00Z"])
    finished: datetime | None = None


class VerificationCaseOut(CaseOut):
    status: str = "success"


class VerificationOut(Schema):
    status: str = "success"
    level: int = Field(..., examples=[0], description="The level that is reached.")
    cases: list[CaseOut]


class VerificationDocumentOut(DocumentOut):
    status: str = "success"
    state: str = Field(..., examples=["waiting_for_operator"], description="The case's state now.")
    asked: list[str] = Field(default_factory=list, examples=[[]], description="Documents still wanted.")


@router.post(
    "/user/verification/start",
    response={
        200: VerificationCaseOut,
        **errors(
            "validation_error",
            "unauthenticated",
            "forbidden",
            "limit_exceeded",
            "operation_disabled",
            "wrong_state",
            "conflict",
            "rate_limited",
            "provider_unavailable",
        ),
    },
    operation_id="verification_start",
)
def verification_start(request: HttpRequest, data: VerificationStartIn) -> dict[str, Any]:
    """Start the way to a level, or go on with it.

    A provider's link or token is made in the background: while `entrance` is null, read
    `user/verification` again after a second. Call this again when an entrance has closed.
    """
    user = by_token(request)
    _count(request, user, "start", STARTS_PER_HOUR)
    case = cases.verification_start(user_id=user.pk, level=data.level, ip=ip_of(request))
    return case_body(case, language_of(request))


@router.get(
    "/user/verification",
    response={200: VerificationOut, **errors("unauthenticated", "forbidden", "rate_limited")},
    operation_id="verification_get",
)
def verification_get(request: HttpRequest) -> dict[str, Any]:
    """The level that is reached, and the customer's last cases, newest first."""
    user = by_token(request)
    rows = VerificationCase.objects.filter(user=user).prefetch_related("documents")[:_SHOWN]
    language = language_of(request)
    return {"level": user.verification_level, "cases": [case_body(case, language) for case in rows]}


@router.post(
    "/user/verification/document",
    response={
        201: VerificationDocumentOut,
        **errors(
            "validation_error",
            "unauthenticated",
            "forbidden",
            "not_found",
            "wrong_state",
            "limit_exceeded",
            "payload_too_large",
            "rate_limited",
        ),
    },
    operation_id="verification_document_add",
)
def verification_document_add(
    request: HttpRequest, data: Form[VerificationDocumentIn], file: File[UploadedFile]
) -> Status:
    """Hand in one document. The last one that was asked for sends the case to an operator."""
    user = by_token(request)
    _count(request, user, "document", DOCUMENTS_PER_HOUR)
    document = cases.document_add(
        user_id=user.pk, case_id=data.case_id, kind=data.kind, data=file.read(), ip=ip_of(request)
    )
    case = VerificationCase.objects.get(pk=document.case_id)
    return Status(201, {**document_body(document), "state": case.state, "asked": case.asked})


def case_body(case: VerificationCase, language: str) -> dict[str, Any]:
    """A case as its customer sees it."""
    reason = told_reason(case.reason_code)
    with translation.override(language):
        said = str(RejectReason(reason).label) if reason else ""
    return {
        "case_id": case.public_id,
        "level": case.level,
        "state": case.state,
        "entrance": _entrance(case),
        "asked": case.asked,
        "documents": [document_body(document) for document in case.documents.all()],
        "reason": reason,
        "reason_text": said,
        "words": case.words,
        "created": case.created_at,
        "expires": case.expires_at,
        "finished": case.finished_at,
    }


def document_body(document: VerificationDocument) -> dict[str, Any]:
    return {
        "document_id": document.public_id,
        "kind": document.kind,
        "content_type": document.content_type,
        "size": document.size,
        "sha256": document.sha256,
        "sent": document.created_at,
    }


def _entrance(case: VerificationCase) -> dict[str, Any] | None:
    """The way on, while it is open and of use."""
    kinds = VerificationCase.Entrance
    if case.entrance_kind == kinds.UPLOAD and case.state in {*CUSTOMERS_TURN, CaseState.WAITING_FOR_OPERATOR}:
        return {"kind": kinds.UPLOAD.value}
    if case.state not in CUSTOMERS_TURN or case.entrance_until is None or case.entrance_until <= clock.now():
        return None
    return {"kind": case.entrance_kind, "value": case.entrance_secret, "until": case.entrance_until}


def _count(request: HttpRequest, user: User, what: str, limit: int) -> None:
    window = throttle.hit(f"verification:{what}:{user.pk}", limit, 3600)
    if window.exceeded:
        request.rate_window = window  # type: ignore[attr-defined]
        raise KauriError("rate_limited")
