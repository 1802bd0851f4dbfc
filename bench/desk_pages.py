"""Which pages of the back office are asked for: every list in every way that it offers, and a page of each kind of row."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from urllib.parse import quote, urlencode

from django.contrib import admin
from django.db.models import OneToOneField, QuerySet
from django.db.models.fields import AutoFieldMixin
from django.test import RequestFactory
from django.urls import reverse

from kauri.account.models import User
from kauri.common import clock
from kauri.common.admin import HouseAdmin, page_url
from kauri.common.paging import AFTER, BEFORE, token_of
from kauri.core.admin import PeriodFilter
from kauri.order_core.models import Order
from kauri.payment_provider.models import Payin, Payout

MOST_CHOICES = 12

Page = tuple[str, str, str]
QUEUES = {
    "withdrawals to approve": ("withdrawal_order.withdrawaldetail", "queue=waiting"),
    "withdrawals that wait too long": ("withdrawal_order.withdrawaldetail", "queue=overdue"),
    "movements to approve": ("internal_movement_order.movementdetail", "queue=waiting"),
    "verification": ("account.verificationcase", "queue=waiting"),
    "payments that hang": ("withdrawal_order.hangingpayout", "queue=waiting"),
    "unmatched money": ("deposit_order.unmatchedmoney", "queue=waiting"),
    "deposits on hold": ("deposit_order.depositdetail", "queue=held"),
    "dead webhooks": ("notification.delivery", "state__exact=dead"),
    "callbacks that failed": ("callbacks.inboundcallback", "state__exact=failed"),
}


def pages(user: User) -> Iterator[Page]:
    """Group, name, address."""
    yield "desk", "desk", reverse("admin:index")
    yield "desk", "desk, its figures alone", reverse("admin:desk")
    for title, (label, query) in QUEUES.items():
        yield "queue", title, f"{reverse(f'admin:{label.replace(".", "_")}_changelist')}?{query}"
    shown = [
        row for _model, row in sorted(admin.site._registry.items(), key=lambda item: item[0]._meta.label)
    ]
    for row in shown:
        request = _request(user)
        if isinstance(row, HouseAdmin) and row.has_view_permission(request):
            yield from _list(row, request)
            yield from _searches(row, request)
            yield from _rows(row, request)
    yield from _palette()


def _request(user: User, query: dict[str, str] | None = None) -> Any:
    request: Any = RequestFactory().get("/", query or {})
    request.user = user
    request.resolver_match = None
    return request


def _list(row: HouseAdmin, request: Any) -> Iterator[Page]:
    name = row.model._meta.label
    base = reverse(f"admin:{row.model._meta.app_label}_{row.model._meta.model_name}_changelist")
    found: Any = row.get_changelist_instance(request)
    yield "list", f"{name}: first page", base
    middle = _from_the_middle(found.queryset).first()
    if middle is not None:
        token = token_of(middle, found.keys)
        yield "list", f"{name}: a page in the middle", f"{base}?{urlencode({AFTER: token})}"
        yield "list", f"{name}: back from the middle", f"{base}?{urlencode({BEFORE: token})}"
    for number, column in enumerate(found.list_display):
        if column in found.sortable_by and column != "action_checkbox":
            for sign in ("", "-"):
                yield "list", f"{name}: by {column}", f"{base}?o={sign}{number}"
    for spec in found.filter_specs:
        for query in _choices(spec, found):
            yield "list", f"{name}: {spec.title}", f"{base}{query}"


def _choices(spec: Any, found: Any) -> Iterator[str]:
    if isinstance(spec, PeriodFilter):
        now, field = clock.now(), spec.parameter_name
        for first, days in ((1, 1), (14, 14), (400, 1), (400, 30)):
            since = now - timedelta(days=first)
            yield "?" + urlencode(
                {
                    f"{field}_from_0": f"{since:%Y-%m-%d}",
                    f"{field}_to_0": f"{since + timedelta(days=days):%Y-%m-%d}",
                }
            )
        return
    if (
        hasattr(spec, "lookup_kwarg")
        and not hasattr(spec, "lookup_choices")
        and spec.field.get_internal_type() == "CharField"
    ):
        choices = [value for value, _title in spec.field.choices or ()] or ["nothing-like-it"]
        kwarg = spec.lookup_kwarg
        yield from (f"?{kwarg}={quote(str(value))}" for value in choices[:MOST_CHOICES])
        return
    if hasattr(spec, "lookup_choices"):
        kwarg = getattr(spec, "lookup_kwarg", None) or spec.parameter_name
        for value, _title in list(spec.lookup_choices)[:MOST_CHOICES]:
            yield f"?{kwarg}={quote(str(value))}"
    elif spec.field.choices:
        yield from (
            f"?{spec.lookup_kwarg}={value}" for value, _title in list(spec.field.choices)[:MOST_CHOICES]
        )
    del found


def _searches(row: HouseAdmin, request: Any) -> Iterator[Page]:
    name = row.model._meta.label
    base = reverse(f"admin:{row.model._meta.app_label}_{row.model._meta.model_name}_changelist")
    nothing = {
        "uuid": str(uuid.uuid4()),
        "int": "123456789012",
        "address": "203.0.113.9",
        "lower": "no@body.example",
    }
    for lookup, kind in row.exact_search.items():
        sample = (
            _from_the_middle(row.get_queryset(request))
            .filter(**{f"{lookup}__isnull": False})
            .values_list(lookup, flat=True)[:1]
        )
        for value in sample:
            if value not in ("", None):
                yield "search", f"{name}: by {lookup}", f"{base}?q={quote(str(value))}"
        yield (
            "search",
            f"{name}: nothing by {lookup}",
            f"{base}?q={quote(nothing.get(kind, 'nothing-like-it'))}",
        )


def _rows(row: HouseAdmin, request: Any) -> Iterator[Page]:
    some = row.get_queryset(request)
    for title, found in (
        ("in the middle", _from_the_middle(some)),
        ("newest", some.order_by("-pk")),
    ):
        instance = found.first()
        url = page_url(instance) if instance is not None else ""
        if url:
            yield "page", f"{row.model._meta.label}: {title}", url


def _palette() -> Iterator[Page]:
    order = _from_the_middle(Order.objects.filter(external_id__gt="")).first()
    payin = _from_the_middle(Payin.objects.all()).first()
    payout = _from_the_middle(Payout.objects.all()).first()
    terms = {"nothing": "nothing-like-it", "a name": "orders"}
    if order is not None and payin is not None and payout is not None:
        terms |= {
            "an order's id": str(order.public_id),
            "the client's id": order.external_id,
            "an e-mail": order.owner.email,
            "a customer's id": str(order.owner.public_id),
            "a transaction": payin.transaction,
            "an address": payin.address or payin.sender,
            "a payout's transaction": payout.provider_reference,
            "a destination": payout.destination,
        }
    for title, term in terms.items():
        yield "search", f"command palette: {title}", f"{reverse('admin:search')}?s={quote(term)}"


def _from_the_middle(rows: QuerySet[Any]) -> QuerySet[Any]:
    """Those with the greater half of the keys, where keys are numbers; all of them elsewhere."""
    model, ordered = rows.model, rows.order_by("pk")
    if not isinstance(model._meta.pk, (AutoFieldMixin, OneToOneField)):
        return ordered
    last = model._default_manager.order_by("-pk").values_list("pk", flat=True).first()
    return ordered.filter(pk__gte=(last or 0) // 2)
