"""Adjustments and reversals: a form that proposes, and the page where a second person decides."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from django import forms
from django.contrib import admin
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _
from unfold.contrib.filters.admin import ChoicesDropdownFilter
from unfold.decorators import display
from unfold.widgets import (
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextInputWidget,
)

from kauri.account.models import User
from kauri.balance import adjustments
from kauri.balance.adjustments import Place
from kauri.balance.chart import CHART, AccountKind, Owner
from kauri.balance.models import Adjustment, Period
from kauri.common.actor import Actor
from kauri.common.admin import (
    EMPTY,
    MoneyInput,
    label_column,
    money,
    page_link,
)
from kauri.common.errors import KauriError
from kauri.common.two_people import ProposalForm, TwoPeopleAdmin
from kauri.core.models import Currency, Provider

STATE_TONES = {"pending": "warn", "posted": "good", "rejected": "bad"}
_KINDS = [
    ("", "–"),
    *((int(kind), spec.title) for kind, spec in CHART.items() if kind is not AccountKind.CUSTOMER_HELD),
]


def _months() -> list[tuple[str, Any]]:
    return [("", "–"), *((str(period), str(period)) for period in Period.objects.all())]


class AdjustmentForm(ProposalForm):
    """Either a transfer to reverse, or an amount from one account to another."""

    reverses_number = forms.IntegerField(
        label=_("Reverse the transfer #"),
        required=False,
        min_value=1,
        widget=UnfoldAdminIntegerFieldWidget,
        help_text=_("A transfer's number; the fields of an adjustment stay empty then."),
    )
    currency = forms.ModelChoiceField(
        label=_("Currency"), queryset=Currency.objects.all(), required=False, widget=UnfoldAdminSelectWidget
    )
    amount = forms.CharField(label=_("Amount"), required=False, max_length=60, widget=MoneyInput)
    source = forms.TypedChoiceField(
        label=_("From the account"),
        choices=_KINDS,
        coerce=int,
        required=False,
        widget=UnfoldAdminSelectWidget,
    )
    source_owner = forms.CharField(
        label=_("whose"),
        required=False,
        max_length=254,
        widget=UnfoldAdminTextInputWidget,
        help_text=_("A customer's e-mail or a provider's code; empty for the house."),
    )
    target = forms.TypedChoiceField(
        label=_("To the account"), choices=_KINDS, coerce=int, required=False, widget=UnfoldAdminSelectWidget
    )
    target_owner = forms.CharField(
        label=_("whose"), required=False, max_length=254, widget=UnfoldAdminTextInputWidget
    )
    corrects = forms.ChoiceField(
        label=_("Corrects the closed month"), choices=_months, required=False, widget=UnfoldAdminSelectWidget
    )

    class Meta:
        model = Adjustment
        fields: ClassVar[list[str]] = []

    def place(self, name: str) -> Place:
        """The account that the form names. Raises ``validation_error`` for an unknown owner."""
        kind = self.cleaned_data[name]
        if kind in ("", None):
            raise KauriError("validation_error", fields={name: "required"})
        owner = self.cleaned_data[f"{name}_owner"].strip()
        account = AccountKind(kind)
        if CHART[account].owner is Owner.CUSTOMER:
            user = User.objects.filter(email=owner.lower(), is_staff=False).first()
            return Place(account, customer_id=_known(user, name))
        if CHART[account].owner is Owner.PROVIDER:
            return Place(account, provider_id=_known(Provider.objects.filter(code=owner).first(), name))
        if owner:
            raise KauriError("validation_error", fields={name: "this account belongs to the house"})
        return Place(account)


def _known(row: Any, name: str) -> int:
    if row is None:
        raise KauriError("validation_error", fields={name: "nobody of this name"})
    return int(row.pk)


def _propose(form: Any, actor: Actor) -> Adjustment:
    given = form.cleaned_data
    if given["reverses_number"]:
        return adjustments.reversal_propose(
            transfer_id=given["reverses_number"],
            reason=given["reason"],
            document=form.paper(),
            actor=actor,
        )
    if given["currency"] is None:
        raise KauriError("validation_error", fields={"currency": "required"})
    return adjustments.adjustment_propose(
        currency_id=given["currency"].pk,
        amount=given["amount"],
        source=form.place("source"),
        target=form.place("target"),
        reason=given["reason"],
        document=form.paper(),
        actor=actor,
        corrects=given["corrects"],
    )


@admin.register(Adjustment)
class AdjustmentAdmin(TwoPeopleAdmin):
    list_display = ("number", "what", "state_label", "proposed_by", "proposed", "decided_by", "corrects")
    list_display_links = ("number", "what")
    list_select_related = ("currency", "from_customer", "to_customer", "from_provider", "to_provider")
    list_filter = (("state", ChoicesDropdownFilter),)
    exact_search: ClassVar[dict[str, str]] = {
        "public_id": "uuid",
        "proposed_by": "lower",
        "to_customer__email": "lower",
        "from_customer__email": "lower",
    }
    search_help_text = _("An adjustment's id or somebody's e-mail, exactly")
    fieldsets = (
        (None, {"fields": ("what", "source", "target", "corrects", "reason", "document_link", "checksum")}),
        (_("Proposed"), {"fields": ("proposed_by", "proposed")}),
        (_("Decision"), {"fields": ("state_label", "decided_by", "decided", "decision_reason", "posted")}),
    )
    propose_permission = adjustments.PROPOSE
    decide_permission = adjustments.DECIDE
    services: ClassVar[dict[str, Callable[..., Any]]] = {
        "propose": _propose,
        "document": adjustments.document_of,
        "approve": lambda row_id, **given: adjustments.adjustment_approve(adjustment_id=row_id, **given),
        "reject": lambda row_id, **given: adjustments.adjustment_reject(adjustment_id=row_id, **given),
        "withdraw": lambda row_id, **given: adjustments.adjustment_withdraw(adjustment_id=row_id, **given),
    }
    proposal_form = AdjustmentForm
    proposal_fieldsets = (
        (_("A reversal"), {"fields": ("reverses_number",)}),
        (
            _("Or an adjustment"),
            {
                "fields": (
                    ("currency", "amount"),
                    ("source", "source_owner"),
                    ("target", "target_owner"),
                    "corrects",
                )
            },
        ),
        (_("Why"), {"fields": ("reason", "document")}),
    )
    state_label = label_column("state", _("state"), STATE_TONES)

    @display(description=_("what"))
    def what(self, obj: Adjustment) -> SafeString:
        if obj.reverses_id is not None:
            return format_html("{} #{}", _("reversal of transfer"), obj.reverses_id)
        return money(obj.amount, obj.currency)

    @display(description=_("from"))
    def source(self, obj: Adjustment) -> SafeString:
        return _account(obj.from_kind, obj.from_customer or obj.from_provider)

    @display(description=_("to"))
    def target(self, obj: Adjustment) -> SafeString:
        return _account(obj.to_kind, obj.to_customer or obj.to_provider)

    @display(description=_("transfer"))
    def posted(self, obj: Adjustment) -> SafeString:
        return page_link(obj.transfer)


def _account(kind: int | None, owner: Any) -> SafeString:
    if kind is None:
        return EMPTY
    title = CHART[AccountKind(kind)].title
    return format_html("{} · {}", title, page_link(owner)) if owner is not None else format_html("{}", title)
