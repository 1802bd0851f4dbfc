"""A verification at a provider: intent, call, outcome; webhooks are hints, and answers count once."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection

from kauri.account import cases
from kauri.account.cases import provider as provider_part
from kauri.account.models import User, VerificationCase
from kauri.common import clock
from kauri.common.actor import Actor
from kauri.common.effects import EffectKind
from kauri.core.models import Provider
from tests.kauri.account.papers import PDF, Sumsub, hand_in, started, sumsub_on
from tests.moves import code_of, events, forget_queue, queued

Make = Callable[..., User]
Drain = Callable[..., int]
CREATE = "POST /resources/applicants"


@pytest.fixture
def case(sumsub: Sumsub, customer: Make, drain: Drain) -> VerificationCase:
    """Registered at the provider: the customer has a link."""
    sumsub_on(sumsub.url)
    found = started(customer(verification_level=0))
    drain()
    found.refresh_from_db()
    return found


def hint(case: VerificationCase) -> EffectKind:
    return cases.verifier_webhook(provider=case.provider, reference=str(case.public_id)).kind


def fresh(case: VerificationCase) -> VerificationCase:
    return VerificationCase.objects.select_related("user", "provider").get(pk=case.pk)


def path_of(case: VerificationCase) -> list[str]:
    return [move.to_state for move in case.moves.order_by("id")]


def level_of(case: VerificationCase) -> int:
    return User.objects.values_list("verification_level", flat=True).get(pk=case.user_id)


# -- start ------------------------------------------------------------------------------------------


def test_the_intent_is_committed_before_anything_is_sent(
    sumsub: Sumsub, customer: Make, drain: Drain
) -> None:
    sumsub_on(sumsub.url)
    case = started(customer(verification_level=0))
    assert (case.provider.code, case.state, case.call, case.entrance_kind) == (
        "sumsub",
        "started",
        "start",
        "",
    )
    assert sumsub.calls == []
    assert queued("case_step") == [(case.pk,)]
    drain()
    case = fresh(case)
    assert (case.state, case.call, case.entrance_kind) == ("waiting_for_customer", "status", "link")
    assert (case.provider_reference, list(sumsub.applicants)) == (
        "5b594ade0a975a36c9349e00",
        [str(case.public_id)],
    )
    assert case.entrance_secret.startswith("https://in.sumsub.example/")
    with connection.cursor() as cursor:
        cursor.execute("select entrance_secret from account_verificationcase")
        assert "sumsub" not in cursor.fetchone()[0]
    assert (case.moves.last().actor_kind, case.moves.last().actor_label) == ("provider", "sumsub")
    assert code_of(lambda: hand_in(case, data=PDF)) == "wrong_state"


def test_a_lost_task_is_found_by_the_sweeper_and_a_doubled_one_is_harmless(
    sumsub: Sumsub, customer: Make, drain: Drain
) -> None:
    sumsub_on(sumsub.url)
    case = started(customer(verification_level=0))
    forget_queue()
    assert cases.cases_sweep() == 1
    drain(times=3)
    assert (fresh(case).state, len(sumsub.applicants)) == ("waiting_for_customer", 1)
    assert sumsub.count()[CREATE] == 1


def test_a_lost_answer_is_looked_up(sumsub: Sumsub, customer: Make, drain: Drain) -> None:
    sumsub_on(sumsub.url)
    sumsub.answers[CREATE] = ["lost"]
    case = started(customer(verification_level=0))
    drain()
    case = fresh(case)
    assert (case.state, case.call, case.attempts) == ("started", "start", 1)
    assert case.last_error.startswith("OutcomeUnknown")
    assert cases.cases_sweep() == 0
    with clock.standing_at(clock.now() + timedelta(seconds=31)):
        assert cases.cases_sweep() == 1
        drain()
    case = fresh(case)
    assert (case.state, case.last_error, case.attempts) == ("waiting_for_customer", "", 0)
    assert (len(sumsub.applicants), sumsub.count()[CREATE]) == (1, 1)


def test_a_worker_that_died_leaves_a_lease_and_the_next_goes_on(
    sumsub: Sumsub, customer: Make, drain: Drain
) -> None:
    sumsub_on(sumsub.url)
    case = started(customer(verification_level=0))
    assert provider_part._claimed(case.pk) is not None
    drain()
    assert (fresh(case).state, sumsub.calls) == ("started", [])
    with clock.standing_at(clock.now() + provider_part.LEASE + timedelta(seconds=1)):
        assert cases.cases_sweep() == 1
        drain()
    assert fresh(case).state == "waiting_for_customer"


def test_waits_grow_and_people_are_told_once(sumsub: Sumsub, customer: Make, drain: Drain) -> None:
    sumsub_on("http://127.0.0.1:9")
    case = started(customer(verification_level=0))
    moment, waits = clock.now(), []
    for _ in range(9):
        with clock.standing_at(moment):
            cases.cases_sweep()
            drain()
        case = fresh(case)
        assert case.next_attempt_at is not None
        waits.append(int((case.next_attempt_at - moment).total_seconds()))
        moment = case.next_attempt_at
    assert waits[:3] == [30, 60, 120]
    assert waits[-1] == 3600
    [event] = events("verification.stuck")
    assert (event.payload["customer"], event.payload["detail"][:9]) == (case.user.email, "Retryable")
    assert case.state == "started"


def test_a_refused_start_goes_to_a_person(sumsub: Sumsub, customer: Make, drain: Drain) -> None:
    sumsub_on(sumsub.url)
    sumsub.answers[CREATE] = [400]
    case = started(customer(verification_level=0))
    drain()
    case = fresh(case)
    assert (case.state, case.call, case.next_attempt_at) == ("waiting_for_operator", "", None)
    assert case.last_error == "Rejected: HTTP 400, error 1"


def test_a_closed_entrance_is_opened_anew(sumsub: Sumsub, case: VerificationCase, drain: Drain) -> None:
    first = case.entrance_secret
    assert started(case.user).pk == case.pk
    assert queued("case_step") == []
    with clock.standing_at(clock.now() + timedelta(minutes=29)):
        assert started(case.user).pk == case.pk
        drain()
        again = fresh(case)
        assert again.entrance_secret != first
        assert again.entrance_until == clock.now() + timedelta(minutes=30)
    assert (len(sumsub.applicants), again.state) == (1, "waiting_for_customer")


def test_another_applicant_for_the_same_case_is_not_believed(
    sumsub: Sumsub, case: VerificationCase, drain: Drain
) -> None:
    sumsub.applicants[str(case.public_id)] = "somebody-else"
    with clock.standing_at(clock.now() + timedelta(minutes=29)):
        started(case.user)
        drain()
    found = fresh(case)
    assert (found.provider_reference, found.state) == ("5b594ade0a975a36c9349e00", "waiting_for_operator")
    assert "another applicant" in found.last_error


# -- answers ----------------------------------------------------------------------------------------


def test_a_hint_is_only_a_hint(sumsub: Sumsub, case: VerificationCase, drain: Drain) -> None:
    """The webhook may say what it likes: the status is read, and it says "init"."""
    assert hint(case) is EffectKind.DONE
    drain()
    assert (fresh(case).state, case.answers.count(), level_of(case)) == ("waiting_for_customer", 0, 0)
    assert sumsub.calls[-1][:2] == ("GET", "/resources/applicants/5b594ade0a975a36c9349e00/status")


def test_by_default_an_operator_decides_on_the_providers_answer(
    sumsub: Sumsub, case: VerificationCase, drain: Drain, operator: Callable[..., Actor]
) -> None:
    sumsub.status["reviewStatus"] = "pending"
    hint(case)
    drain()
    assert fresh(case).state == "waiting_for_provider"
    sumsub.reviewed("GREEN")
    for _ in range(3):
        hint(case)
        drain(times=2)
    assert (fresh(case).state, level_of(case)) == ("waiting_for_operator", 0)
    actor = operator("Compliance")
    cases.case_approve(case_id=case.public_id, reason="the face fits", actor=actor)
    assert level_of(case) == 1
    assert path_of(case) == [
        "started",
        "waiting_for_customer",
        "waiting_for_provider",
        "waiting_for_operator",
        "approved",
    ]
    assert [(answer.actor_kind, answer.verdict) for answer in case.answers.all()] == [
        ("provider", "pending"),
        ("provider", "approved"),
        ("operator", "approved"),
    ]
    assert case.user.verification_decisions.get().actor_label == actor.label


def test_where_the_provider_decides_a_repeated_answer_decides_once(
    sumsub: Sumsub, case: VerificationCase, drain: Drain
) -> None:
    sumsub_on(sumsub.url, decides="provider")
    sumsub.reviewed("GREEN")
    for _ in range(3):
        hint(case)
        drain(times=2)
    found = fresh(case)
    assert (found.state, level_of(case), found.answers.count()) == ("approved", 1, 1)
    assert (found.entrance_kind, found.entrance_secret, found.call) == ("", "", "")
    decision = case.user.verification_decisions.get()
    assert (decision.actor_kind, decision.actor_label, decision.to_level) == ("provider", "sumsub", 1)
    assert len(events("customer.verified")) == 1
    assert [event.payload["letter"] for event in events("letter")] == ["verification_approved"]


def test_a_refusal_for_good_and_words_that_are_not_the_customers(
    sumsub: Sumsub, case: VerificationCase, drain: Drain
) -> None:
    sumsub_on(sumsub.url, decides="provider")
    sumsub.reviewed("RED", reviewRejectType="FINAL", rejectLabels=["FORGERY"], moderationComment="caught")
    hint(case)
    drain()
    found = fresh(case)
    assert (found.state, found.reason_code, found.words, level_of(case)) == ("rejected", "other", "", 0)
    assert found.answers.get().detail["rejectLabels"] == ["FORGERY"]
    assert events("customer.verified") == []


def test_a_refusal_that_may_be_mended_goes_back_to_the_customer(
    sumsub: Sumsub, case: VerificationCase, drain: Drain
) -> None:
    sumsub.reviewed("RED", reviewRejectType="RETRY", moderationComment="Too dark.")
    for _ in range(2):
        hint(case)
        drain()
    assert (fresh(case).state, fresh(case).words) == ("asked_again", "Too dark.")
    assert len(events("letter")) == 1
    # Sent again and again not good, faster than we looked.
    sumsub.status["attemptCnt"] = 2
    sumsub.status["reviewResult"]["moderationComment"] = "Still too dark."
    hint(case)
    drain()
    assert (fresh(case).state, fresh(case).words, len(events("letter"))) == (
        "asked_again",
        "Still too dark.",
        2,
    )
    sumsub.status = {"reviewStatus": "pending"}
    hint(case)
    drain()
    assert fresh(case).state == "waiting_for_provider"


@pytest.mark.parametrize(
    "status",
    [
        {"reviewStatus": "inventedWord"},
        {"reviewStatus": "completed", "reviewResult": {"reviewAnswer": "BLUE"}},
        {"reviewStatus": "completed", "reviewResult": {"reviewAnswer": "RED"}},
        {"reviewStatus": "completed"},
    ],
)
def test_an_unknown_word_fails_nobody_and_is_told_once(
    sumsub: Sumsub, case: VerificationCase, drain: Drain, status: dict[str, Any]
) -> None:
    sumsub_on(sumsub.url, decides="provider")
    sumsub.status = status
    for _ in range(2):
        hint(case)
        drain()
    found = fresh(case)
    assert (found.state, level_of(case)) == ("waiting_for_customer", 0)
    assert [answer.verdict for answer in found.answers.all()] == ["unknown"]
    assert len(events("verification.unknown")) == 1
    assert found.call == "status"


def test_what_a_provider_takes_back_is_told_and_changes_nothing(
    sumsub: Sumsub, case: VerificationCase, drain: Drain
) -> None:
    sumsub_on(sumsub.url, decides="provider")
    sumsub.reviewed("GREEN")
    hint(case)
    drain()
    sumsub.reviewed("RED", reviewRejectType="FINAL")
    hint(case)
    drain()
    assert (fresh(case).state, level_of(case)) == ("approved", 1)
    [event] = events("verification.contradicted")
    assert (event.payload["detail"], event.payload["level"]) == ("rejected", 1)


def test_without_a_webhook_the_status_is_read_all_the_same(
    sumsub: Sumsub, case: VerificationCase, drain: Drain
) -> None:
    sumsub.reviewed("GREEN")
    with clock.standing_at(clock.now() + timedelta(minutes=29)):
        assert cases.cases_sweep() == 0
    with clock.standing_at(clock.now() + timedelta(minutes=31)):
        assert cases.cases_sweep() == 1
        drain()
    assert fresh(case).state == "waiting_for_operator"


def test_an_operator_asks_again_at_the_provider(
    sumsub: Sumsub, case: VerificationCase, drain: Drain, operator: Callable[..., Actor]
) -> None:
    sumsub.reviewed("GREEN")
    hint(case)
    drain()
    actor = operator("Compliance")
    with_documents = code_of(
        lambda: cases.case_ask_again(case_id=case.public_id, documents=["identity"], words="x", actor=actor)
    )
    assert with_documents == "validation_error"
    old = fresh(case).entrance_secret
    cases.case_ask_again(case_id=case.public_id, documents=[], words="Another paper.", actor=actor)
    assert hint(case) is EffectKind.NOTHING
    drain()
    found = fresh(case)
    assert (found.state, found.call, sumsub.status["reviewStatus"]) == ("asked_again", "status", "init")
    assert found.entrance_secret != old
    assert len(sumsub.applicants) == 1


def test_hints_about_nobody(case: VerificationCase) -> None:
    for reference in ("", "user-1001", "01890000-0000-7000-8000-000000000001"):
        effect = cases.verifier_webhook(provider=case.provider, reference=reference)
        assert effect.kind is EffectKind.NOTHING
    # Another provider's word on this case is no word.
    manual = Provider.objects.get(code="manual")
    assert cases.verifier_webhook(provider=manual, reference=str(case.public_id)).kind is EffectKind.NOTHING
    assert queued("case_step") == []


def test_verdicts_are_played_in_a_sandbox_only(
    sumsub: Sumsub, case: VerificationCase, drain: Drain, operator: Callable[..., Actor]
) -> None:
    actor = operator("Compliance")
    cases.case_play(case_id=case.public_id, verdict="approved", actor=actor)
    drain()
    assert (fresh(case).state, sumsub.status["reviewStatus"]) == ("waiting_for_operator", "completed")
    Provider.objects.filter(code="sumsub").update(environment="production")
    refused = code_of(lambda: cases.case_play(case_id=case.public_id, verdict="rejected", actor=actor))
    assert refused == "wrong_state"
    assert sumsub.count()["POST /resources/applicants/5b594ade0a975a36c9349e00/status/testCompleted"] == 1


@pytest.mark.django_db(transaction=True)
def test_a_decision_made_while_we_ask_is_not_overwritten(
    sumsub: Sumsub,
    customer: Make,
    drain: Drain,
    operator: Callable[..., Actor],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The provider's GREEN is on its way while the operator asks the customer again."""
    sumsub_on(sumsub.url, decides="provider")
    case, actor = started(customer(verification_level=0)), operator("Compliance")
    drain()
    sumsub.status["reviewStatus"] = "pending"
    hint(fresh(case))
    drain()
    sumsub.reviewed("GREEN")
    real = provider_part._call
    asked = threading.Event()

    def slow(row: VerificationCase) -> Any:
        found = real(row)
        if not asked.is_set():
            asked.set()
            assert not connection.in_atomic_block
            cases.case_ask_again(case_id=case.public_id, documents=[], words="Wait.", actor=actor)
        return found

    monkeypatch.setattr(provider_part, "_call", slow)
    hint(fresh(case))
    drain()
    assert (fresh(case).state, level_of(case)) == ("asked_again", 0)
    assert events("customer.verified") == []


def test_health_is_told_when_it_changes(sumsub: Sumsub, house: None) -> None:
    sumsub_on(sumsub.url)
    cases.verifiers_check()
    found = dict(Provider.objects.filter(kind="verification").values_list("code", "health"))
    assert found == {"manual": "ok", "sumsub": "ok"}
    assert events("provider.health") == []
    sumsub.answers["GET /resources/applicants/-/levels"] = [401, 401]
    cases.verifiers_check()
    cases.verifiers_check()
    [event] = events("provider.health")
    assert (event.payload["health"], event.payload["detail"][:11]) == ("bad", "ConfigError")
