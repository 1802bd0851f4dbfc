"""A verification by hand: from the first document to the level, and every way that it may not go."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import DatabaseError, IntegrityError, transaction
from PIL import Image

from kauri.account import cases
from kauri.account.cases import customer as customers_part
from kauri.account.cases import files
from kauri.account.models import (
    User,
    VerificationAnswer,
    VerificationCase,
    VerificationDocument,
    VerificationMove,
)
from kauri.account.states import MOVES, CaseState
from kauri.common import clock, crypto
from kauri.common.actor import Actor
from kauri.common.errors import KauriError
from kauri.core.models import AuditEntry, Provider
from tests.kauri.account.papers import PDF, hand_in, picture, started, waiting
from tests.moves import as_owner, code_of, events, together

Make = Callable[..., User]
Op = Callable[..., Actor]


def path_of(case: VerificationCase) -> list[str]:
    return [move.to_state for move in case.moves.order_by("id")]


def letter_names() -> list[str]:
    return [event.payload["letter"] for event in events("letter")]


def letter_params(number: int = -1) -> dict[str, str]:
    found: dict[str, str] = json.loads(crypto.decrypt(events("letter")[number].payload["sealed"]))
    return found


# -- the way to a level -----------------------------------------------------------------------------


def test_from_a_document_to_the_level(customer: Make, operator: Op) -> None:
    user, actor = customer(verification_level=0), operator("Compliance")
    case = started(user)
    assert (case.provider.code, case.state, case.asked) == ("manual", "waiting_for_customer", ["identity"])
    assert (case.entrance_kind, case.expires_at is not None) == ("upload", True)
    document = hand_in(case)
    case.refresh_from_db()
    assert (case.state, case.asked, case.expires_at) == ("waiting_for_operator", [], None)
    assert (document.content_type, document.size) == ("image/jpeg", len(picture()))
    cases.case_approve(case_id=case.public_id, reason="papers are good", actor=actor)
    case.refresh_from_db()
    user.refresh_from_db()
    assert (case.state, user.verification_level) == ("approved", 1)
    assert path_of(case) == ["started", "waiting_for_customer", "waiting_for_operator", "approved"]
    assert [move.actor_label for move in case.moves.order_by("id")] == [user.email] * 3 + [actor.label]
    decision = user.verification_decisions.get()
    assert (decision.from_level, decision.to_level, decision.actor_label) == (0, 1, actor.label)
    [answer] = case.answers.all()
    assert (answer.verdict, answer.actor_kind) == ("approved", "operator")
    [event] = events("customer.verified")
    assert event.payload == {"user_id": str(user.public_id), "level": 1}
    assert letter_names() == ["verification_approved"]
    verbs = AuditEntry.objects.filter(verb__startswith="verification_").order_by("id")
    assert [entry.verb for entry in verbs] == [
        "verification_start",
        "verification_document_add",
        "verification_approve",
    ]


def test_refused_with_a_reason_and_words(customer: Make, operator: Op) -> None:
    user, actor = customer(verification_level=0, language="uk"), operator("Compliance")
    case = waiting(user)
    cases.case_reject(
        case_id=case.public_id, reason_code="outdated", words="Паспорт прострочено.", actor=actor
    )
    case.refresh_from_db()
    user.refresh_from_db()
    assert (case.state, case.reason_code, user.verification_level) == ("rejected", "outdated", 0)
    assert letter_params() == {
        "level": "1",
        "phrase": "",
        "reason": "Строк дії документа минув",
        "words": "Паспорт прострочено.",
    }
    assert events("customer.verified") == []
    assert [event.payload["level"] for event in events("customer.rejected")] == [1]
    again = started(user)
    assert again.pk != case.pk


def test_a_reason_that_would_warn_is_not_told(customer: Make, operator: Op) -> None:
    case = waiting(customer(verification_level=0))
    cases.case_reject(case_id=case.public_id, reason_code="listed", words="Sorry.", actor=operator("Senior"))
    assert letter_params()["reason"] == "Another reason"
    case.refresh_from_db()
    assert case.reason_code == "listed"


def test_asked_again_and_sent_again(customer: Make, operator: Op) -> None:
    user, actor = customer(verification_level=0), operator("Compliance")
    case = waiting(user)
    cases.case_ask_again(
        case_id=case.public_id, documents=["identity", "selfie"], words="Too dark.", actor=actor
    )
    case.refresh_from_db()
    assert (case.state, case.asked, case.words) == ("asked_again", ["identity", "selfie"], "Too dark.")
    assert letter_params() == {
        "level": "1",
        "phrase": "",
        "words": "Too dark.",
        "documents": "Passport or identity card, Photo of the customer with the document",
    }
    hand_in(case, "identity", picture(colour="white"))
    case.refresh_from_db()
    assert (case.state, case.asked) == ("asked_again", ["selfie"])
    hand_in(case, "selfie", PDF)
    case.refresh_from_db()
    assert case.state == "waiting_for_operator"
    assert [answer.verdict for answer in case.answers.all()] == ["retry"]


def test_a_level_is_never_lowered_by_a_case(customer: Make, operator: Op) -> None:
    user = customer(verification_level=0)
    case = waiting(user)
    User.objects.filter(pk=user.pk).update(verification_level=3)
    cases.case_approve(case_id=case.public_id, reason="late", actor=operator("Compliance"))
    user.refresh_from_db()
    assert user.verification_level == 3


def test_who_does_not_come_is_not_waited_for(customer: Make) -> None:
    case, other = started(customer(verification_level=0)), waiting(customer(verification_level=0))
    with clock.standing_at(clock.now() + timedelta(days=29)):
        assert cases.cases_sweep() == 0
    with clock.standing_at(clock.now() + timedelta(days=31)):
        assert cases.cases_sweep() == 1
        assert cases.cases_sweep() == 0
    case.refresh_from_db()
    other.refresh_from_db()
    assert (case.state, other.state) == ("expired", "waiting_for_operator")
    assert case.moves.last().actor_kind == "system"


# -- what is refused --------------------------------------------------------------------------------


def test_a_case_is_started_once(customer: Make) -> None:
    user = customer(verification_level=0)
    assert started(user).pk == started(user).pk
    assert VerificationCase.objects.count() == 1
    assert started(user, 2).pk != started(user).pk


@pytest.mark.parametrize("level", [-1, 0, 4])
def test_no_such_level(customer: Make, level: int) -> None:
    user = customer(verification_level=0)
    assert code_of(lambda: started(user, level)) == "validation_error"


def test_a_level_that_is_reached_is_not_started(customer: Make) -> None:
    user = customer(verification_level=2)
    assert code_of(lambda: started(user, 2)) == "wrong_state"
    assert started(user, 3).level == 3


def test_nobody_verifies_when_nobody_is_switched_on(customer: Make) -> None:
    user = customer(verification_level=0)
    Provider.objects.filter(code="manual").update(health="bad")
    assert code_of(lambda: started(user)) == "provider_unavailable"
    Provider.objects.filter(code="manual").update(is_enabled=False)
    assert code_of(lambda: started(user)) == "operation_disabled"
    assert VerificationCase.objects.count() == 0


def test_refused_too_often(customer: Make, operator: Op, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(customers_part, "MAX_REFUSALS", 2)
    user, actor = customer(verification_level=0), operator("Compliance")
    for _ in range(2):
        case = waiting(user)
        cases.case_reject(case_id=case.public_id, reason_code="other", words="no", actor=actor)
    assert code_of(lambda: started(user)) == "limit_exceeded"
    with clock.standing_at(clock.now() + timedelta(days=31)):
        assert started(user).state == "waiting_for_customer"


@pytest.mark.parametrize("role", ["Support", "Treasury", "Finance", "Administrator", "Auditor"])
def test_only_those_who_may_decide_and_look(customer: Make, operator: Op, role: str) -> None:
    user, actor = customer(verification_level=0), operator(role)
    case = waiting(user)
    acts: list[Callable[[], Any]] = [
        lambda: cases.case_approve(case_id=case.public_id, reason="x", actor=actor),
        lambda: cases.case_reject(case_id=case.public_id, reason_code="other", words="x", actor=actor),
        lambda: cases.case_ask_again(case_id=case.public_id, documents=["identity"], words="x", actor=actor),
        lambda: cases.document_open(document_id=case.documents.get().public_id, actor=actor),
        lambda: cases.case_play(case_id=case.public_id, verdict="approved", actor=actor),
    ]
    assert {code_of(act) for act in acts} == {"forbidden"}
    case.refresh_from_db()
    user.refresh_from_db()
    assert (case.state, user.verification_level, case.answers.count()) == ("waiting_for_operator", 0, 0)


def test_customers_decide_nothing_and_nobody_verifies_themselves(customer: Make, operator: Op) -> None:
    user, actor = customer(verification_level=0), operator("Compliance")
    case = waiting(user)
    own = user.as_actor()
    assert code_of(lambda: cases.case_approve(case_id=case.public_id, reason="x", actor=own)) == "forbidden"
    # An operator who is their own customer.
    User.objects.filter(pk=user.pk).update(is_staff=True)
    user.refresh_from_db()
    user.groups.add(User.objects.get(pk=int(actor.id)).groups.get())
    self_actor = user.as_actor()
    refused = code_of(lambda: cases.case_approve(case_id=case.public_id, reason="x", actor=self_actor))
    assert refused == "forbidden"
    assert VerificationAnswer.objects.count() == 0


def test_a_decision_needs_words_and_a_listed_reason(customer: Make, operator: Op) -> None:
    case, actor = waiting(customer(verification_level=0)), operator("Compliance")
    acts: list[Callable[[], Any]] = [
        lambda: cases.case_approve(case_id=case.public_id, reason="  ", actor=actor),
        lambda: cases.case_reject(case_id=case.public_id, reason_code="ugly", words="x", actor=actor),
        lambda: cases.case_reject(case_id=case.public_id, reason_code="other", words="", actor=actor),
        lambda: cases.case_reject(case_id=case.public_id, reason_code="other", words="x" * 1001, actor=actor),
        lambda: cases.case_ask_again(case_id=case.public_id, documents=[], words="x", actor=actor),
        lambda: cases.case_ask_again(case_id=case.public_id, documents=["a cat"], words="x", actor=actor),
    ]
    assert {code_of(act) for act in acts} == {"validation_error"}
    case.refresh_from_db()
    assert case.state == "waiting_for_operator"


def test_nothing_is_decided_before_it_is_handed_in_or_twice(customer: Make, operator: Op) -> None:
    case, actor = started(customer(verification_level=0)), operator("Compliance")
    assert (
        code_of(lambda: cases.case_approve(case_id=case.public_id, reason="x", actor=actor)) == "wrong_state"
    )
    hand_in(case)
    cases.case_approve(case_id=case.public_id, reason="x", actor=actor)
    for act in (
        lambda: cases.case_approve(case_id=case.public_id, reason="x", actor=actor),
        lambda: cases.case_reject(case_id=case.public_id, reason_code="other", words="x", actor=actor),
    ):
        assert code_of(act) == "wrong_state"
    assert code_of(lambda: hand_in(case, "selfie", PDF)) == "wrong_state"
    assert code_of(lambda: cases.case_approve(case_id=uuid.uuid4(), reason="x", actor=actor)) == "not_found"


@pytest.mark.django_db(transaction=True)
def test_two_operators_one_winner(customer: Make, operator: Op) -> None:
    user = customer(verification_level=0)
    case = waiting(user)
    actors = [operator("Compliance"), operator("Senior")]

    def decide(number: int) -> str:
        if number % 2:
            return code_of(
                lambda: cases.case_reject(
                    case_id=case.public_id, reason_code="other", words="no", actor=actors[1]
                )
            )
        return code_of(lambda: cases.case_approve(case_id=case.public_id, reason="yes", actor=actors[0]))

    said = together(6, decide)
    assert sorted(said) == [*["ok"], *["wrong_state"] * 5]
    case.refresh_from_db()
    user.refresh_from_db()
    assert case.state in {"approved", "rejected"}
    assert user.verification_level == (1 if case.state == "approved" else 0)
    assert VerificationAnswer.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_one_open_case_however_many_start_it(customer: Make) -> None:
    user = customer(verification_level=0)
    found = together(6, lambda _number: started(user).pk)
    assert len(set(found)) == 1
    assert VerificationCase.objects.count() == 1


# -- documents --------------------------------------------------------------------------------------


def test_a_document_is_kept_encrypted_under_a_random_name(
    customer: Make, operator: Op, settings: Any
) -> None:
    case, actor = started(customer(verification_level=0)), operator("Compliance")
    document = hand_in(case, data=PDF)
    [file] = (Path(settings.FILES_DIR) / "verification").iterdir()
    assert file.name == document.file_name
    assert (len(file.name), file.stat().st_mode & 0o777) == (48, 0o600)
    assert b"PDF" not in file.read_bytes()
    found, data = cases.document_open(document_id=document.public_id, actor=actor)
    assert (found.pk, data) == (document.pk, PDF)
    cases.document_open(document_id=document.public_id, actor=actor)
    views = AuditEntry.objects.filter(verb="verification_document_view")
    assert [(entry.actor_label, entry.after["document"]) for entry in views] == [
        (actor.label, str(document.public_id))
    ] * 2
    file.write_bytes(file.read_bytes()[:-4] + b"AAAA")
    refused = code_of(lambda: cases.document_open(document_id=document.public_id, actor=actor))
    assert (refused, views.count()) == ("internal_error", 2)
    file.unlink()
    assert (
        code_of(lambda: cases.document_open(document_id=document.public_id, actor=actor)) == "internal_error"
    )


def test_the_same_bytes_are_the_document_that_is_there(customer: Make, settings: Any) -> None:
    case = started(customer(verification_level=0))
    assert hand_in(case).pk == hand_in(case).pk
    assert VerificationDocument.objects.count() == 1
    assert len(list((Path(settings.FILES_DIR) / "verification").iterdir())) == 1


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"hello",
        b"<svg xmlns='http://www.w3.org/2000/svg'><script/></svg>",
        b"%PDF-1.7 cut",
        b"GIF89a",
        picture()[:200],
        picture("PNG")[:60],
        b"\xff\xd8\xff" + picture("PNG"),
        b"\x89PNG\r\n\x1a\n" + picture(),
        picture(size=(63, 400)),
        b"MZ" + picture(),
    ],
    ids=lambda data: repr(data[:12]),
)
def test_what_is_no_document_is_not_kept(customer: Make, settings: Any, data: bytes) -> None:
    case = started(customer(verification_level=0))
    with pytest.raises(KauriError) as refused:
        hand_in(case, data=data)
    assert (refused.value.code, list(refused.value.fields)) == ("validation_error", ["file"])
    assert VerificationDocument.objects.count() == 0
    folder = Path(settings.FILES_DIR) / "verification"
    assert not folder.exists() or list(folder.iterdir()) == []


def test_a_picture_that_unpacks_into_gigabytes_is_not_unpacked(
    customer: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = started(customer(verification_level=0))
    monkeypatch.setattr(files, "MAX_PIXELS", 100 * 100)
    assert code_of(lambda: hand_in(case, data=picture(size=(101, 100)))) == "validation_error"
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    assert code_of(lambda: hand_in(case, data=picture("PNG", size=(100, 90)))) == "validation_error"
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100 * 100)
    assert hand_in(case, data=picture("PNG", size=(100, 100))).content_type == "image/png"


def test_too_large_too_many_and_for_nothing(customer: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    case = started(customer(verification_level=0))
    monkeypatch.setattr(files, "MAX_BYTES", len(PDF))
    assert code_of(lambda: hand_in(case, data=PDF + b" ")) == "payload_too_large"
    assert code_of(lambda: hand_in(case, "cat", PDF)) == "validation_error"
    monkeypatch.setattr(customers_part, "MAX_DOCUMENTS", 1)
    hand_in(case, data=PDF)
    monkeypatch.setattr(files, "MAX_BYTES", 10_000)
    assert code_of(lambda: hand_in(case, "selfie")) == "limit_exceeded"


def test_nobody_adds_to_another_customers_case(customer: Make, settings: Any) -> None:
    case, other = started(customer(verification_level=0)), customer(verification_level=0)
    act = lambda: cases.document_add(  # noqa: E731
        user_id=other.pk, case_id=case.public_id, kind="identity", data=PDF, ip=""
    )
    assert code_of(act) == "not_found"
    assert VerificationDocument.objects.count() == 0


# -- the database's own laws ------------------------------------------------------------------------


_PUT = (
    "update account_verificationcase set state = %s, reason_code = 'other',"
    " finished_at = case when %s in ('approved', 'rejected', 'expired') then now() end where id = %s"
)


def test_the_database_lists_the_same_moves(customer: Make) -> None:
    """Every pair of states, tried on a row of its own."""
    allowed = {(a.value, b.value) for a, following in MOVES.items() for b in following}
    case = started(customer(verification_level=0))
    passed = set()
    for before in CaseState:
        for after in CaseState:
            if before == after:
                continue
            with as_owner() as cursor, transaction.atomic():
                # Put there without a word of the triggers, then moved under their eyes.
                cursor.execute("set local session_replication_role = replica")
                cursor.execute(_PUT, [before.value, before.value, case.pk])
                cursor.execute("set local session_replication_role = origin")
                with suppress(DatabaseError), transaction.atomic():
                    cursor.execute(_PUT, [after.value, after.value, case.pk])
                    passed.add((before.value, after.value))
                transaction.set_rollback(True)
    assert passed == allowed


@pytest.mark.django_db(transaction=True)
def test_no_state_without_its_history(customer: Make) -> None:
    case = started(customer(verification_level=0))
    with pytest.raises(DatabaseError, match="without a move to it"):
        VerificationCase.objects.filter(pk=case.pk).update(state="waiting_for_operator")
    case.refresh_from_db()
    assert case.state == "waiting_for_customer"


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("update account_verificationcase set level = 2", "keeps what it is about"),
        ("update account_verificationcase set created_at = now()", "keeps what it is about"),
        ("delete from account_verificationcase", "never deleted"),
        ("update account_verificationmove set reason = 'x'", "append-only"),
        ("delete from account_verificationmove", "append-only"),
        ("update account_verificationdocument set kind = 'other'", "append-only"),
        ("delete from account_verificationdocument", "append-only"),
        ("update account_verificationanswer set verdict = 'approved'", "append-only"),
        ("delete from account_verificationanswer", "append-only"),
    ],
)
def test_what_the_owner_of_the_tables_cannot_do_either(
    customer: Make, operator: Op, statement: str, words: str
) -> None:
    case = waiting(customer(verification_level=0))
    cases.case_ask_again(case_id=case.public_id, documents=["other"], words="x", actor=operator("Compliance"))
    with pytest.raises(DatabaseError, match=words), transaction.atomic(), as_owner() as cursor:
        cursor.execute(statement)


def test_constraints_hold_without_python(customer: Make) -> None:
    user = customer(verification_level=0)
    case = started(user)
    twin = VerificationCase(user=user, level=1, provider=case.provider)
    with pytest.raises(IntegrityError, match="case_one_open"), transaction.atomic():
        twin.save(force_insert=True)
    for fields, name in (
        ({"level": 4}, "case_level"),
        ({"level": 2, "finished_at": clock.now()}, "case_finished_when_final"),
    ):
        wrong = VerificationCase(**{"user": user, "provider": case.provider, **fields})
        with pytest.raises(IntegrityError, match=name), transaction.atomic():
            wrong.save(force_insert=True)
    born = VerificationCase(
        user=user, level=2, provider=case.provider, state="approved", finished_at=clock.now()
    )
    with pytest.raises(DatabaseError, match="begins as started"), transaction.atomic():
        born.save(force_insert=True)
    hand_in(case)
    with pytest.raises(IntegrityError, match="case_rejection_says_why"), transaction.atomic():
        VerificationCase.objects.filter(pk=case.pk).update(state="rejected", finished_at=clock.now())
    assert VerificationMove.objects.filter(case=case).count() == 3


# -- letters ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("language", "subjects"),
    [
        ("en", ["Please send your documents again", "You could not be verified", "You are verified"]),
        (
            "uk",
            ["Надішліть, будь ласка, документи ще раз", "Вас не вдалося верифікувати", "Вас верифіковано"],
        ),
        (
            "ru",
            ["Пришлите, пожалуйста, документы ещё раз", "Вас не удалось верифицировать", "Вы верифицированы"],
        ),
    ],
)
def test_letters_are_in_the_customers_language(
    customer: Make,
    operator: Op,
    drain: Callable[..., int],
    mailoutbox: list[Any],
    language: str,
    subjects: list[str],
) -> None:
    user, actor = customer(verification_level=0, language=language), operator("Compliance")
    case = waiting(user)
    cases.case_ask_again(case_id=case.public_id, documents=["identity"], words="WORDS", actor=actor)
    hand_in(case, data=PDF)
    cases.case_reject(case_id=case.public_id, reason_code="country", words="WORDS", actor=actor)
    cases.case_approve(case_id=waiting(user).public_id, reason="NOT FOR THE CUSTOMER", actor=actor)
    drain()
    assert sorted(mail.subject for mail in mailoutbox) == sorted(subjects)
    assert {tuple(mail.to) for mail in mailoutbox} == {(user.email,)}
    bodies = "\n".join(mail.body for mail in mailoutbox)
    assert bodies.count("WORDS") == 2
    assert "NOT FOR THE CUSTOMER" not in bodies
    assert ("We could not verify you" in bodies) == (language == "en")
    assert "{{" not in bodies
