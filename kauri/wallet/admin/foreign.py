"""Foreign tokens: what came that is none of ours, whose address it came to, and what a person said about it."""

from __future__ import annotations

from typing import ClassVar

from django import forms
from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _
from unfold.contrib.filters.admin import ChoicesDropdownFilter
from unfold.decorators import action, display
from unfold.forms import BaseDialogForm
from unfold.widgets import UnfoldAdminTextareaWidget, UnfoldBooleanSwitchWidget

from kauri.common.admin import (
    EMPTY,
    ReadOnlyAdmin,
    actor_of,
    attempt,
    back_to,
    copyable,
    label_column,
    page_link,
    page_url,
    short,
    when_column,
)
from kauri.common.scoped_admin import RelatedDropdownFilter
from kauri.core.admin import PeriodFilter
from kauri.wallet.foreign import foreign_explain
from kauri.wallet.models import DepositAddress, ForeignToken


class ExplainForm(BaseDialogForm):
    explanation = forms.CharField(
        label=_("What was it?"),
        max_length=1000,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 3, "autofocus": True}),
    )
    whole_contract = forms.BooleanField(
        label=_("All of this contract that wait"), required=False, widget=UnfoldBooleanSwitchWidget
    )


@admin.register(ForeignToken)
class ForeignTokenAdmin(ReadOnlyAdmin):
    list_display = ("seen", "contract_short", "amount_short", "state_label", "provider", "address_short")
    list_display_links = ("seen",)
    list_select_related = ("provider",)
    list_filter = (
        ("state", ChoicesDropdownFilter),
        ("provider", RelatedDropdownFilter),
        ("seen_at", PeriodFilter),
    )
    exact_search: ClassVar[dict[str, str]] = {
        "transaction": "text",
        "contract": "text",
        "address": "text",
        "sender": "text",
    }
    search_help_text = _("A transaction hash, a contract, an address or a sender, exactly")
    public_lookup = "pk"
    fields = (
        "contract_full",
        "amount",
        "is_item",
        "state_label",
        "provider",
        "customer",
        "address_full",
        "sender_full",
        "transaction_full",
        "block_height",
        "seen",
        "explained_by",
        "explanation",
        "closed",
    )
    actions_detail = ("explain",)
    state_label = label_column("state", _("state"), {"open": "bad", "quiet": "info", "explained": "good"})
    seen = when_column("seen_at", _("seen"))
    closed = when_column("closed_at", _("closed"))

    @display(description=_("contract"))
    def contract_short(self, obj: ForeignToken) -> SafeString:
        return copyable(obj.contract, short(obj.contract))

    @display(description=_("contract"))
    def contract_full(self, obj: ForeignToken) -> SafeString:
        return copyable(obj.contract)

    @display(description=_("amount in its own unit"))
    def amount_short(self, obj: ForeignToken) -> SafeString:
        return copyable(obj.amount, short(obj.amount))

    @display(description=_("address of ours"))
    def address_short(self, obj: ForeignToken) -> SafeString:
        return copyable(obj.address, short(obj.address))

    @display(description=_("address of ours"))
    def address_full(self, obj: ForeignToken) -> SafeString:
        return copyable(obj.address)

    @display(description=_("customer"))
    def customer(self, obj: ForeignToken) -> SafeString:
        rows = DepositAddress.objects.select_related("user")
        place = rows.filter(provider=obj.provider_id, address=obj.address).first()
        return EMPTY if place is None else page_link(place.user)

    @display(description=_("sender"))
    def sender_full(self, obj: ForeignToken) -> SafeString:
        return copyable(obj.sender)

    @display(description=_("transaction"))
    def transaction_full(self, obj: ForeignToken) -> SafeString:
        return copyable(obj.transaction)

    def has_explain_permission(self, request: HttpRequest, object_id: object = None) -> bool:
        return request.user.has_perm("wallet.explain_foreigntoken")

    @action(
        description=_("Explain"),
        icon="task_alt",
        permissions=["explain"],
        dialog={
            "title": _("Explain what came"),
            "description": _("It leaves the inbox. Nothing moves: what is to go back is sent by hand."),
            "form_class": ExplainForm,
            "form_submit_text": _("Explain"),
        },
    )
    def explain(self, request: HttpRequest, form: ExplainForm, object_id: str) -> HttpResponse:
        row = self.row_of(request, object_id)
        given = form.cleaned_data
        attempt(
            request,
            lambda: foreign_explain(
                token_id=row.pk,
                actor=actor_of(request),
                explanation=given["explanation"],
                whole_contract=given["whole_contract"],
            ),
            _("It is explained."),
        )
        return back_to(request, page_url(row))
