"""Customers' saved destinations, to look at; and what the page of decision says of them and of the checks."""

from __future__ import annotations

from typing import Any, ClassVar

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _
from unfold.decorators import display

from kauri.common import clock
from kauri.common.admin import (
    ReadOnlyAdmin,
    badge,
    copyable,
    list_url,
    page_link,
    short,
    when,
    when_column,
)
from kauri.common.scoped_admin import RelatedDropdownFilter
from kauri.common.scopes import narrow
from kauri.order_core.admin import screening_facts
from kauri.withdrawal_order.models import SavedDestination, WithdrawalDetail
from kauri.withdrawal_order.selectors import Decision


@admin.register(SavedDestination)
class SavedDestinationAdmin(ReadOnlyAdmin):
    """By customer or destination; removed ones stay to be seen."""

    list_display = ("to", "customer_link", "currency", "network", "label", "state", "confirmed", "payable")
    list_display_links = None
    list_filter = (("currency", RelatedDropdownFilter),)
    exact_search: ClassVar[dict[str, str]] = {"customer__email": "lower", "destination": "text"}
    search_help_text = _("An e-mail or a destination, exactly")
    fields = (
        "to_whole",
        "customer_link",
        "currency",
        "network",
        "label",
        "state",
        "asked",
        "confirmed",
        "payable",
        "removed",
    )
    readonly_fields = fields
    asked = when_column("created_at", _("asked for"))
    confirmed = when_column("confirmed_at", _("confirmed"))
    payable = when_column("usable_from", _("payable from"))
    removed = when_column("removed_at", _("removed"))

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows = SavedDestination.objects.select_related("customer", "currency", "network")
        return narrow(rows, request.user.scope)

    @display(description=_("destination"))
    def to(self, obj: SavedDestination) -> SafeString:
        return copyable(obj.destination, short(obj.destination))

    @display(description=_("destination"))
    def to_whole(self, obj: SavedDestination) -> SafeString:
        return copyable(obj.destination)

    @display(description=_("customer"))
    def customer_link(self, obj: SavedDestination) -> SafeString:
        return page_link(obj.customer)

    @display(description=_("state"))
    def state(self, obj: SavedDestination) -> SafeString:
        if obj.removed_at is not None:
            return badge(_("removed"), "bad")
        if obj.usable_from is None:
            return badge(_("waits for its code"), "warn")
        if obj.usable_from > clock.now():
            return badge(_("cooling off"), "info")
        return badge(_("payable"), "good")


def review_facts(found: Decision) -> dict[str, Any]:
    """What a withdrawal waited for, and what is known of where it goes and where it was asked from."""
    detail, saved = found.detail, found.saved
    return {
        "first_used": when(found.destination.first_used),
        "last_used": when(found.destination.last_used),
        "same_destination": list_url(WithdrawalDetail, q=detail.destination),
        "country": detail.country,
        "saved_since": when(saved.confirmed_at) if saved else "",
        "saved_list": list_url(SavedDestination, q=found.order.owner.email),
        "analysis": screening_facts(detail.screening) if detail.screening else "",
        "analysis_due": detail.screen_due_at is not None,
        "confirm_until": when(detail.confirm_until) if detail.confirm_until else "",
        "confirmed": when(detail.confirmed_at) if detail.confirmed_at else "",
    }
