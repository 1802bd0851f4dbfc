"""The rules by scope: what is saved here is proposed."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _
from unfold.contrib.filters.admin import ChoicesDropdownFilter
from unfold.decorators import display

from kauri.common.admin import EMPTY, badge, bound_column
from kauri.common.scoped_admin import RelatedDropdownFilter
from kauri.core.admin import GovernedAdmin, SaysNothingSelect
from kauri.order_core.models import Policy


@admin.register(Policy)
class PolicyAdmin(GovernedAdmin):
    """Limits and fees by scope. An empty field says nothing: a wider scope decides."""

    list_display = (
        "operation",
        "currency",
        "scope",
        "switched",
        "least",
        "greatest",
        "a_day",
        "approval",
        "fee",
    )
    list_select_related = ("currency", "user", "group")
    list_filter = (("operation", ChoicesDropdownFilter), ("currency", RelatedDropdownFilter))
    autocomplete_fields = ("user",)
    least = bound_column("min_amount", _("minimum"))
    greatest = bound_column("max_amount", _("maximum"))
    a_day = bound_column("daily_amount", _("limit a day"))
    approval = bound_column("approval_above", _("operator approval above"))
    fieldsets = (
        (_("Scope"), {"fields": ("operation", "currency", ("user", "group", "account_type"))}),
        (
            _("Limits"),
            {
                "fields": (
                    ("enabled", "unit"),
                    ("min_amount", "max_amount"),
                    ("daily_amount", "monthly_amount"),
                    "daily_count",
                    "required_level",
                )
            },
        ),
        (
            _("Confirmation and approval"),
            {"fields": (("totp_above", "email_above"), ("approval_above", "approvals_needed"))},
        ),
        (_("Fee"), {"fields": (("fee_percent", "fee_fixed"), ("fee_min", "fee_max"), "fee_payer")}),
        (None, {"fields": ("change_reason",)}),
    )

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name == "enabled":
            kwargs["widget"] = SaysNothingSelect
        return super().formfield_for_dbfield(db_field, request, **kwargs)

    @display(description=_("scope"))
    def scope(self, obj: Policy) -> object:
        return obj.user or obj.group or obj.get_account_type_display() or _("everyone")

    @display(description=_("switched on"))
    def switched(self, obj: Policy) -> SafeString:
        return (
            EMPTY
            if obj.enabled is None
            else badge(_("on"), "good")
            if obj.enabled
            else badge(_("off"), "bad")
        )

    @display(description=_("fee"))
    def fee(self, obj: Policy) -> str:
        parts = [f"{obj.fee_percent.normalize():f} %"] if obj.fee_percent else []
        parts += [f"{obj.fee_fixed.normalize():f}"] if obj.fee_fixed else []
        return " + ".join(parts) or "–"
