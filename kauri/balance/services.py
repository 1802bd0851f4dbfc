"""The ledger's own upkeep: opening balances and the self-check."""

from __future__ import annotations

from decimal import Decimal

from django.db import connection, transaction

from kauri.balance import invariants, ledger
from kauri.balance.chart import AccountKind, TransferKind
from kauri.balance.ledger import Leg, Posted
from kauri.balance.models import SelfCheck
from kauri.common import clock
from kauri.common.actor import Actor
from kauri.common.ids import ledger_key
from kauri.common.money import exact
from kauri.core.audit import audit
from kauri.core.models import Currency, Provider
from kauri.core.outbox import emit


@transaction.atomic
def opening_post(*, provider: Provider, currency: Currency, amount: Decimal, actor: Actor) -> Posted:
    """Bring money that the house already has at a provider into the books, once per currency."""
    amount = exact(amount, currency.scale)
    audit(
        actor,
        "opening_post",
        object_type="provider",
        object_id=provider.pk,
        label=provider.title,
        after={"currency": currency.code, "amount": str(amount)},
    )
    return ledger.post(
        ledger_key("opening", provider.pk, currency.code),
        TransferKind.OPENING,
        [
            Leg(AccountKind.PROVIDER_FLOAT, currency, -amount, provider_id=provider.pk),
            Leg(AccountKind.CAPITAL, currency, amount),
        ],
        actor=actor,
        reference=f"opening balance at {provider.code}",
    )


@transaction.atomic
def self_check_run() -> SelfCheck:
    """Prove every law in one snapshot, keep the result, and alert when one is broken."""
    with connection.cursor() as cursor:
        # One snapshot for all the laws: they are compared with each other while others post.
        if not connection.savepoint_ids:
            cursor.execute("set transaction isolation level repeatable read")
    started = clock.now()
    findings = invariants.broken_laws()
    check = SelfCheck.objects.create(
        started_at=started,
        finished_at=clock.now(),
        is_clean=not findings,
        findings=findings,
        counts=invariants.counts(),
    )
    if findings:
        emit(
            "ledger.broken",
            subject_type="self_check",
            subject_id=ledger_key("self_check", check.pk),
            payload={"laws": [finding["law"] for finding in findings], "self_check": check.pk},
        )
    return check
