"""The desk: work first, then the state of the house, then the business. Every number leads to its rows."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from django.db.models import Count, Q
from django.http import HttpRequest
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from backoffice.business import business
from backoffice.queues import Card, approvals, on_hold, verification
from backoffice.schedules import HEARTBEAT_STALE, SCHEDULES
from backoffice.work import waiting
from kauri.balance.chart import AccountKind
from kauri.balance.models import Adjustment, LedgerAccount, SelfCheck
from kauri.balance.selectors import coverage
from kauri.callbacks.models import InboundCallback
from kauri.common import clock
from kauri.common.admin import age, list_url, money, page_url
from kauri.common.scopes import Scope, narrow
from kauri.core.models import AuditCheck, Currency, Heartbeat, OutboxEvent, Proposal, Provider, ScheduleRun
from kauri.deposit_order.models import DepositDetail, UnmatchedMoney
from kauri.exchange_rate.models import UsdRate
from kauri.exchange_rate.selectors import USD
from kauri.internal_movement_order.models import MovementDetail
from kauri.notification.models import Delivery
from kauri.report.selectors import DollarRow, Dollars, in_dollars
from kauri.wallet.models import ForeignToken, ReconciliationBreak
from kauri.withdrawal_order.models import Closing, HangingPayout

#: A schedule is late after this many of its periods (and never before a minute).
_LATE_PERIODS: Final = 3
_CUSTOMER_KINDS = f"{int(AccountKind.CUSTOMER_AVAILABLE)},{int(AccountKind.CUSTOMER_HELD)}"
_DOLLAR: Final = Currency(code=USD, scale=2)
_FUND_KINDS = f"{int(AccountKind.PROVIDER_FLOAT)},{int(AccountKind.PROVIDER_IN_TRANSIT)}"


@dataclass(frozen=True, slots=True)
class Line:
    """One sign of the house's health: its state, in a word and a colour."""

    title: str | Promise
    url: str
    tone: str
    said: str | Promise


def desk(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """The index page: the figures, and the business of the last days."""
    return {**context, **figures(request), **business(request)}


def figures(request: HttpRequest) -> dict[str, Any]:
    """What refreshes itself: the work and the house, as far as the operator may see them."""
    can, scope = request.user.has_perm, request.user.scope
    # Totals of the house hold every group's and every provider's money.
    whole = scope.groups is None and scope.providers is None
    return {
        "cards": _work(request),
        "coverage": _coverage(request) if whole and can("balance.view_ledgeraccount") else None,
        "providers": _providers(scope) if can("core.view_provider") else [],
        "checks": [
            *(_checks() if can("balance.view_selfcheck") and not scope.is_limited else []),
            *(_audited() if can("core.view_auditcheck") and not scope.is_limited else []),
        ],
        "workers": _workers(scope, sees_messages=can("notification.view_delivery"))
        if can("core.view_heartbeat")
        else [],
        "read_at": f"{clock.now():%H:%M:%S}",
    }


def _work(request: HttpRequest) -> list[Card]:
    counts = waiting(request)
    cards = []
    if "approvals" in counts:
        cards += [approvals(request), on_hold(request)]
    if "verification" in counts:
        cards.append(verification(request))
    cards += [
        Card(title, icon, counts[name], url, empty)
        for name, title, icon, url, empty in (*_plain_work(), *_money_work(), *_outside_work())
        if name in counts
    ]
    return cards


def _plain_work() -> tuple[tuple[str, Any, str, str, Any], ...]:
    """What is only counted: name, title, icon, the rows behind the number, words when there are none."""
    return (
        (
            "movements",
            _("Movements to approve"),
            "sync_alt",
            list_url(MovementDetail, queue="waiting"),
            _("No movement waits for a decision."),
        ),
        (
            "proposals",
            _("Proposed changes"),
            "rule",
            list_url(Proposal, state__exact="pending"),
            _("No change waits for a second person."),
        ),
        (
            "adjustments",
            _("Adjustments"),
            "balance",
            list_url(Adjustment, state__exact="pending"),
            _("No adjustment waits for a second person."),
        ),
    )


def _money_work() -> tuple[tuple[str, Any, str, str, Any], ...]:
    """The same, of money that came or went and did not find its end."""
    return (
        (
            "payouts",
            _("Payments that hang"),
            "contact_support",
            list_url(HangingPayout, queue="waiting"),
            _("Every payout's outcome is known."),
        ),
        (
            "closings",
            _("Closings by hand"),
            "gavel",
            list_url(Closing, state__exact="pending"),
            _("No closing waits for a second person."),
        ),
        (
            "payins",
            _("Unmatched money"),
            "question_exchange",
            list_url(UnmatchedMoney, queue="waiting"),
            _("Every payin has its owner."),
        ),
        (
            "holds",
            _("Deposits on hold"),
            "pause_circle",
            list_url(DepositDetail, queue="held"),
            _("Analysis holds nothing."),
        ),
    )


def _outside_work() -> tuple[tuple[str, Any, str, str, Any], ...]:
    """The same, of what the outside tells: chains, providers, customers' own servers."""
    return (
        (
            "breaks",
            _("Reconciliation breaks"),
            "compare_arrows",
            list_url(ReconciliationBreak, state__exact="open"),
            _("Chains, rows and books agree."),
        ),
        (
            "foreign",
            _("Foreign tokens"),
            "token",
            list_url(ForeignToken, state__exact="open"),
            _("Nobody sent a token that is none of ours."),
        ),
        (
            "callbacks",
            _("Callbacks that failed"),
            "sms_failed",
            list_url(InboundCallback, state__exact="failed"),
            _("Every callback was understood."),
        ),
        (
            "deliveries",
            _("Dead webhooks"),
            "link_off",
            list_url(Delivery, state__exact="dead"),
            _("Nothing was given up."),
        ),
    )


def _coverage(request: HttpRequest) -> dict[str, Any]:
    """Each currency that is owed or held, with its worth in US dollars, and the sum of what has a rate."""
    found = in_dollars([row for row in coverage() if request.user.scope.has_currency(row.currency.pk)])
    return {
        "rows": [_covered(row) for row in found.rows],
        "obligations": money(found.obligations, _DOLLAR),
        "funds": money(found.funds, _DOLLAR),
        "left_out": found.left_out(),
        "rates": _rates(found),
        "rates_url": list_url(UsdRate) if request.user.has_perm("exchange_rate.view_usdrate") else "",
    }


def _covered(found: DollarRow) -> dict[str, Any]:
    row = found.coverage
    ratio = row.ratio
    accounts = {"currency__id__exact": row.currency.pk}
    return {
        "code": row.currency.code,
        "obligations": money(row.obligations, row.currency),
        "obligations_usd": money(found.obligations, _DOLLAR),
        "obligations_url": list_url(LedgerAccount, kind__in=_CUSTOMER_KINDS, **accounts),
        "funds": money(row.funds, row.currency),
        "funds_usd": money(found.funds, _DOLLAR),
        "funds_url": list_url(LedgerAccount, kind__in=_FUND_KINDS, **accounts),
        "has_rate": found.quote is not None,
        "ratio": f"{ratio * 100:.1f} %" if ratio is not None else "",
        "tone": "" if ratio is None else "good" if ratio >= 1 else "bad",
    }


def _rates(found: Dollars) -> str:
    """Who says what the currencies are worth, and since when: of each source, its oldest rate."""
    oldest: dict[str, datetime] = {}
    for row in found.rows:
        if row.quote is not None and row.quote.currency != USD:
            moment = row.quote.quoted_at
            oldest[row.quote.source] = min(oldest.get(row.quote.source, moment), moment)
    said = "; ".join(f"{source}, {age(moment)}" for source, moment in oldest.items())
    return str(_("rates: %(sources)s")) % {"sources": said} if said else ""


def _providers(scope: Scope) -> list[Line]:
    tones = {Provider.HealthState.OK: "good", Provider.HealthState.BAD: "bad"}
    return [
        Line(
            row.title,
            page_url(row),
            tones.get(row.health, "warn"),
            row.health_detail or row.get_health_display()
            if row.health != Provider.HealthState.OK
            else _ok(row),
        )
        for row in narrow(Provider.objects.filter(is_enabled=True), scope)
    ]


def _ok(row: Provider) -> str:
    checked = age(row.health_at) if row.health_at else "–"
    return str(_("healthy, checked %(age)s")) % {"age": checked}


def _checks() -> list[Line]:
    last = SelfCheck.objects.order_by("-id").first()
    title = _("Ledger self-check")
    if last is None:
        return [Line(title, list_url(SelfCheck), "warn", _("has never run"))]
    if last.is_clean:
        said = str(_("every law holds, proven %(age)s")) % {"age": age(last.finished_at)}
        return [Line(title, page_url(last), "good", said)]
    said = str(_("broken laws: %(count)s, found %(age)s"))
    return [
        Line(title, page_url(last), "bad", said % {"count": len(last.findings), "age": age(last.finished_at)})
    ]


def _audited() -> list[Line]:
    """Whether the audit stands as it was written, and since when nobody has looked."""
    last, title = AuditCheck.objects.order_by("-id").first(), _("Audit's chain")
    if last is None:
        return [Line(title, list_url(AuditCheck), "warn", _("has never been proven"))]
    if not last.is_clean:
        said = str(_("not as it was written, found %(age)s"))
        return [Line(title, page_url(last), "bad", said % {"age": age(last.finished_at)})]
    said = str(_("every entry stands, proven %(age)s"))
    return [Line(title, page_url(last), "good", said % {"age": age(last.finished_at)})]


def _workers(scope: Scope, *, sees_messages: bool) -> list[Line]:
    return [*_heartbeats(), *_schedules(), *(_queues() if sees_messages and not scope.is_limited else [])]


def _heartbeats() -> list[Line]:
    now, title = clock.now(), str(_("Worker %(cluster)s"))
    return [
        Line(
            title % {"cluster": row.cluster},
            list_url(Heartbeat),
            "bad" if now - row.at > HEARTBEAT_STALE else "good",
            str(_("last sign of life %(age)s")) % {"age": age(row.at)},
        )
        for row in Heartbeat.objects.all()
    ] or [Line(_("Workers"), list_url(Heartbeat), "bad", _("no worker has ever reported"))]


def _schedules() -> list[Line]:
    """One line for all that run in time, one for each that is late or failed."""
    now = clock.now()
    every = {schedule.name: schedule.every for schedule in SCHEDULES}
    lines, fine = [], 0
    for run in ScheduleRun.objects.all():
        allowed = max(every.get(run.name, timedelta(hours=1)) * _LATE_PERIODS, timedelta(minutes=1))
        if run.error:
            lines.append(Line(run.name, page_url(run), "bad", run.error[:80]))
        elif run.finished_at is None or now - run.finished_at > allowed:
            ended = age(run.finished_at) if run.finished_at else _("never")
            said = str(_("late: last ended %(age)s")) % {"age": ended}
            lines.append(Line(run.name, page_url(run), "warn", said))
        else:
            fine += 1
    if fine:
        said = str(_("in time: %(count)s")) % {"count": fine}
        lines.append(Line(_("Schedules"), list_url(ScheduleRun), "good", said))
    return lines or [Line(_("Schedules"), list_url(ScheduleRun), "warn", _("none has run yet"))]


def _queues() -> list[Line]:
    """What waits to be told to the outside; old events mean that nobody tells."""
    late = clock.now() - timedelta(minutes=1)
    events = OutboxEvent.objects.filter(dispatched_at__isnull=True).aggregate(
        all=Count("id"), late=Count("id", filter=Q(created_at__lt=late))
    )
    messages = Delivery.objects.filter(state=Delivery.State.WAITING).aggregate(
        all=Count("id"), late=Count("id", filter=Q(next_attempt_at__lt=late))
    )
    said = str(_("waiting: %(count)s, too long: %(late)s"))
    url = list_url(Delivery, state__exact="waiting")
    return [
        Line(
            title,
            url,
            "warn" if found["late"] else "good",
            said % {"count": found["all"], "late": found["late"]},
        )
        for title, found in ((_("Events"), events), (_("Messages"), messages))
    ]
