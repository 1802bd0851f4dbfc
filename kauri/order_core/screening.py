"""Transaction analysis: what is asked, what its answers mean, and who has decided.

The rules are ours (:class:`ScreeningPolicy`, per currency). Nobody is asked inside a transaction:
:func:`screening_step` writes, asks, and writes again.
"""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Final

from django.db import transaction

from kauri.common import clock
from kauri.common.actor import SYSTEM, Actor, request_id
from kauri.common.errors import KauriError
from kauri.common.locks import claim, lock
from kauri.core.models import Currency, Provider
from kauri.core.selectors import switch_is_on
from kauri.exchange_rate.selectors import usd_rate
from kauri.order_core.models import Order, Screening, ScreeningDecision, ScreeningPolicy
from kauri.order_core.models.screening import Outcome
from kauri.order_core.screener import (
    Finding,
    Incoming,
    Outgoing,
    Question,
    Rejected,
    Screener,
    ScreenerConfig,
    ScreenerError,
    build,
)
from kauri.payment_provider.models import Payin

#: How long an answer about a destination is good.
FRESH: Final = timedelta(hours=24)
#: After this nobody asks any more: a person has decided, or will without an answer.
GIVEN_UP_AFTER: Final = timedelta(days=7)
#: The claim of whoever asks; longer than any time-out.
LEASE: Final = timedelta(minutes=2)
FIRST_DELAY: Final = timedelta(seconds=5)
LONGEST_DELAY: Final = timedelta(minutes=10)


def policy_of(currency: Currency, amount: Decimal) -> ScreeningPolicy | None:
    """The rule that such money is analysed by; None where none is."""
    rule = (
        ScreeningPolicy.objects.select_related("provider").filter(currency=currency, is_enabled=True).first()
    )
    return rule if rule is not None and amount >= rule.min_amount else None


def incoming_outcome(order: Order, payin: Payin) -> Outcome | None:
    """What analysis says of money that is final, in the caller's transaction; None: not known yet.

    The first call writes the question; the answer comes by :func:`screening_step`. Money below the
    rule's least amount, or in a currency without a rule, passes. An answer that does not come within the
    rule's wait is a hold: never a pass.
    """
    row = lock(Screening.objects.filter(payin=payin)).first()
    if row is None:
        rule = policy_of(payin.currency, payin.amount)
        if rule is None:
            return Outcome.PASS
        Screening.objects.create(
            order=order,
            payin=payin,
            currency=payin.currency,
            amount=payin.amount,
            network=str(payin.provider.settings.get("network", "")),
            provider=rule.provider,
        )
        return None
    if row.outcome:
        return Outcome(row.outcome)
    rule = ScreeningPolicy.objects.filter(currency=row.currency).first()
    if row.state in Screening.OPEN_STATES:
        wait = timedelta(minutes=rule.wait_minutes if rule is not None else 0)
        if clock.now() - row.created_at < wait:
            return None
        decide(row, Outcome.HOLD, actor=SYSTEM, reason="no answer within the longest wait")
    else:
        outcome, why = judged(row, rule)
        decide(row, outcome, actor=SYSTEM, reason=why)
    return Outcome(row.outcome)


def judged(row: Screening, rule: ScreeningPolicy | None) -> tuple[Outcome, str]:
    """What a final answer means under the rule as it stands now, and why. Without a rule: a person decides."""
    if row.state == Screening.State.REFUSED:
        return Outcome.HOLD, f"the provider refuses to look: {row.last_error}"
    if row.score is None or rule is None:
        return Outcome.HOLD, "an answer without a score" if rule else "the rule is gone"
    bad = sorted(name for name, share in row.signals.items() if name in rule.freezing and Decimal(share) > 0)
    if bad:
        return Outcome.FREEZE, f"signals: {', '.join(bad)}"
    if row.score >= rule.freeze_score:
        return Outcome.FREEZE, f"score {row.score} is at or above {rule.freeze_score}"
    if row.score >= rule.hold_score:
        return Outcome.HOLD, f"score {row.score} is at or above {rule.hold_score}"
    return Outcome.PASS, f"score {row.score} is below {rule.hold_score}"


def decide(row: Screening, outcome: Outcome, *, actor: Actor, reason: str) -> None:
    """Write a decision on a locked analysis, with its row of history."""
    row.outcome = outcome
    row.decided_by_people = actor.is_operator
    row.save(update_fields=["outcome", "decided_by_people"])
    made = ScreeningDecision(screening=row, outcome=outcome, reason=reason, at=clock.now())
    made.stamp(actor, request_id.get())
    made.save(force_insert=True)


def due_screenings(limit: int = 50) -> list[int]:
    """Open questions whose time has come."""
    now = clock.now()
    due = Screening.objects.filter(
        state__in=Screening.OPEN_STATES, next_attempt_at__lte=now, created_at__gt=now - GIVEN_UP_AFTER
    )
    return list(due.order_by("next_attempt_at").values_list("pk", flat=True)[:limit])


def screening_step(screening_id: int) -> None:
    """Ask, or look what became of an earlier question. Call it outside of transactions."""
    with transaction.atomic():
        rows = claim(
            Screening.objects.select_related(
                "provider", "currency", "payin__provider", "order__owner"
            ).filter(pk=screening_id, state__in=Screening.OPEN_STATES, next_attempt_at__lte=clock.now())
        )
        if not rows:
            return
        row = rows[0]
        row.attempts += 1
        row.asked_at = row.asked_at or clock.now()
        row.next_attempt_at = clock.now() + LEASE
        row.save(update_fields=["attempts", "asked_at", "next_attempt_at"])
    finding: Finding | None = None
    error = ""
    refused = False
    try:
        finding = _ask(row)
    except ScreenerError as exc:
        error, refused = f"{type(exc).__name__}: {exc}"[:300], isinstance(exc, Rejected)
    _record(screening_id, finding, error, refused=refused)


def destination_risk(
    *, destination: str, currency: Currency, amount: Decimal, network: str = "", customer: str = ""
) -> Screening | None:
    """What analysis says of a destination: the stored answer of the last day, or a fresh one.

    None where no rule asks for it. It may ask a provider, so call it outside of transactions. The
    answer's ``outcome`` is ``hold`` also where nobody answered: unknown is not clean.
    """
    rule = policy_of(currency, amount)
    if rule is None:
        return None
    known = (
        Screening.objects.filter(
            destination=destination, currency=currency, network=network, created_at__gt=clock.now() - FRESH
        )
        .exclude(outcome="")
        .filter(state=Screening.State.READY)
        .first()
    )
    if known is not None:
        return known
    row = Screening.objects.create(
        destination=destination, network=network, currency=currency, amount=amount, provider=rule.provider
    )
    screening_step(row.pk)
    Screening.objects.filter(pk=row.pk, state=Screening.State.PENDING).update(next_attempt_at=clock.now())
    screening_step(row.pk)
    with transaction.atomic():
        row = lock(Screening.objects.filter(pk=row.pk)).get()
        if row.state in Screening.OPEN_STATES:
            decide(row, Outcome.HOLD, actor=SYSTEM, reason="nobody answered")
        else:
            outcome, why = judged(row, rule)
            decide(row, outcome, actor=SYSTEM, reason=why)
    return row


def screener_of(provider: Provider) -> Screener:
    """The adapter of ``provider`` with its settings and decrypted credentials."""
    return build(
        provider.adapter,
        ScreenerConfig(
            code=provider.code,
            environment=provider.environment,
            settings=dict(provider.settings),
            credentials=provider.credentials,
        ),
    )


def _ask(row: Screening) -> Finding:
    if not row.provider.is_enabled or not switch_is_on(f"provider:{row.provider.code}"):
        raise ScreenerError("the provider is switched off")
    screener = screener_of(row.provider)
    question = _question(row)
    if row.state == Screening.State.PENDING and row.reference:
        return screener.fetch(row.reference, question)
    if isinstance(question, Incoming):
        return screener.screen_incoming(question)
    return screener.screen_outgoing(question)


def _question(row: Screening) -> Question:
    try:
        price = usd_rate(row.currency).price
    except KauriError:
        price = None
    customer = str(row.order.owner.public_id) if row.order is not None else str(row.public_id)
    if row.payin is None:
        return Outgoing(
            reference=str(row.public_id),
            customer=customer,
            destination=row.destination,
            currency=row.currency.code,
            network=row.network,
            amount=row.amount,
            at=row.created_at,
            price=price,
        )
    return Incoming(
        reference=str(row.public_id),
        customer=customer,
        transaction=row.payin.transaction,
        address=row.payin.address,
        sender=row.payin.sender,
        currency=row.currency.code,
        network=row.network,
        amount=row.amount,
        at=row.payin.seen_at,
        price=price,
    )


def _record(screening_id: int, finding: Finding | None, error: str, *, refused: bool) -> None:
    with transaction.atomic():
        row = lock(Screening.objects.filter(pk=screening_id)).get()
        if row.state not in Screening.OPEN_STATES:
            return  # a slower worker's answer came after all
        row.last_error = error
        row.next_attempt_at = clock.now() + min(FIRST_DELAY * (1 << min(row.attempts - 1, 10)), LONGEST_DELAY)
        if refused:
            row.state, row.answered_at = Screening.State.REFUSED, clock.now()
        if finding is not None:
            row.state = Screening.State.READY if finding.ready else Screening.State.PENDING
            row.reference = finding.reference or row.reference
            row.answer = dict(finding.answer)
        if finding is not None and finding.ready:
            row.score, row.level = finding.score, finding.level or ""
            row.signals = {name: str(share) for name, share in finding.signals.items()}
            row.answered_at = clock.now()
        row.save()
