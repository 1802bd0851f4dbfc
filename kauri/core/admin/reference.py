"""Reference data and providers: nobody changes them alone."""

from __future__ import annotations

import json
from typing import Any

from django import forms
from django.contrib import admin
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _
from unfold.contrib.filters.admin import ChoicesDropdownFilter
from unfold.decorators import display
from unfold.widgets import UnfoldAdminTextareaWidget

from kauri.common.admin import badge, label_column, when_column
from kauri.core.admin.governed import GovernedAdmin, GovernedForm
from kauri.core.models import Currency, Network, Pair, Provider


def on_off_column(field: str, title: object) -> Any:
    @display(description=title, ordering=field)
    def column(self: Any, obj: Any) -> SafeString:
        del self
        return badge(_("on"), "good") if getattr(obj, field) else badge(_("off"), "bad")

    return column


@admin.register(Currency)
class CurrencyAdmin(GovernedAdmin):
    list_display = ("code", "name", "kind", "scale", "sort", "switched")
    fields = ("code", "name", "kind", "scale", "symbol", "sort", "is_enabled", "change_reason")
    switched = on_off_column("is_enabled", _("switched on"))


@admin.register(Network)
class NetworkAdmin(GovernedAdmin):
    list_display = ("code", "title", "currency", "environment", "confirmations", "switched")
    list_select_related = ("currency",)
    fields = (
        "code",
        "title",
        "currency",
        "environment",
        "confirmations",
        "explorer_url",
        "is_enabled",
        "change_reason",
    )
    switched = on_off_column("is_enabled", _("switched on"))


@admin.register(Pair)
class PairAdmin(GovernedAdmin):
    list_display = ("__str__", "price_scale", "switched")
    list_select_related = ("base", "quote")
    fields = ("base", "quote", "price_scale", "is_enabled", "change_reason")
    switched = on_off_column("is_enabled", _("switched on"))


class ProviderForm(GovernedForm):
    """Credentials are written, never read back."""

    aside = (*GovernedForm.aside, "new_credentials")

    new_credentials = forms.CharField(
        label=_("New credentials"),
        required=False,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 4, "autocomplete": "off", "spellcheck": "false"}),
        help_text=_(
            "A JSON object of names and values. It replaces all stored credentials; empty leaves them."
        ),
    )

    def clean_new_credentials(self) -> str:
        text = self.cleaned_data["new_credentials"].strip()
        if not text:
            return ""
        try:
            values = json.loads(text)
        except ValueError:
            raise forms.ValidationError(_("This is not JSON.")) from None
        if not isinstance(values, dict) or not all(isinstance(value, str) for value in values.values()):
            raise forms.ValidationError(_("A JSON object whose values are texts is needed."))
        return json.dumps(values)


_HEALTH_TONES = {"ok": "good", "bad": "bad"}


@admin.register(Provider)
class ProviderAdmin(GovernedAdmin):
    form = ProviderForm
    secret_fields = frozenset({"credentials_secret"})
    list_display = ("title", "code", "kind", "adapter", "environment", "switched", "health_label", "checked")
    list_filter = (("kind", ChoicesDropdownFilter), ("health", ChoicesDropdownFilter))
    fieldsets = (
        (None, {"fields": ("code", "title", "kind", "adapter", "environment", "priority", "is_enabled")}),
        (_("Connection"), {"fields": ("settings", "stored", "new_credentials")}),
        (_("Health"), {"fields": ("health_label", "health_detail", "checked")}),
        (None, {"fields": ("change_reason",)}),
    )
    readonly_fields = ("stored", "health_label", "health_detail", "checked")
    switched = on_off_column("is_enabled", _("switched on"))
    health_label = label_column("health", _("health"), _HEALTH_TONES)
    checked = when_column("health_at", _("health checked"))

    @display(description=_("credentials"))
    def stored(self, obj: Provider) -> SafeString:
        """Which credentials there are, never what they are."""
        names = ", ".join(sorted(obj.credentials)) if obj.pk else ""
        return badge(names, "good") if names else badge(_("none stored"), "warn")

    def proposed(self, obj: Any, form: Any, change: bool) -> dict[str, Any]:
        """The row as any setting, and the credentials in the place of all that are stored."""
        values = super().proposed(obj, form, change)
        given = form.cleaned_data["new_credentials"]
        return {**values, "credentials_secret": given} if given else values
