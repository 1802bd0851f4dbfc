"""Dollar rates: who said what when, how old it is, and a dialog to say it anew."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _
from unfold.decorators import action, display
from unfold.enums import ActionVariant
from unfold.forms import BaseDialogForm
from unfold.widgets import (
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
)

from kauri.common import clock
from kauri.common.admin import (
    MoneyInput,
    ReadOnlyAdmin,
    actor_of,
    attempt,
    back_to,
    badge,
    bound_column,
    list_url,
    page_url,
    when_column,
)
from kauri.common.scoped_admin import RelatedDropdownFilter
from kauri.core.models import Currency, Proposal
from kauri.exchange_rate.models import UsdRate
from kauri.exchange_rate.selectors import USD
from kauri.exchange_rate.services import usd_rate_propose


class RateForm(BaseDialogForm):
    """What one unit is worth, who says so, and for how long."""

    currency = forms.ModelChoiceField(
        label=_("Currency"), queryset=Currency.objects.exclude(code=USD), widget=UnfoldAdminSelectWidget
    )
    price = forms.CharField(label=_("US dollars for one"), max_length=60, widget=MoneyInput)
    source = forms.CharField(
        label=_("Source"),
        max_length=120,
        widget=UnfoldAdminTextInputWidget,
        help_text=_("Where the figure is from."),
    )
    hours = forms.IntegerField(
        label=_("Good for, hours"),
        min_value=1,
        max_value=744,
        initial=24,
        widget=UnfoldAdminIntegerFieldWidget,
        help_text=_("After that, what depends on it is refused until there is a new one."),
    )
    reason = forms.CharField(
        label=_("Reason"), max_length=300, widget=UnfoldAdminTextareaWidget(attrs={"rows": 2})
    )


@admin.register(UsdRate)
class UsdRateAdmin(ReadOnlyAdmin):
    list_display = ("currency", "price_shown", "fresh", "source", "quoted", "until", "author")
    list_display_links = ("currency",)
    list_select_related = ("currency",)
    list_filter = (("currency", RelatedDropdownFilter),)
    fields = ("currency", "price_shown", "fresh", "source", "quoted", "until", "author")
    actions_list = ("say",)
    public_lookup = "pk"
    price_shown = bound_column("price", _("US dollars for one"))
    quoted = when_column("quoted_at", _("quoted"))
    until = when_column("expires_at", _("good until"))

    @display(description=_("author"))
    def author(self, obj: UsdRate) -> str:
        return obj.actor_label

    @display(description=_("state"))
    def fresh(self, obj: UsdRate) -> SafeString:
        return badge(_("good"), "good") if obj.expires_at > clock.now() else badge(_("stale"), "warn")

    def has_say_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("exchange_rate.set_usdrate")

    @action(
        description=_("Set a rate"),
        icon="add",
        variant=ActionVariant.PRIMARY,
        permissions=["say"],
        dialog={
            "title": _("Set a rate"),
            "description": _(
                "A second person decides; it counts from then on. What was judged before keeps the rate of its moment."
            ),
            "form_class": RateForm,
            "form_submit_text": _("Propose the rate"),
        },
    )
    def say(self, request: HttpRequest, form: RateForm) -> HttpResponse:
        given: dict[str, Any] = form.cleaned_data
        made: list[Proposal] = []
        attempt(
            request,
            lambda: made.append(
                usd_rate_propose(
                    currency_id=given["currency"].pk,
                    price=given["price"],
                    source=given["source"],
                    good_for=timedelta(hours=given["hours"]),
                    reason=given["reason"],
                    actor=actor_of(request),
                )
            ),
            _("Proposed. Nothing has changed yet: a second person decides."),
        )
        return back_to(request, page_url(made[0]) if made else list_url(UsdRate))
