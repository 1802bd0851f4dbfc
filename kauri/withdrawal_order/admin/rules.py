"""The review rules: what is saved here is proposed."""

from __future__ import annotations

from django.contrib import admin
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _
from unfold.contrib.filters.admin import ChoicesDropdownFilter
from unfold.decorators import display

from kauri.common.admin import EMPTY, badge, digits
from kauri.common.scoped_admin import RelatedDropdownFilter
from kauri.core.admin import GovernedAdmin
from kauri.withdrawal_order.models import ReviewRule


@admin.register(ReviewRule)
class ReviewRuleAdmin(GovernedAdmin):
    """Each row that is hit sends a withdrawal to people; the strictest says to how many."""

    list_display = ("kind", "currency_shown", "group_shown", "bound", "approvals_needed", "switched")
    list_display_links = ("kind",)
    list_select_related = ("currency", "group")
    list_filter = (("kind", ChoicesDropdownFilter), ("currency", RelatedDropdownFilter))
    fieldsets = (
        (None, {"fields": ("kind", "is_enabled", ("currency", "group"))}),
        (_("Hit when"), {"fields": (("threshold", "unit"), "hours", "countries")}),
        (_("Confirmation and approval"), {"fields": ("approvals_needed",)}),
        (None, {"fields": ("change_reason",)}),
    )

    @display(description=_("currency"), ordering="currency__sort")
    def currency_shown(self, obj: ReviewRule) -> object:
        return obj.currency or _("every currency")

    @display(description=_("group"), ordering="group__code")
    def group_shown(self, obj: ReviewRule) -> object:
        return obj.group or _("everyone")

    @display(description=_("threshold"))
    def bound(self, obj: ReviewRule) -> object:
        parts = []
        if obj.threshold is not None:
            parts.append(f"{digits(obj.threshold)}{' USD' if obj.unit == ReviewRule.Unit.USD else ''}")
        if obj.hours is not None:
            parts.append(f"{obj.hours} h")
        if obj.countries:
            parts.append(", ".join(sorted(obj.listed)))
        return " / ".join(parts) or EMPTY

    @display(description=_("switched on"), ordering="is_enabled")
    def switched(self, obj: ReviewRule) -> SafeString:
        return badge(_("on"), "good") if obj.is_enabled else badge(_("off"), "bad")
