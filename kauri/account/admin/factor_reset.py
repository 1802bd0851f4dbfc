"""Operators' second factors that are to be taken off: proposed by the add form, decided on by somebody else."""

from __future__ import annotations

from typing import Any, ClassVar

from django import forms
from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext_lazy as _
from unfold.contrib.filters.admin import ChoicesDropdownFilter
from unfold.decorators import action
from unfold.enums import ActionVariant
from unfold.forms import BaseDialogForm
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextareaWidget

from kauri.account import factor_reset
from kauri.account.models import FactorReset, User
from kauri.common.actor import Actor
from kauri.common.admin import (
    ReasonForm,
    actor_of,
    attempt,
    back_to,
    label_column,
    page_url,
    when_column,
)
from kauri.common.code_forms import code_field
from kauri.common.two_people import ProposingAdmin

_TONES = {"pending": "info", "done": "good", "rejected": "bad", "expired": "warn"}


class ResetForm(forms.ModelForm):
    """Whose, why, and a code. The form makes no row: the service does, and checks it."""

    operator = forms.ModelChoiceField(
        label=_("Operator"),
        queryset=User.objects.filter(is_staff=True, is_active=True).order_by("email"),
        widget=UnfoldAdminSelectWidget,
    )
    reason = forms.CharField(
        label=_("Reason"), max_length=300, widget=UnfoldAdminTextareaWidget(attrs={"rows": 3})
    )
    code = code_field()

    class Meta:
        model = FactorReset
        fields = ("operator", "reason")

    def _get_validation_exclusions(self) -> set[str]:
        return {field.name for field in FactorReset._meta.fields}


class ApproveForm(BaseDialogForm):
    """Whoever decides proves anew that it is them."""

    code = code_field()


@admin.register(FactorReset)
class FactorResetAdmin(ProposingAdmin):
    propose_permission = factor_reset.CHANGE
    proposal_form = ResetForm
    proposal_fieldsets = ((None, {"fields": ("operator", "reason", "code")}),)
    proposed_words = _("Proposed. Nothing is taken off yet: a second person decides.")
    list_display = ("number", "operator", "state_label", "proposed_by", "proposed", "until", "decided_by")
    list_display_links = ("number", "operator")
    list_select_related = ("operator",)
    list_filter = (("state", ChoicesDropdownFilter),)
    exact_search: ClassVar[dict[str, str]] = {
        "public_id": "uuid",
        "operator__email": "lower",
        "proposed_by": "lower",
    }
    search_help_text = _("A reset's id or an e-mail, exactly")
    fieldsets = (
        (None, {"fields": ("operator", "reason", "state_label")}),
        (_("Proposed"), {"fields": ("proposed_by", "proposed", "until")}),
        (_("Decision"), {"fields": ("decided_by", "decided", "decision_reason")}),
    )
    actions_detail = ("approve", "reject", "withdraw")
    proposed = when_column("proposed_at", _("proposed"))
    until = when_column("expires_at", _("to be decided until"))
    decided = when_column("decided_at", _("decided"))
    state_label = label_column("state", _("state"), _TONES)

    def has_view_permission(self, request: HttpRequest, obj: FactorReset | None = None) -> bool:
        del obj
        return bool(request.user.has_perm("auth.view_group"))

    def has_module_permission(self, request: HttpRequest) -> bool:
        return self.has_view_permission(request)

    # Proposing: the add form ---------------------------------------------------------------

    def has_add_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm(factor_reset.CHANGE) and not request.user.scope.is_limited

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        if change:
            return super().get_form(request, obj, change, **kwargs)

        class Form(ResetForm):
            def __init__(self, *args: Any, **given: Any) -> None:
                super().__init__(*args, **given)
                # Nobody's own is offered; the service says the same.
                operators = self.fields["operator"]
                operators.queryset = operators.queryset.exclude(pk=request.user.pk)

        return Form

    def propose(self, form: ResetForm, actor: Actor) -> FactorReset:
        given = form.cleaned_data
        return factor_reset.factor_reset_propose(
            operator_id=given["operator"].public_id, reason=given["reason"], code=given["code"], actor=actor
        )

    # Deciding ------------------------------------------------------------------------------

    def has_approve_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        row = self._waiting(request, object_id)
        return (
            row is not None
            and request.user.pk not in (row.proposed_by_id, row.operator_id)
            and request.user.has_perm(factor_reset.CHANGE)
        )

    @action(
        description=_("Take it off"),
        icon="check",
        variant=ActionVariant.SUCCESS,
        permissions=["approve"],
        dialog={
            "title": _("Take the second factor off"),
            "description": _(
                "Be sure that it is them who asks. Their sessions end, a letter tells them, and they enrol anew."
            ),
            "form_class": ApproveForm,
            "form_submit_text": _("Take it off"),
        },
    )
    def approve(self, request: HttpRequest, form: ApproveForm, object_id: str) -> HttpResponse:
        row = self.row_of(request, object_id)
        attempt(
            request,
            lambda: factor_reset.factor_reset_approve(
                reset_id=row.public_id, code=form.cleaned_data["code"], actor=actor_of(request)
            ),
            _("Taken off: the operator enrols anew at the next sign-in."),
        )
        return back_to(request, page_url(row))

    @action(
        description=_("Reject"),
        icon="close",
        variant=ActionVariant.DANGER,
        permissions=["approve"],
        dialog={
            "title": _("Reject what is proposed"),
            "description": _("The second factor stays."),
            "form_class": ReasonForm,
            "form_submit_text": _("Reject"),
        },
    )
    def reject(self, request: HttpRequest, form: ReasonForm, object_id: str) -> HttpResponse:
        row = self.row_of(request, object_id)
        attempt(
            request,
            lambda: factor_reset.factor_reset_reject(
                reset_id=row.public_id, reason=form.cleaned_data["reason"], actor=actor_of(request)
            ),
            _("Rejected: the second factor stays."),
        )
        return back_to(request, page_url(row))

    @action(
        description=_("Withdraw"),
        icon="undo",
        permissions=["withdraw"],
        dialog={
            "title": _("Withdraw your proposal"),
            "description": _("The second factor stays."),
            "form_class": BaseDialogForm,
            "form_submit_text": _("Withdraw"),
        },
    )
    def withdraw(self, request: HttpRequest, form: BaseDialogForm, object_id: str) -> HttpResponse:
        del form
        row = self.row_of(request, object_id)
        attempt(
            request,
            lambda: factor_reset.factor_reset_withdraw(reset_id=row.public_id, actor=actor_of(request)),
            _("Withdrawn: the second factor stays."),
        )
        return back_to(request, page_url(row))
