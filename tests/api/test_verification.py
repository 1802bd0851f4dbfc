"""Verification over HTTP: tokens only, one's own cases only, and refusals that say what is wrong."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile

from kauri.account import cases, tokens
from kauri.account.api import verification
from kauri.account.models import ApiKey, User, VerificationCase, VerificationDocument
from kauri.common import uploads
from kauri.core.models import Provider
from tests.api.client import ApiClient
from tests.kauri.account.papers import PDF, picture

START, STATUS, DOCUMENT = (
    "/api/v1/user/verification/start",
    "/api/v1/user/verification",
    "/api/v1/user/verification/document",
)
Make = Callable[..., User]


def caller(user: User) -> ApiClient:
    return ApiClient(token=tokens.issue(user))


def upload(api: ApiClient, case_id: object, kind: str = "identity", data: bytes | None = None) -> Any:
    file = SimpleUploadedFile("../../etc/passport.html", data or picture(), content_type="text/html")
    return api.http.post(
        DOCUMENT,
        {"case_id": str(case_id), "kind": kind, "file": file},
        headers={"Authorization": f"Bearer {api.token}"},
    )


def test_a_customer_hands_in_and_follows(customer: Make, operator: Callable[..., Any]) -> None:
    user = customer(verification_level=0)
    api = caller(user)
    assert api.get(STATUS).json() == {"status": "success", "level": 0, "cases": []}
    answer = api.post(START, {"level": 1})
    assert answer.status_code == 200
    body = answer.json()
    case_id = body["case_id"]
    assert {name: body[name] for name in ("status", "level", "state", "entrance", "asked", "documents")} == {
        "status": "success",
        "level": 1,
        "state": "waiting_for_customer",
        "entrance": {"kind": "upload", "value": "", "until": None},
        "asked": ["identity"],
        "documents": [],
    }
    sent = upload(api, case_id)
    assert sent.status_code == 201
    said = sent.json()
    assert (said["kind"], said["content_type"], said["state"], said["asked"]) == (
        "identity",
        "image/jpeg",
        "waiting_for_operator",
        [],
    )
    cases.case_reject(
        case_id=uuid.UUID(case_id), reason_code="forged", words="Please visit us.", actor=operator("Senior")
    )
    [case] = api.get(STATUS, **{"Accept-Language": "uk"}).json()["cases"]
    assert (case["state"], case["reason"], case["reason_text"], case["words"]) == (
        "rejected",
        "other",
        "Інша причина",
        "Please visit us.",
    )
    assert (case["entrance"], case["finished"] is not None) == (None, True)
    assert [document["document_id"] for document in case["documents"]] == [said["document_id"]]


def test_nothing_of_the_file_but_its_bytes_is_kept(customer: Make) -> None:
    api = caller(customer(verification_level=0))
    case_id = api.post(START, {"level": 1}).json()["case_id"]
    upload(api, case_id, data=PDF)
    document = VerificationDocument.objects.get()
    assert document.content_type == "application/pdf"
    assert set(document.file_name) <= set("0123456789abcdef")


def test_others_see_and_send_nothing(customer: Make) -> None:
    mine, other = caller(customer(verification_level=0)), caller(customer(verification_level=0))
    case_id = mine.post(START, {"level": 1}).json()["case_id"]
    assert other.get(STATUS).json()["cases"] == []
    refused = upload(other, case_id)
    assert (refused.status_code, refused.json()["code"]) == (404, "not_found")
    missing = upload(other, uuid.uuid4())
    assert {**refused.json(), "request_id": ""} == {**missing.json(), "request_id": ""}
    assert VerificationDocument.objects.count() == 0


def test_tokens_only(customer: Make) -> None:
    user = customer(verification_level=0)
    key = ApiKey.objects.create(
        user=user, name="k", key="k" * 40, secret="s", scopes=["read", "trade"], state="active"
    )
    signed = ApiClient(key=key.key, secret="s")
    for answer in (signed.post(START, {"level": 1}), signed.get(STATUS)):
        assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
    for answer in (ApiClient().post(START, {"level": 1}), ApiClient().get(STATUS), upload(ApiClient(), 1)):
        assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated")
    assert VerificationCase.objects.count() == 0


@pytest.mark.parametrize("level", [0, 4, "one", None, 1.5])
def test_a_level_that_is_none(customer: Make, level: Any) -> None:
    answer = caller(customer(verification_level=0)).post(START, {"level": level})
    assert (answer.status_code, answer.json()["code"]) == (400, "validation_error")
    assert list(answer.json()["field_errors"]) in (["level"], ["data.level"])


def test_refusals_have_their_codes(customer: Make) -> None:
    user = customer(verification_level=1)
    api = caller(user)
    reached = api.post(START, {"level": 1})
    assert (reached.status_code, reached.json()["code"]) == (409, "wrong_state")
    Provider.objects.filter(kind="verification").update(is_enabled=False)
    nobody = api.post(START, {"level": 2})
    assert (nobody.status_code, nobody.json()["code"]) == (403, "operation_disabled")
    Provider.objects.filter(code="manual").update(is_enabled=True)
    case_id = api.post(START, {"level": 2}).json()["case_id"]
    for kind, data, field in (("cat", PDF, "kind"), ("identity", b"<html>", "file")):
        wrong = upload(api, case_id, kind, data)
        assert (wrong.status_code, wrong.json()["code"]) == (400, "validation_error")
        assert list(wrong.json()["field_errors"]) == [field]
    bare = api.http.post(DOCUMENT, {"case_id": case_id}, headers={"Authorization": f"Bearer {api.token}"})
    assert (bare.status_code, bare.json()["code"]) == (400, "validation_error")


def test_large_uploads_are_refused_before_they_are_read(
    customer: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    api = caller(customer(verification_level=0))
    case_id = api.post(START, {"level": 1}).json()["case_id"]
    # Larger than what Django would keep in memory by itself, smaller than a document may be.
    big = PDF.replace(b"%%EOF", b"%" + b"x" * 3_000_000 + b"\n%%EOF")
    assert upload(api, case_id, data=big).status_code == 201
    monkeypatch.setattr(uploads, "MAX_REQUEST", 1000)
    refused = upload(api, case_id, "selfie", data=big)
    assert (refused.status_code, refused.json()["code"]) == (413, "payload_too_large")
    assert VerificationDocument.objects.count() == 1


def test_starts_and_uploads_are_counted(customer: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verification, "STARTS_PER_HOUR", 2)
    monkeypatch.setattr(verification, "DOCUMENTS_PER_HOUR", 1)
    api, other = caller(customer(verification_level=0)), caller(customer(verification_level=0))
    case_id = api.post(START, {"level": 1}).json()["case_id"]
    assert api.post(START, {"level": 1}).status_code == 200
    assert api.post(START, {"level": 1}).json()["code"] == "rate_limited"
    assert upload(api, case_id).status_code == 201
    stopped = upload(api, case_id, "selfie", PDF)
    assert (stopped.status_code, stopped.json()["code"]) == (429, "rate_limited")
    assert int(stopped["Retry-After"]) > 0
    assert other.post(START, {"level": 1}).status_code == 200
