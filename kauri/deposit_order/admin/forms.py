"""What the dialogs about unmatched money ask, and the queue's filter."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib.admin import SimpleListFilter
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _
from unfold.forms import BaseDialogForm
from unfold.widgets import UnfoldAdminTextareaWidget, UnfoldAdminTextInputWidget, UnfoldBooleanSwitchWidget

from kauri.deposit_order.models import UnmatchedAct
from kauri.payment_provider.models import Payin


def _reason() -> forms.CharField:
    return forms.CharField(
        label=_("Reason"), max_length=300, widget=UnfoldAdminTextareaWidget(attrs={"rows": 3})
    )


class CreditForm(BaseDialogForm):
    customer = forms.EmailField(
        label=_("Customer's e-mail"),
        widget=UnfoldAdminTextInputWidget(attrs={"autocomplete": "off", "autofocus": True}),
    )
    with_fee = forms.BooleanField(
        label=_("Take the deposit fee"), required=False, initial=True, widget=UnfoldBooleanSwitchWidget
    )
    reason = _reason()


class SendBackForm(BaseDialogForm):
    evidence = forms.CharField(
        label=_("Outgoing transaction"),
        max_length=128,
        widget=UnfoldAdminTextInputWidget(attrs={"autocomplete": "off", "autofocus": True}),
        help_text=_("The transaction that has sent it back already: nothing is paid from here."),
    )
    reason = _reason()


class QueueFilter(SimpleListFilter):
    """What waits for people, and what is behind them."""

    title = _("queue")
    parameter_name = "queue"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        del request, model_admin
        return [
            ("waiting", _("Waits for people")),
            ("proposed", _("Waits for a second person")),
            ("done", _("Decided")),
        ]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        del request
        if self.value() == "waiting":
            return queryset.filter(state__in=[Payin.State.UNMATCHED, Payin.State.ALARM])
        if self.value() == "proposed":
            return queryset.filter(acts__state=UnmatchedAct.State.PENDING)
        if self.value() == "done":
            return queryset.filter(acts__state=UnmatchedAct.State.DONE)
        return queryset
