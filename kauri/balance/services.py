"""The ledger's own upkeep: opening balances, the self-check, closed days and periods."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Final

from django.db import DatabaseError, connection, transaction

from kauri.account.selectors import require_permission, require_whole
from kauri.balance import invariants, ledger, packs
from kauri.balance.chart import AccountKind, TransferKind
from kauri.balance.ledger import Draft, Leg, Posted
from kauri.balance.models import Period, SelfCheck, TrialBalancePack
from kauri.common import clock
from kauri.common.actor import Actor
from kauri.common.errors import KauriError
from kauri.common.ids import ledger_key
from kauri.common.money import exact
from kauri.core.audit import audit
from kauri.core.models import Currency, Provider
from kauri.core.outbox import emit

OPENINGS_AT_ONCE: Final = 500


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


@dataclass(frozen=True, slots=True)
class Opening:
    """What a customer is owed on the day on which the house moves to these books."""

    customer_id: int
    currency: Currency
    amount: Decimal


def openings_post(openings: Sequence[Opening], *, actor: Actor, source: str) -> int:
    """Bring customers' balances from elsewhere into the books, once per customer and currency; how many were new.

    ``source`` says where the figures come from. Each batch is a transaction, so that an import that
    was cut off goes on where it stopped. Raises ``invalid_amount``, ``conflict`` (a customer's opening
    balance was booked before with another amount): that batch is not written.
    """
    written = 0
    for first in range(0, len(openings), OPENINGS_AT_ONCE):
        with transaction.atomic():
            part = openings[first : first + OPENINGS_AT_ONCE]
            posted = ledger.post_batch(
                TransferKind.OPENING, [_opening_draft(opening, source) for opening in part], actor=actor
            )
            new = sum(not row.replayed for row in posted)
            written += new
            audit(
                actor,
                "openings_post",
                object_type="transfer",
                object_id=posted[-1].transfer_id,
                label=source,
                after={"customers": new, "already": len(posted) - new},
            )
    return written


def _opening_draft(opening: Opening, source: str) -> Draft:
    amount = exact(opening.amount, opening.currency.scale)
    if amount <= 0:
        raise KauriError("invalid_amount")
    return Draft(
        ledger_key("opening-of", opening.customer_id, opening.currency.code),
        [
            Leg(AccountKind.CAPITAL, opening.currency, -amount),
            Leg(AccountKind.CUSTOMER_AVAILABLE, opening.currency, amount, customer_id=opening.customer_id),
        ],
        reference=source[:254],
    )


def self_check_run(*, full: bool = True, more: dict[str, str] | None = None) -> SelfCheck:
    """Prove the laws in one snapshot, keep the result with its evidence, and alert when one is broken.

    Incremental: only entries dated since the last clean run. ``more`` are further laws (name -> query
    of the rows that break it) of a floor above. Writers are not blocked.
    """
    with connection.cursor() as cursor:
        # All entries dated before this can be seen by any snapshot taken from here on.
        cursor.execute("select ledger_barrier()")
        until: datetime = cursor.fetchone()[0]
    since = None if full else _proven_until()
    window = None if since is None else (since, until)
    started = clock.now()
    with transaction.atomic():
        with connection.cursor() as cursor:
            # One snapshot for all the laws: they are compared with each other while others post.
            if not connection.savepoint_ids:
                cursor.execute("set transaction isolation level repeatable read")
            # Sums and sorts over all accounts fit; the setting falls with the transaction.
            cursor.execute("set local work_mem = '64MB'")
        findings = invariants.broken_laws(window) + invariants.broken(more or {})
        check = SelfCheck.objects.create(
            is_full=window is None,
            from_at=since,
            until_at=until,
            started_at=started,
            finished_at=clock.now(),
            is_clean=not findings,
            findings=findings,
            counts=invariants.counts(window),
        )
        if findings:
            emit(
                "ledger.broken",
                subject_type="self_check",
                subject_id=ledger_key("self_check", check.pk),
                payload={"laws": [finding["law"] for finding in findings], "self_check": check.pk},
            )
        return check


def _proven_until() -> datetime | None:
    """Up to where the books were last proven; None: never, or the last proof failed and all is in doubt."""
    last = SelfCheck.objects.order_by("-id").first()
    return last.until_at if last is not None and last.is_clean else None


def days_close() -> int:
    """Close every whole day that is not closed yet; how many. -1: another process is at it."""
    with connection.cursor() as cursor:
        cursor.execute("select ledger_close_days()")
        row = cursor.fetchone()
    return int(row[0])


@transaction.atomic
def period_close(*, month: date, actor: Actor) -> TrialBalancePack:
    """Close the month that ``month`` lies in, for ever, and sign its trial balance.

    Months are closed one after the other, each only when it is over. Raises ``forbidden``,
    ``period_closed`` (already), ``wrong_state`` (not over, not the next, or no key to sign with).
    """
    require_permission(actor, "balance.close_period")
    require_whole(actor)
    starts = datetime(month.year, month.month, 1, tzinfo=UTC)
    ends = datetime(month.year + month.month // 12, month.month % 12 + 1, 1, tzinfo=UTC)
    if Period.objects.filter(ends_at__gte=ends).exists():
        raise KauriError("period_closed")
    key = packs.signing_key()
    if days_close() < 0:
        raise KauriError("conflict", "the days are being closed by another process: try again")
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("select ledger_close_period(%s, %s, %s)", [starts, ends, ledger.author(actor)])
            period = Period.objects.get(pk=cursor.fetchone()[0])
    except DatabaseError as exc:
        if getattr(exc.__cause__, "sqlstate", None) != "LG423":
            raise
        raise KauriError("wrong_state", str(exc.__cause__).splitlines()[0]) from exc
    pack = packs.sign(period, key)
    audit(
        actor,
        "period_close",
        object_type="period",
        object_id=period.pk,
        label=str(period),
        after={"ends_at": ends.isoformat(), "sha256": hashlib.sha256(pack.body.encode()).hexdigest()},
    )
    return pack
