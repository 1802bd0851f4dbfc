"""What is done at a verification provider: one call at a time, written before it is made.

The network is never inside a transaction: a worker takes the case with a lease, commits, calls,
and writes the outcome onto the locked row. A call that came meanwhile is not lost by that.
"""

from __future__ import annotations

import logging
import uuid
from datetime import timedelta
from typing import Any, Final

from django.db import transaction

from kauri.account.cases import machine
from kauri.account.models import User, VerificationAnswer, VerificationCase
from kauri.account.states import CUSTOMERS_TURN, CaseState, RejectReason
from kauri.account.verifier import (
    ConfigError,
    OutcomeUnknown,
    Rejected,
    Retryable,
    Started,
    StartRequest,
    StatusReport,
    Verdict,
    Verifier,
    VerifierConfig,
    VerifierError,
    build,
)
from kauri.common import clock
from kauri.common.actor import SYSTEM, Actor, ActorKind
from kauri.common.effects import Effect, EffectKind
from kauri.common.locks import claim, lock
from kauri.common.tasks import enqueue
from kauri.core.models import Provider
from kauri.core.outbox import emit

logger = logging.getLogger(__name__)

TASK: Final = "kauri.account.tasks.case_step"
LEASE: Final = timedelta(seconds=120)
FIRST_DELAY: Final = timedelta(seconds=30)
LONGEST_DELAY: Final = timedelta(hours=1)
#: After so many failures in a row people are told, once.
STUCK_AFTER: Final = 6
#: Webhooks get lost: so often a status is read without one.
POLLS: Final = {
    CaseState.STARTED: timedelta(minutes=30),
    CaseState.WAITING_FOR_CUSTOMER: timedelta(minutes=30),
    CaseState.ASKED_AGAIN: timedelta(minutes=30),
    CaseState.WAITING_FOR_PROVIDER: timedelta(minutes=10),
}
Call = VerificationCase.Call
_PLAYED: Final = {
    Call.PLAY_APPROVED: Verdict.APPROVED,
    Call.PLAY_RETRY: Verdict.RETRY,
    Call.PLAY_REJECTED: Verdict.REJECTED,
}
_KEPT: Final = {
    Verdict.APPROVED: VerificationAnswer.Verdict.APPROVED,
    Verdict.REJECTED: VerificationAnswer.Verdict.REJECTED,
    Verdict.RETRY: VerificationAnswer.Verdict.RETRY,
    Verdict.PENDING: VerificationAnswer.Verdict.PENDING,
    Verdict.UNKNOWN: VerificationAnswer.Verdict.UNKNOWN,
}


def verifier_of(provider: Provider) -> Verifier:
    """The adapter of ``provider`` with its settings and decrypted credentials; ConfigError."""
    return build(
        provider.adapter,
        VerifierConfig(
            code=provider.code,
            environment=provider.environment,
            settings=dict(provider.settings),
            credentials=dict(provider.credentials),
        ),
    )


def wake(case: VerificationCase, call: VerificationCase.Call) -> None:
    """Write the next call onto a locked case and queue it, in the caller's transaction."""
    case.call, case.next_attempt_at, case.attempts, case.last_error = call, clock.now(), 0, ""
    case.save()
    enqueue(TASK, case.pk)


def verifier_webhook(*, provider: Provider, reference: str) -> Effect:
    """A provider says that something happened to a case of ours: its status is read."""
    try:
        public_id = uuid.UUID(reference)
    except ValueError:
        return Effect(EffectKind.NOTHING, "about nobody of ours")
    with transaction.atomic():
        case = lock(VerificationCase.objects.filter(public_id=public_id, provider=provider)).first()
        if case is None:
            return Effect(EffectKind.NOTHING, "about nobody of ours")
        if case.call not in {Call.NONE, Call.STATUS}:
            return Effect(EffectKind.NOTHING, "an earlier call is under way, and a look follows it")
        if not case.provider_reference:
            return Effect(EffectKind.NOTHING, "the provider has not registered it for us yet")
        wake(case, Call.STATUS)
    return Effect(EffectKind.DONE, "asks the provider")


def case_step(case_id: int) -> None:
    """Make the call that is due for a case, and write down what came of it."""
    case = _claimed(case_id)
    if case is None:
        return
    result: Started | StatusReport | VerifierError | None
    try:
        result = _call(case)
    except VerifierError as exc:
        result = exc
    except Exception as exc:
        # A foreign package may break in any way, before or after the provider heard it: the next call looks first.
        logger.exception("the verifier %s broke", case.provider.code)
        result = OutcomeUnknown(type(exc).__name__)
    with transaction.atomic():
        row = lock(VerificationCase.objects.select_related("user", "provider").filter(pk=case.pk)).get()
        row.lease_until = None
        woken = row.next_attempt_at != case.next_attempt_at
        if row.call != case.call:
            # Somebody decided meanwhile: what we heard is about a case that stands no longer so.
            row.save(update_fields=["lease_until"])
        else:
            _record(row, result)
            if woken and row.call == Call.STATUS and not isinstance(result, VerifierError):
                row.next_attempt_at = clock.now()
            row.save()
        if row.next_attempt_at is not None and row.next_attempt_at <= clock.now():
            enqueue(TASK, row.pk)


def cases_sweep() -> int:
    """Queue calls that are due and end cases whose customer did not come; returns how many of both."""
    now = clock.now()
    free = VerificationCase.objects.exclude(lease_until__gt=now)
    due = list(free.filter(next_attempt_at__lte=now).values_list("pk", flat=True)[:200])
    for pk in due:
        enqueue(TASK, pk)
    late = list(free.filter(expires_at__lte=now).values_list("pk", flat=True)[:200])
    for pk in late:
        with transaction.atomic():
            for case in claim(VerificationCase.objects.filter(pk=pk, expires_at__lte=now)):
                machine.move(case, CaseState.EXPIRED, actor=SYSTEM, reason="nothing came from the customer")
    return len(due) + len(late)


def verifiers_check() -> None:
    """Ask every verification provider that is switched on how it is; a change is told."""
    for provider in Provider.objects.filter(kind=Provider.Kind.VERIFICATION, is_enabled=True):
        try:
            found = verifier_of(provider).check_health()
            ok, detail = found.ok, found.detail
        except VerifierError as exc:
            ok, detail = False, f"{type(exc).__name__}: {exc}"
        except Exception as exc:
            logger.exception("the verifier %s broke", provider.code)
            ok, detail = False, type(exc).__name__
        _health(provider, Provider.HealthState.OK if ok else Provider.HealthState.BAD, detail[:300])


def _health(provider: Provider, health: Provider.HealthState, detail: str) -> None:
    with transaction.atomic():
        before = lock(Provider.objects.filter(pk=provider.pk)).get().health
        # A health reading is no change of a setting: it makes no version.
        Provider.objects.filter(pk=provider.pk).update(
            health=health, health_detail=detail, health_at=clock.now()
        )
        if before != health and Provider.HealthState.BAD in {before, health}:
            emit(
                "provider.health",
                subject_type="provider",
                subject_id=uuid.uuid5(uuid.NAMESPACE_OID, f"provider:{provider.pk}"),
                payload={"provider": provider.title, "health": health, "detail": detail},
            )


def _claimed(case_id: int) -> VerificationCase | None:
    """Take a due call for :data:`LEASE`; None when it is not due or in other hands."""
    with transaction.atomic():
        now = clock.now()
        rows = claim(
            VerificationCase.objects.select_related("user", "provider")
            .filter(pk=case_id, next_attempt_at__lte=now)
            .exclude(lease_until__gt=now)
        )
        if not rows:
            return None
        case = rows[0]
        case.attempts += 1
        # Whoever wakes the case while we call moves this moment, and is seen by that.
        case.lease_until = case.next_attempt_at = now + LEASE
        case.save(update_fields=["attempts", "lease_until", "next_attempt_at"])
        return case


def _call(case: VerificationCase) -> Started | StatusReport | None:
    """The network; no transaction around it."""
    verifier = verifier_of(case.provider)
    request = StartRequest(str(case.public_id), case.level, case.user.language)
    if case.call == Call.STATUS:
        return verifier.fetch_status(request, case.provider_reference)
    if case.call in _PLAYED:
        verifier.play_verdict(case.provider_reference, _PLAYED[Call(case.call)])
        return None
    if not case.provider.is_enabled:
        raise Retryable("the provider is switched off")
    if case.call == Call.AGAIN:
        if case.provider_reference:
            verifier.ask_again(request, case.provider_reference)
        return None
    return verifier.start(request)


def _record(case: VerificationCase, result: Started | StatusReport | VerifierError | None) -> None:
    """Write an outcome onto the locked case; the caller saves it."""
    if isinstance(result, VerifierError):
        _record_failure(case, result)
        return
    case.attempts, case.last_error = 0, ""
    if result is None:
        # After "again" a fresh entrance, after a played verdict a look; both at once.
        case.call = Call.START if case.call == Call.AGAIN else Call.STATUS
        case.next_attempt_at = clock.now()
        return
    if isinstance(result, Started):
        _record_start(case, result)
    else:
        _record_status(case, result)
    if case.call != Call.NONE:
        pause = POLLS.get(CaseState(case.state))
        case.call = Call.NONE if pause is None else Call.STATUS
        case.next_attempt_at = None if pause is None else clock.now() + pause


def _record_failure(case: VerificationCase, error: VerifierError) -> None:
    case.last_error = f"{type(error).__name__}: {error}"[:300]
    if isinstance(error, Rejected) and case.call not in _PLAYED:
        # Asking once more would hear the same: a person decides.
        case.call, case.next_attempt_at = Call.NONE, None
        if case.is_open and case.state != CaseState.WAITING_FOR_OPERATOR:
            machine.move(case, CaseState.WAITING_FOR_OPERATOR, actor=_actor(case), reason=case.last_error)
        return
    if case.call in _PLAYED and isinstance(error, (Rejected, ConfigError)):
        case.call = Call.STATUS
    delay = min(FIRST_DELAY * 2 ** min(case.attempts - 1, 10), LONGEST_DELAY)
    case.next_attempt_at = clock.now() + delay
    if case.attempts == STUCK_AFTER:
        _alert(case, "verification.stuck", case.last_error)


def _record_start(case: VerificationCase, started: Started) -> None:
    if case.provider_reference not in {"", started.provider_reference}:
        # Two applicants for one case: their papers may be two people's.
        _record_failure(case, Rejected("the provider names another applicant for the same case"))
        return
    case.provider_reference = started.provider_reference
    case.entrance_kind = started.entrance.kind.value
    case.entrance_secret, case.entrance_until = started.entrance.value, started.entrance.until
    if case.state == CaseState.STARTED:
        machine.move(case, CaseState.WAITING_FOR_CUSTOMER, actor=_actor(case))


def _record_status(case: VerificationCase, report: StatusReport) -> None:
    """What the provider says moves the case; what operators have in hand or decided it only informs."""
    if report.verdict is Verdict.WAITING or not _is_news(case, report):
        return
    actor = _actor(case)
    machine.keep_answer(
        case, _KEPT[report.verdict], actor=actor, words=report.words[:1000], detail=dict(report.answer)
    )
    if report.verdict is Verdict.UNKNOWN:
        _alert(case, "verification.unknown", str(report.answer.get("reviewStatus", "")))
    elif not case.is_open:
        if case.state == CaseState.APPROVED and report.verdict in {Verdict.REJECTED, Verdict.RETRY}:
            _alert(case, "verification.contradicted", report.verdict.value)
    elif case.state != CaseState.WAITING_FOR_OPERATOR:
        _follow(case, report, actor)


def _follow(case: VerificationCase, report: StatusReport, actor: Actor) -> None:
    before = case.state
    if report.verdict is Verdict.PENDING:
        if case.state in CUSTOMERS_TURN:
            machine.move(case, CaseState.WAITING_FOR_PROVIDER, actor=actor)
        return
    if report.verdict is Verdict.RETRY:
        if case.state == CaseState.ASKED_AGAIN:
            case.words = report.words
            machine.tell_again(case)
        else:
            machine.ask_again(case, actor=actor, asked=[], words=report.words)
        machine.record(case, "verification_ask_again", actor=actor, before=before)
        return
    if case.provider.settings.get("decides") != "provider":
        machine.move(case, CaseState.WAITING_FOR_OPERATOR, actor=actor, reason=report.verdict.value)
    elif report.verdict is Verdict.APPROVED:
        machine.approve(case, actor=actor, reason=f"verified by {case.provider}")
        machine.record(case, "verification_approve", actor=actor, before=before)
    else:
        machine.reject(case, actor=actor, reason_code=RejectReason.OTHER, words=report.words)
        machine.record(case, "verification_reject", actor=actor, before=before)


def _is_news(case: VerificationCase, report: StatusReport) -> bool:
    """Whether the provider said something else last time: a repeated answer has no second effect."""
    last = case.answers.filter(actor_kind=ActorKind.PROVIDER.value).order_by("-id").first()
    return last is None or (last.verdict, last.detail) != (_KEPT[report.verdict].value, dict(report.answer))


def _actor(case: VerificationCase) -> Actor:
    return Actor(kind=ActorKind.PROVIDER, id=str(case.provider_id), label=case.provider.code)


def _alert(case: VerificationCase, kind: str, detail: str) -> None:
    user: User = case.user
    payload: dict[str, Any] = {
        "case_id": str(case.public_id),
        "customer": user.email,
        "level": case.level,
        "provider": case.provider.title,
        "detail": detail,
    }
    emit(kind, subject_type="verification_case", subject_id=case.public_id, payload=payload)
