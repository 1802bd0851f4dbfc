"""The business on the desk: orders by day, registrations. Every number leads to its rows."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Final

from django.core.cache import cache
from django.db.models import Count
from django.db.models.functions import TruncDate
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from kauri.account.models import User
from kauri.common import clock
from kauri.common.admin import list_url
from kauri.common.scopes import Scope, narrow
from kauri.order_core.models import Order
from kauri.order_core.states import OrderType

DAYS: Final = 14
KEPT_SECONDS: Final = 24 * 3600


def business(request: HttpRequest) -> dict[str, Any]:
    """Orders by day for the chart, and registrations; a number says how to see its rows."""
    today = clock.now().date()
    first = today - timedelta(days=DAYS - 1)
    shown: dict[str, Any] = {"chart": "", "sums": [], "days": DAYS}
    if request.user.has_perm("order_core.view_order"):
        counts = _orders_by_day(first, request.user.scope)
        days = [first + timedelta(days=number) for number in range(DAYS)]
        shown["chart"] = _chart(days, counts)
        for kind, title in ((OrderType.DEPOSIT, _("Deposits")), (OrderType.WITHDRAWAL, _("Withdrawals"))):
            count = sum(counts.get((day, kind), 0) for day in days)
            url = list_url(Order, type__exact=kind.value, **_since("created_at", first))
            shown["sums"].append((title, count, url))
    if request.user.has_perm("account.view_user"):
        people = User.objects.filter(is_staff=False, created_at__gte=_midnight(first))
        count = narrow(people, request.user.scope).count()
        shown["sums"].append((_("Registrations"), count, list_url(User, **_since("created_at", first))))
    return shown


def _orders_by_day(first: date, scope: Scope) -> dict[tuple[date, str], int]:
    """By day and type. What is over for a day does not change any more, and is counted once for all of a scope."""
    over = clock.now().date() - timedelta(days=1)
    key = f"desk:orders:{first}:{over}:{hashlib.sha256(repr(scope).encode()).hexdigest()}"
    past = cache.get(key)
    if past is None:
        past = _counted(first, over, scope)
        cache.set(key, past, KEPT_SECONDS)
    return past | _counted(over, None, scope)


def _counted(first: date, end: date | None, scope: Scope) -> dict[tuple[date, str], int]:
    rows = narrow(Order.objects.all(), scope).filter(
        type__in=[OrderType.DEPOSIT, OrderType.WITHDRAWAL], created_at__gte=_midnight(first)
    )
    if end is not None:
        rows = rows.filter(created_at__lt=_midnight(end))
    days = rows.annotate(day=TruncDate("created_at", tzinfo=UTC)).order_by().values("day", "type")
    return {(row["day"], row["type"]): row["count"] for row in days.annotate(count=Count("id"))}


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time.min, tzinfo=UTC)


def _chart(days: list[date], counts: dict[tuple[date, str], int]) -> str:
    lines = (
        (_("Deposits"), OrderType.DEPOSIT, "var(--color-primary-600)"),
        (_("Withdrawals"), OrderType.WITHDRAWAL, "var(--color-base-400)"),
    )
    return json.dumps(
        {
            "labels": [f"{day:%d.%m}" for day in days],
            "datasets": [
                {
                    "label": str(title),
                    "data": [counts.get((day, kind), 0) for day in days],
                    "backgroundColor": colour,
                    "borderRadius": 4,
                    # Beside each other: the theme's default draws one over the other.
                    "grouped": True,
                    "maxBarThickness": 12,
                }
                for title, kind, colour in lines
            ],
        }
    )


def _since(field: str, first: date) -> dict[str, str]:
    """The list's own date filter, set to everything since the first day shown."""
    return {f"{field}_from_0": first.isoformat(), f"{field}_from_1": "00:00:00"}
