"""Payout channels: proposed by one person, decided by another, as policies are."""

from __future__ import annotations

from django.contrib import admin
from django.db.models import OuterRef, QuerySet, Subquery, Sum
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _
from unfold.decorators import display

from kauri.common import clock
from kauri.common.admin import EMPTY, bound_column, money
from kauri.common.money import ZERO
from kauri.common.scoped_admin import RelatedDropdownFilter
from kauri.core.admin import GovernedAdmin
from kauri.payment_provider.models import Channel
from kauri.payment_provider.routing import counted_today


@admin.register(Channel)
class ChannelAdmin(GovernedAdmin):
    """What is saved here is proposed."""

    list_display = (
        "currency",
        "provider",
        "is_enabled",
        "priority",
        "least",
        "most",
        "pace_seconds",
        "hours",
        "today",
    )
    list_display_links = ("currency", "provider")
    list_select_related = ("currency", "provider")
    list_filter = (("currency", RelatedDropdownFilter), ("provider", RelatedDropdownFilter))
    least = bound_column("min_amount", _("least"))
    most = bound_column("max_amount", _("most"))
    fieldsets = (
        (None, {"fields": (("currency", "provider"), ("is_enabled", "priority"))}),
        (
            _("One payout"),
            {"fields": (("min_amount", "max_amount"), "max_parts")},
        ),
        (
            _("Over time"),
            {"fields": (("pace_seconds", "daily_cap"), ("opens_at", "closes_at"))},
        ),
        (_("When it does not work"), {"fields": ("fails_over", "hand_over_minutes")}),
        (None, {"fields": ("change_reason",)}),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Channel]:
        of_channel = counted_today(clock.now()).filter(
            provider=OuterRef("provider"), currency=OuterRef("currency")
        )
        total = of_channel.order_by().values("currency").annotate(total=Sum("amount")).values("total")
        return super().get_queryset(request).annotate(spent=Subquery(total))

    @display(description=_("hours, UTC"))
    def hours(self, obj: Channel) -> str:
        if obj.opens_at is None or obj.closes_at is None:
            return str(_("always"))
        return f"{obj.opens_at:%H:%M}–{obj.closes_at:%H:%M}"

    @display(description=_("used of the day's cap"))
    def today(self, obj: Channel) -> SafeString | str:
        if obj.daily_cap is None:
            return EMPTY
        spent = obj.spent or ZERO
        return format_html("{} / {}", money(spent, obj.currency), money(obj.daily_cap, obj.currency))
