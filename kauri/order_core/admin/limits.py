"""What operators may approve alone: what is saved here is proposed."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _
from unfold.decorators import display

from kauri.common.admin import EMPTY, badge, digits
from kauri.core.admin import GovernedAdmin
from kauri.order_core.models import OperatorLimit


@admin.register(OperatorLimit)
class OperatorLimitAdmin(GovernedAdmin):
    """An operator's own row comes before those of their roles; of several roles the strictest counts."""

    list_display = ("whom", "kind", "each", "a_day", "looks")
    list_display_links = ("whom",)
    list_select_related = ("role", "operator")
    autocomplete_fields = ("operator",)
    fieldsets = (
        (None, {"fields": (("role", "operator"),)}),
        (_("Limits"), {"fields": (("per_approval", "per_day"), ("code_above", "second_look"))}),
        (None, {"fields": ("change_reason",)}),
    )

    @display(description=_("whose"))
    def whom(self, obj: OperatorLimit) -> object:
        return obj.operator or obj.role

    @display(description=_("of"))
    def kind(self, obj: OperatorLimit) -> SafeString:
        return badge(_("one operator"), "info") if obj.operator_id else badge(_("a role"))

    @display(description=_("most per approval, USD"), ordering="per_approval")
    def each(self, obj: OperatorLimit) -> Any:
        return EMPTY if obj.per_approval is None else digits(obj.per_approval)

    @display(description=_("most in 24 hours, USD"), ordering="per_day")
    def a_day(self, obj: OperatorLimit) -> Any:
        return EMPTY if obj.per_day is None else digits(obj.per_day)

    @display(description=_("second look at, %"), ordering="second_look")
    def looks(self, obj: OperatorLimit) -> Any:
        return EMPTY if obj.second_look is None else digits(obj.second_look)
