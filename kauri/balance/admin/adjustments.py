"""Adjustments and reversals: a form that proposes, and the page where a second person decides."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any, ClassVar

from django import forms
from django.contrib import admin, messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _
from unfold.contrib.filters.admin import ChoicesDropdownFilter
from unfold.decorators import action, display
from unfold.enums import ActionVariant
from unfold.forms import BaseDialogForm
from unfold.widgets import (
    UnfoldAdminFileFieldWidget,
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
)

from kauri.account.models import User
from kauri.balance import adjustments
from kauri.balance.adjustments import Document, Place
from kauri.balance.chart import CHART, AccountKind, Owner
from kauri.balance.models import Adjustment, Period
from kauri.common.admin import (
    EMPTY,
    MoneyInput,
    ReadOnlyAdmin,
    ReasonForm,
    actor_of,
    attempt,
    back_to,
    copyable,
    label_column,
    link,
    list_url,
    money,
    page_link,
    page_url,
    refusal,
    when_column,
)
from kauri.common.errors import KauriError
from kauri.core.models import Currency, Provider

STATE_TONES = {"pending": "warn", "posted": "good", "rejected": "bad"}
_KINDS = [
    ("", "–"),
    *((int(kind), spec.title) for kind, spec in CHART.items() if kind is not AccountKind.CUSTOMER_HELD),
]


def _months() -> list[tuple[str, Any]]:
    return [("", "–"), *((str(period), str(period)) for period in Period.objects.all())]


class AdjustmentForm(forms.ModelForm):
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
    reason = forms.CharField(
        label=_("Reason"), max_length=300, widget=UnfoldAdminTextareaWidget(attrs={"rows": 3})
    )
    document = forms.FileField(
        label=_("Document"),
        widget=UnfoldAdminFileFieldWidget,
        help_text=_("A PDF, PNG or JPEG of at most 10 MB. It is kept with the adjustment for ever."),
    )

    class Meta:
        model = Adjustment
        fields: ClassVar[list[str]] = []

    def _get_validation_exclusions(self) -> set[str]:
        """The form makes no row: the service does, and checks it."""
        return {field.name for field in Adjustment._meta.fields}

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


@admin.register(Adjustment)
class AdjustmentAdmin(ReadOnlyAdmin):
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
    actions_detail = ("approve", "reject", "withdraw")
    proposed = when_column("proposed_at", _("proposed"))
    decided = when_column("decided_at", _("decided"))
    state_label = label_column("state", _("state"), STATE_TONES)

    def get_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        return [
            path("<uuid:adjustment_id>/document/", wrap(self.document), name="balance_adjustment_document"),
            *super().get_urls(),
        ]

    @display(description="#", ordering="id")
    def number(self, obj: Adjustment) -> str:
        return f"#{obj.pk}"

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

    @display(description=_("document"))
    def document_link(self, obj: Adjustment) -> SafeString:
        return link(reverse("admin:balance_adjustment_document", args=(obj.public_id,)), obj.document_name)

    @display(description="SHA-256")
    def checksum(self, obj: Adjustment) -> SafeString:
        return copyable(obj.document_sha256)

    @display(description=_("transfer"))
    def posted(self, obj: Adjustment) -> SafeString:
        return page_link(obj.transfer)

    # Proposing: the add form ---------------------------------------------------------------

    def has_add_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm(adjustments.PROPOSE)

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        return super().get_form(request, obj, change, **kwargs) if change else AdjustmentForm

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return () if obj is None else super().get_readonly_fields(request, obj)

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        if obj is not None:
            return super().get_fieldsets(request, obj)
        return (
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

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        """Propose what the form says."""
        given = form.cleaned_data
        paper = given["document"]
        document = Document(paper.name, paper.read(adjustments.MAX_DOCUMENT + 1))
        actor = actor_of(request)
        try:
            if given["reverses_number"]:
                made = adjustments.reversal_propose(
                    transfer_id=given["reverses_number"],
                    reason=given["reason"],
                    document=document,
                    actor=actor,
                )
            else:
                if given["currency"] is None:
                    raise KauriError("validation_error", fields={"currency": "required"})
                made = adjustments.adjustment_propose(
                    currency_id=given["currency"].pk,
                    amount=given["amount"],
                    source=form.place("source"),
                    target=form.place("target"),
                    reason=given["reason"],
                    document=document,
                    actor=actor,
                    corrects=given["corrects"],
                )
        except KauriError as error:
            request._kauri_refused = refusal(error)
            return
        request._kauri_made = made

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        """Nothing hangs on it."""

    def log_addition(self, request: HttpRequest, obj: Any, message: Any) -> Any:
        """The audit has it."""

    def response_add(self, request: HttpRequest, obj: Any, post_url_continue: Any = None) -> HttpResponse:
        made = getattr(request, "_kauri_made", None)
        if made is None:
            messages.error(request, request._kauri_refused)
            return HttpResponseRedirect(request.path)
        messages.success(request, _("Proposed. Nothing has moved yet: a second person decides."))
        return HttpResponseRedirect(page_url(made))

    # Deciding ------------------------------------------------------------------------------

    def has_approve_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        row = self._waiting(request, object_id)
        return (
            row is not None
            and row.proposed_by_id != request.user.pk
            and request.user.has_perm(adjustments.DECIDE)
        )

    def has_withdraw_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        row = self._waiting(request, object_id)
        return row is not None and row.proposed_by_id == request.user.pk

    def _waiting(self, request: HttpRequest, object_id: Any) -> Adjustment | None:
        row = None if object_id is None else self.get_object(request, str(object_id))
        return row if row is not None and row.state == Adjustment.State.PENDING else None

    @action(
        description=_("Approve and post"),
        icon="check",
        variant=ActionVariant.SUCCESS,
        permissions=["approve"],
        dialog={
            "title": _("Approve and post"),
            "description": _(
                "It is posted at once, dated now. A mistake is then only reversed, never erased."
            ),
            "form_class": ReasonForm,
            "form_submit_text": _("Approve and post"),
        },
    )
    def approve(self, request: HttpRequest, form: ReasonForm, object_id: str) -> HttpResponse:
        return self._act(
            request,
            object_id,
            adjustments.adjustment_approve,
            _("Posted."),
            reason=form.cleaned_data["reason"],
        )

    @action(
        description=_("Reject"),
        icon="close",
        variant=ActionVariant.DANGER,
        permissions=["approve"],
        dialog={
            "title": _("Reject the adjustment"),
            "description": _("Nothing moves."),
            "form_class": ReasonForm,
            "form_submit_text": _("Reject the adjustment"),
        },
    )
    def reject(self, request: HttpRequest, form: ReasonForm, object_id: str) -> HttpResponse:
        return self._act(
            request,
            object_id,
            adjustments.adjustment_reject,
            _("Rejected: nothing moves."),
            reason=form.cleaned_data["reason"],
        )

    @action(
        description=_("Withdraw"),
        icon="undo",
        permissions=["withdraw"],
        dialog={
            "title": _("Withdraw your adjustment"),
            "description": _("Nothing moves, and nobody needs to decide any more."),
            "form_class": BaseDialogForm,
            "form_submit_text": _("Withdraw"),
        },
    )
    def withdraw(self, request: HttpRequest, form: BaseDialogForm, object_id: str) -> HttpResponse:
        del form
        return self._act(request, object_id, adjustments.adjustment_withdraw, _("Withdrawn: nothing moves."))

    def _act(
        self, request: HttpRequest, object_id: str, service: Callable[..., Any], done: object, **given: str
    ) -> HttpResponse:
        row = self.get_object(request, object_id)
        attempt(request, lambda: service(adjustment_id=row.public_id, actor=actor_of(request), **given), done)
        return back_to(request, page_url(row))

    def document(self, request: HttpRequest, adjustment_id: uuid.UUID) -> HttpResponse:
        """The document, as a download: its content never runs in the house's own pages."""
        row = Adjustment.objects.filter(public_id=adjustment_id).first()
        if row is None:
            raise Http404
        try:
            data, content_type = adjustments.document_of(row, actor=actor_of(request))
        except KauriError as error:
            messages.error(request, refusal(error))
            return HttpResponseRedirect(list_url(Adjustment))
        response = HttpResponse(data, content_type=content_type)
        response["Content-Disposition"] = f'attachment; filename="adjustment-{row.pk}"'
        return response


def _account(kind: int | None, owner: Any) -> SafeString:
    if kind is None:
        return EMPTY
    title = CHART[AccountKind(kind)].title
    return format_html("{} · {}", title, page_link(owner)) if owner is not None else format_html("{}", title)
