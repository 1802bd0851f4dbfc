"""What waits for people: the kinds of work, and how much of each there is for whoever looks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final

from django.db import connection
from django.db.models import Count, Model, QuerySet, Value
from django.http import HttpRequest

from kauri.account.cases.queue import queue as verification_queue
from kauri.balance.models import Adjustment
from kauri.callbacks.models import InboundCallback
from kauri.common import clock
from kauri.common.scopes import Scope, one_by_one
from kauri.core.models import Proposal
from kauri.deposit_order import holds
from kauri.notification.models import Delivery
from kauri.order_core.models import Approval
from kauri.order_core.states import OrderType
from kauri.payment_provider.models import Payin, Payout
from kauri.wallet.models import ForeignToken, ReconciliationBreak
from kauri.withdrawal_order.models import Closing
from kauri.withdrawal_order.selectors import hanging
from kauri.withdrawal_order.selectors import queue as withdrawal_queue


@dataclass(frozen=True, slots=True)
class Work:
    """A kind of work that waits for people: whose it is, and where its rows are."""

    name: str
    permission: str
    #: What waits at a moment.
    rows: Callable[[datetime], QuerySet[Any]]


def _in_state(model: type[Model], state: str) -> Callable[[datetime], QuerySet[Any]]:
    """Rows that wait by their state alone, whatever the time."""
    return lambda _now: model._default_manager.filter(state=state)


#: What waits, cheapest to count from a partial index each.
WORK: tuple[Work, ...] = (
    Work("approvals", "withdrawal_order.view_withdrawaldetail", lambda _now: withdrawal_queue()),
    Work(
        "movements",
        "internal_movement_order.view_movementdetail",
        lambda _now: Approval.objects.filter(
            state=Approval.State.PENDING, order__type=OrderType.INTERNAL_MOVEMENT
        ),
    ),
    Work("verification", "account.view_verificationcase", lambda _now: verification_queue()),
    Work("proposals", "core.view_proposal", _in_state(Proposal, Proposal.State.PENDING)),
    Work("adjustments", "balance.view_adjustment", _in_state(Adjustment, Adjustment.State.PENDING)),
    Work(
        "payouts",
        "withdrawal_order.view_hangingpayout",
        lambda now: Payout.objects.filter(hanging(now)),
    ),
    Work("closings", "withdrawal_order.view_closing", _in_state(Closing, Closing.State.PENDING)),
    Work(
        "payins",
        "deposit_order.view_unmatchedmoney",
        lambda _now: Payin.objects.filter(state__in=[Payin.State.UNMATCHED, Payin.State.ALARM]),
    ),
    Work("holds", "deposit_order.view_depositdetail", lambda _now: holds.queue()),
    Work(
        "breaks",
        "wallet.view_reconciliationbreak",
        _in_state(ReconciliationBreak, ReconciliationBreak.State.OPEN),
    ),
    Work("foreign", "wallet.view_foreigntoken", _in_state(ForeignToken, ForeignToken.State.OPEN)),
    Work(
        "callbacks",
        "callbacks.view_inboundcallback",
        _in_state(InboundCallback, InboundCallback.State.FAILED),
    ),
    Work("deliveries", "notification.view_delivery", _in_state(Delivery, Delivery.State.DEAD)),
)


#: Stands for the present in a statement that is kept: a queue takes its moments from what it is given, never from the clock.
_PRESENT: Final = datetime(2000, 1, 1, tzinfo=UTC)


@lru_cache(maxsize=256)
def _counting(names: tuple[str, ...], scope: Scope) -> tuple[str, tuple[Any, ...]]:
    """The statement that counts each kind of work: to build it anew for every page took a tenth of the page."""
    parts = [
        one_by_one(work.rows(_PRESENT), scope)
        .order_by()
        .annotate(work=Value(work.name))
        .values("work")
        .annotate(rows=Count("pk"))
        for work in WORK
        if work.name in names
    ]
    sql, params = parts[0].union(*parts[1:], all=True).query.sql_with_params()
    return sql, tuple(params)


def waiting(request: HttpRequest) -> dict[str, int]:
    """How much of each kind of work waits, for what this operator may see. One query, once a request."""
    known = getattr(request, "_kauri_waiting", None)
    if known is not None:
        return known
    names = tuple(work.name for work in WORK if request.user.has_perm(work.permission))
    counts = dict.fromkeys(names, 0)
    if names:
        sql, params = _counting(names, request.user.scope)
        since = clock.now() - _PRESENT
        moved = [value + since if isinstance(value, datetime) else value for value in params]
        with connection.cursor() as cursor:
            cursor.execute(sql, moved)
            counts |= dict(cursor.fetchall())
    request._kauri_waiting = counts  # type: ignore[attr-defined]
    return counts
