"""Money at the providers: what came in, what went out, what they say we have there."""

from __future__ import annotations

from typing import Any, ClassVar, Final

from django import forms
from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _
from unfold.contrib.filters.admin import ChoicesDropdownFilter
from unfold.decorators import action, display
from unfold.forms import BaseDialogForm
from unfold.widgets import UnfoldAdminTextareaWidget

from kauri.common.admin import (
    EMPTY,
    ReadOnlyAdmin,
    actor_of,
    attempt,
    back_to,
    badge,
    copyable,
    label_column,
    money,
    money_column,
    order_column,
    page_link,
    page_url,
    raw,
    short,
    when_column,
)
from kauri.common.scoped_admin import RelatedDropdownFilter
from kauri.core.admin import PeriodFilter
from kauri.payment_provider.admin.sendings import PAYOUT_TONES, SendingAdmin
from kauri.payment_provider.models import Payin, Payout, ProviderBalanceSnapshot
from kauri.payment_provider.services import can_cancel, payout_cancel

PAYIN_TONES: Final[dict[str, str]] = {
    "seen": "info",
    "credited": "good",
    "unmatched": "warn",
    "orphaned": "",
    "alarm": "bad",
    "held": "bad",
    "returned": "",
    "kept": "",
}


class CancelForm(BaseDialogForm):
    reason = forms.CharField(
        label=_("Reason"), max_length=300, widget=UnfoldAdminTextareaWidget(attrs={"rows": 3})
    )


@admin.register(Payin)
class PayinAdmin(ReadOnlyAdmin):
    list_display = ("seen", "amount_shown", "state_label", "provider", "transaction_short", "to", "order")
    list_display_links = ("seen", "amount_shown")
    list_select_related = ("provider", "currency")
    list_filter = (
        ("state", ChoicesDropdownFilter),
        ("currency", RelatedDropdownFilter),
        ("provider", RelatedDropdownFilter),
        ("seen_at", PeriodFilter),
    )
    exact_search: ClassVar[dict[str, str]] = {
        "transaction": "text",
        "address": "text",
        "order_id": "uuid",
        "reference": "text",
        "public_id": "uuid",
    }
    search_help_text = _("A transaction hash, an address, an order id or our reference, exactly")
    fields = (
        "amount_shown",
        "state_label",
        "fault",
        "fault_detail",
        "cost_shown",
        "booked",
        "provider",
        "transaction_full",
        "ordinal",
        "address_full",
        "sender_full",
        "reference",
        "block_height",
        "block_hash",
        "order",
        "seen",
        "credited",
    )
    amount_shown = money_column("amount", "currency", _("amount"))
    cost_shown = money_column("cost", "currency", _("provider's cost"))
    booked = when_column("booked_at", _("in the books as nobody's"))
    state_label = label_column("state", _("state"), PAYIN_TONES)
    order = order_column()
    seen = when_column("seen_at", _("seen"))
    credited = when_column("credited_at", _("credited"))

    @display(description=_("transaction"))
    def transaction_short(self, obj: Payin) -> SafeString:
        return copyable(obj.transaction, short(obj.transaction))

    @display(description=_("address"))
    def to(self, obj: Payin) -> SafeString:
        return copyable(obj.address, short(obj.address))

    @display(description=_("transaction"))
    def transaction_full(self, obj: Payin) -> SafeString:
        return copyable(obj.transaction)

    @display(description=_("address"))
    def address_full(self, obj: Payin) -> SafeString:
        return copyable(obj.address)

    @display(description=_("sender"))
    def sender_full(self, obj: Payin) -> SafeString:
        return copyable(obj.sender)


@admin.register(Payout)
class PayoutAdmin(SendingAdmin):
    list_display = ("created", "amount_shown", "state_label", "provider", "to", "order", "attempts", "error")
    list_display_links = ("created", "amount_shown")
    list_select_related = ("provider", "currency")
    list_filter = (
        ("state", ChoicesDropdownFilter),
        ("currency", RelatedDropdownFilter),
        ("provider", RelatedDropdownFilter),
        ("created_at", PeriodFilter),
    )
    exact_search: ClassVar[dict[str, str]] = {
        "provider_reference": "text",
        "destination": "text",
        "order_id": "uuid",
        "public_id": "uuid",
    }
    search_help_text = _("The provider's id or hash, a destination or an order id, exactly")
    fieldsets = (
        (
            None,
            {
                "fields": (
                    "amount_shown",
                    "state_label",
                    "provider",
                    "destination_full",
                    "order",
                    "reference_full",
                    "confirmations",
                    "cost_shown",
                )
            },
        ),
        (
            _("Attempts"),
            {
                "fields": (
                    "attempts",
                    "error",
                    "nonce",
                    "source_address",
                    "earlier_shown",
                    "created",
                    "sent",
                    "next_try",
                    "finished",
                )
            },
        ),
        (_("Provider's answer"), {"fields": ("answer_shown",)}),
    )
    actions_detail = ("cancel",)
    order = order_column()

    def has_cancel_permission(self, request: HttpRequest, object_id: object = None) -> bool:
        if not request.user.has_perm("payment_provider.cancel_payout") or object_id is None:
            return False
        payout = self.get_object(request, str(object_id))
        return payout is not None and can_cancel(payout)

    @action(
        description=_("Cancel on the chain"),
        icon="block",
        permissions=["cancel"],
        dialog={
            "title": _("Cancel the stuck payout"),
            "description": _(
                "A transaction that pays nobody takes its place, if the chain still lets it. Then the order fails and "
                "its money is available again. Payouts of the same transaction are cancelled with it."
            ),
            "form_class": CancelForm,
            "form_submit_text": _("Cancel the payout"),
        },
    )
    def cancel(self, request: HttpRequest, form: CancelForm, object_id: str) -> HttpResponse:
        payout = self.row_of(request, object_id)
        attempt(
            request,
            lambda: payout_cancel(
                payout_id=payout.pk, actor=actor_of(request), reason=form.cleaned_data["reason"]
            ),
            _("The cancellation is on its way."),
        )
        return back_to(request, page_url(payout))

    @display(description=_("last error"))
    def error(self, obj: Payout) -> SafeString:
        return badge(obj.last_error, "bad") if obj.last_error else EMPTY


def payout_facts(payout: Payout | None) -> dict[str, Any] | None:
    """A payout for another page: the state, the provider's id and answer."""
    if payout is None:
        return None
    return {
        "row": payout,
        "link": page_link(payout, short(payout.public_id)),
        "state": badge(payout.get_state_display(), PAYOUT_TONES.get(payout.state, "")),
        "reference": copyable(payout.provider_reference),
        "cost": money(payout.cost, payout.cost_currency) if payout.cost_currency else EMPTY,
        "answer": raw(payout.answer),
    }


@admin.register(ProviderBalanceSnapshot)
class ProviderBalanceSnapshotAdmin(ReadOnlyAdmin):
    list_display = ("provider", "amount_shown", "taken")
    list_select_related = ("provider", "currency")
    list_filter = (("provider", RelatedDropdownFilter), ("currency", RelatedDropdownFilter))
    fields = ("provider", "amount_shown", "taken")
    public_lookup = "pk"
    amount_shown = money_column("amount", "currency", _("amount"))
    taken = when_column("at", _("when"))
