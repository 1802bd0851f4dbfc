"""Deposit addresses and payment links: whose they are."""

from __future__ import annotations

from typing import Any, ClassVar

from django import forms
from django.contrib import admin
from django.contrib.admin import SimpleListFilter
from django.db.models import QuerySet
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
    copyable,
    label_column,
    money,
    money_column,
    page_link,
    page_url,
    short,
    when_column,
)
from kauri.common.scoped_admin import RelatedDropdownFilter
from kauri.core.admin import PeriodFilter
from kauri.payment_provider.admin import SendingAdmin
from kauri.wallet.models import DepositAddress, PaymentLink, Reconciliation, ReconciliationBreak, Sweep
from kauri.wallet.reconciling import break_explain


class GivenFilter(SimpleListFilter):
    title = _("given out")
    parameter_name = "given"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        del request, model_admin
        return [("yes", _("Given to a customer")), ("no", _("Spare"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[DepositAddress]) -> QuerySet[DepositAddress]:
        del request
        if self.value() not in ("yes", "no"):
            return queryset
        return queryset.filter(user__isnull=self.value() == "no")


@admin.register(DepositAddress)
class DepositAddressAdmin(ReadOnlyAdmin):
    list_display = ("address_short", "network", "currency", "customer", "external_id", "given", "provider")
    list_display_links = None
    list_select_related = ("user", "network", "currency", "provider")
    list_filter = (GivenFilter, ("network", RelatedDropdownFilter), ("assigned_at", PeriodFilter))
    exact_search: ClassVar[dict[str, str]] = {
        "address": "text",
        "user__email": "lower",
        "external_id": "text",
    }
    search_help_text = _("An address, a customer's e-mail or the client's id, exactly")
    public_lookup = "pk"
    fields = (
        "address_full",
        "network",
        "currency",
        "provider",
        "index",
        "customer",
        "external_id",
        "callback_url",
        "made",
        "given",
    )
    made = when_column("created_at", _("made"))
    given = when_column("assigned_at", _("given out"))

    @display(description=_("address"))
    def address_short(self, obj: DepositAddress) -> SafeString:
        return page_link(obj, short(obj.address)) + copyable(obj.address, "")

    @display(description=_("address"))
    def address_full(self, obj: DepositAddress) -> SafeString:
        return copyable(obj.address)

    @display(description=_("customer"), ordering="user")
    def customer(self, obj: DepositAddress) -> SafeString:
        return page_link(obj.user)


@admin.register(Sweep)
class SweepAdmin(SendingAdmin):
    list_display = ("made", "amount_shown", "purpose_label", "state_label", "provider", "transaction_short")
    list_display_links = ("made", "amount_shown")
    list_select_related = ("provider", "currency", "address")
    list_filter = (
        ("state", ChoicesDropdownFilter),
        ("purpose", ChoicesDropdownFilter),
        ("provider", RelatedDropdownFilter),
        ("created_at", PeriodFilter),
    )
    exact_search: ClassVar[dict[str, str]] = {
        "provider_reference": "text",
        "source_address": "text",
        "destination": "text",
        "public_id": "uuid",
    }
    search_help_text = _("A transaction hash or an address, exactly")
    fields = (
        "amount_shown",
        "purpose_label",
        "state_label",
        "provider",
        "source_full",
        "destination_full",
        "transaction_full",
        "nonce",
        "confirmations",
        "cost_shown",
        "last_error",
        "earlier_shown",
        "answer_shown",
        "made",
        "sent",
        "finished",
    )
    purpose_label = label_column("purpose", _("purpose"), {})
    made = when_column("created_at", _("made"))

    @display(description=_("transaction"))
    def transaction_short(self, obj: Sweep) -> SafeString:
        return copyable(obj.provider_reference, short(obj.provider_reference))

    @display(description=_("transaction"))
    def transaction_full(self, obj: Sweep) -> SafeString:
        return copyable(obj.provider_reference)

    @display(description=_("from address"))
    def source_full(self, obj: Sweep) -> SafeString:
        return copyable(obj.source_address)


@admin.register(Reconciliation)
class ReconciliationAdmin(ReadOnlyAdmin):
    list_display = (
        "when",
        "provider",
        "state_label",
        "chain_shown",
        "books_shown",
        "difference_shown",
    )
    list_select_related = ("provider", "currency")
    list_filter = (
        ("state", ChoicesDropdownFilter),
        ("provider", RelatedDropdownFilter),
        ("currency", RelatedDropdownFilter),
        ("at", PeriodFilter),
    )
    public_lookup = "pk"
    fields = (
        "when",
        "provider",
        "state_label",
        "chain_shown",
        "books_shown",
        "way_shown",
        "difference_shown",
    )
    when = when_column("at", _("when"))
    state_label = label_column("state", _("state"), {"equal": "good", "different": "bad", "moving": "info"})
    chain_shown = money_column("on_chain", "currency", _("on the chain"))
    books_shown = money_column("in_books", "currency", _("in the books"))
    way_shown = money_column("on_its_way", "currency", _("seen on the chain, not booked yet"))
    difference_shown = money_column("difference", "currency", _("difference"), sign=True)


class ExplainForm(BaseDialogForm):
    explanation = forms.CharField(
        label=_("What was it?"), max_length=1000, widget=UnfoldAdminTextareaWidget(attrs={"rows": 3})
    )


@admin.register(ReconciliationBreak)
class ReconciliationBreakAdmin(ReadOnlyAdmin):
    list_display = (
        "first_seen",
        "difference_shown",
        "kind_label",
        "state_label",
        "provider",
        "subject_short",
    )
    list_display_links = ("first_seen", "difference_shown")
    list_select_related = ("provider", "currency")
    list_filter = (
        ("state", ChoicesDropdownFilter),
        ("kind", ChoicesDropdownFilter),
        ("provider", RelatedDropdownFilter),
    )
    exact_search: ClassVar[dict[str, str]] = {"subject": "text"}
    search_help_text = _("A transaction hash or an address, exactly")
    public_lookup = "pk"
    fields = (
        "difference_shown",
        "kind_label",
        "state_label",
        "provider",
        "subject_full",
        "first_seen",
        "last_seen",
        "explained_by",
        "explanation",
        "closed",
    )
    actions_detail = ("explain",)
    difference_shown = money_column("amount", "currency", _("difference"), sign=True)
    kind_label = label_column(
        "kind", _("what"), {"chain_less": "bad", "payin_gone": "bad", "payout_gone": "bad", "total": "bad"}
    )
    state_label = label_column("state", _("state"), {"open": "bad", "suspected": "warn", "explained": "good"})
    first_seen = when_column("first_seen_at", _("first seen"))
    last_seen = when_column("last_seen_at", _("last seen"))
    closed = when_column("closed_at", _("closed"))

    @display(description=_("address or transaction"))
    def subject_short(self, obj: ReconciliationBreak) -> SafeString:
        return copyable(obj.subject, short(obj.subject)) if obj.subject else EMPTY

    @display(description=_("address or transaction"))
    def subject_full(self, obj: ReconciliationBreak) -> SafeString:
        return copyable(obj.subject) if obj.subject else EMPTY

    def has_explain_permission(self, request: HttpRequest, object_id: object = None) -> bool:
        found = None if object_id is None else self.get_object(request, str(object_id))
        return found is not None and request.user.has_perm("wallet.explain_reconciliationbreak")

    @action(
        description=_("Explain"),
        icon="task_alt",
        permissions=["explain"],
        dialog={
            "title": _("Explain the difference"),
            "description": _("It leaves the inbox. Nothing is booked: propose an adjustment for that."),
            "form_class": ExplainForm,
            "form_submit_text": _("Explain"),
        },
    )
    def explain(self, request: HttpRequest, form: ExplainForm, object_id: str) -> HttpResponse:
        row = self.row_of(request, object_id)
        attempt(
            request,
            lambda: break_explain(
                break_id=row.pk, actor=actor_of(request), explanation=form.cleaned_data["explanation"]
            ),
            _("The break is explained."),
        )
        return back_to(request, page_url(row))


@admin.register(PaymentLink)
class PaymentLinkAdmin(ReadOnlyAdmin):
    list_display = ("made", "customer", "amount_shown", "provider", "external_id", "provider_reference")
    list_select_related = ("user", "currency", "provider")
    list_filter = (("provider", RelatedDropdownFilter), ("created_at", PeriodFilter))
    exact_search: ClassVar[dict[str, str]] = {
        "public_id": "uuid",
        "user__email": "lower",
        "external_id": "text",
    }
    search_help_text = _("Our reference, a customer's e-mail or the client's id, exactly")
    fields = (
        "reference",
        "customer",
        "amount_shown",
        "provider",
        "provider_reference",
        "url",
        "external_id",
        "callback_url",
        "made",
    )
    made = when_column("created_at", _("made"))

    @display(description=_("our reference"))
    def reference(self, obj: PaymentLink) -> SafeString:
        return copyable(obj.public_id)

    @display(description=_("customer"), ordering="user")
    def customer(self, obj: PaymentLink) -> SafeString:
        return page_link(obj.user)

    @display(description=_("amount"), ordering="amount")
    def amount_shown(self, obj: PaymentLink) -> SafeString:
        return EMPTY if obj.amount is None else money(obj.amount, obj.currency)
