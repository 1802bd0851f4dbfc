"""The page where a second person decides on a change of settings."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Final

from django import forms
from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _
from unfold.contrib.filters.admin import ChoicesDropdownFilter
from unfold.decorators import action, display
from unfold.enums import ActionVariant
from unfold.forms import BaseDialogForm
from unfold.widgets import UnfoldAdminTextareaWidget

from kauri.common.admin import (
    EMPTY,
    ReadOnlyAdmin,
    ReasonForm,
    actor_of,
    attempt,
    back_to,
    badge,
    label_column,
    link,
    page_link,
    page_url,
    refusal,
    table,
    when_column,
)
from kauri.common.code_forms import CodeAlwaysForm
from kauri.common.errors import KauriError
from kauri.common.search import searched
from kauri.core import governing, proposals
from kauri.core.admin.batches import BatchesAdmin, BatchFilter, shown_value
from kauri.core.models import Proposal

STATE_TONES: Final[dict[str, str]] = {
    Proposal.State.PENDING: "warn",
    Proposal.State.APPROVED: "info",
    Proposal.State.APPLIED: "good",
    Proposal.State.REJECTED: "bad",
    Proposal.State.FAILED: "bad",
}


class ApproveForm(BaseDialogForm):
    reason = forms.CharField(
        label=_("Words for the history (optional)"),
        required=False,
        max_length=300,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 2}),
    )


class ProposalApproveForm(CodeAlwaysForm, ApproveForm):
    """The code is asked for where the kind of row asks for it."""

    field_order = ("reason", "code")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        _keep_code(self, "approve")


class RevertForm(CodeAlwaysForm, ReasonForm):
    """To take a change back is to propose one."""

    field_order = ("reason", "code")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        _keep_code(self, "propose")


def _keep_code(form: Any, act: str) -> None:
    public_id = searched(str(form.object_id), "uuid")
    row = Proposal.objects.filter(public_id=str(public_id)).first() if public_id is not None else None
    if row is None or act not in governing.governed(row.target).codes:
        del form.fields["code"]


@admin.register(Proposal)
class ProposalAdmin(BatchesAdmin, ReadOnlyAdmin):
    """What was proposed, what it would change, and the buttons of the second person."""

    list_display = ("what", "setting", "state_label", "proposed_by", "proposed", "decided_by", "effective")
    list_display_links = ("what",)
    list_filter = (("state", ChoicesDropdownFilter), BatchFilter)
    #: What belongs together is decided together, by one press.
    list_per_page = 100
    exact_search: ClassVar[dict[str, str]] = {
        "public_id": "uuid",
        "proposed_by": "lower",
        "decided_by": "lower",
    }
    search_help_text = _("A proposal's id or an operator's e-mail, exactly")
    fieldsets = (
        (
            None,
            {
                "fields": (
                    "what",
                    "setting",
                    "state_label",
                    "reason",
                    "proposed_by",
                    "proposed",
                    "expires",
                    "same_batch",
                )
            },
        ),
        (_("What changes"), {"fields": ("difference",)}),
        (_("What it would have done"), {"fields": ("preview",)}),
        (
            _("Decision"),
            {
                "fields": (
                    "decided_by",
                    "decided",
                    "decision_reason",
                    "effective",
                    "applied",
                    "error",
                    "taken_back",
                )
            },
        ),
    )
    actions_detail = ("approve", "reject", "withdraw", "revert")
    proposed = when_column("proposed_at", _("proposed"))
    expires = when_column("expires_at", _("expires"))
    decided = when_column("decided_at", _("decided"))
    effective = when_column("effective_from", _("takes effect"))
    applied = when_column("applied_at", _("applied"))
    state_label = label_column("state", _("state"), STATE_TONES)

    @display(description=_("what"), ordering="id")
    def what(self, obj: Proposal) -> str:
        return str(obj)

    @display(description=_("setting"))
    def setting(self, obj: Proposal) -> Any:
        row_type = governing.governed(obj.target)
        name = row_type.title or row_type.model._meta.verbose_name
        if not obj.target_id:
            return badge(_("new: %(what)s") % {"what": name}, "info")
        if row_type.url is not None:
            return link(row_type.url(obj.target_id, obj.label), name)
        # By its key alone: a list must not look every row up. Settings rows are never deleted.
        return page_link(row_type.model(pk=obj.target_id), name)

    @display(description=_("fields"))
    def difference(self, obj: Proposal) -> SafeString:
        row_type = governing.governed(obj.target)
        rows = []
        for name, value in obj.after.items():
            field = row_type.field(name)
            old = obj.before.get(name)
            if name in row_type.many:
                lost, gained = set(old or ()) - set(value), set(value) - set(old or ())
                shown = _listed(field, lost, "−"), _listed(field, gained, "+")
            elif name in row_type.secrets:
                shown = _secret_names(old or {}), _secret_names(value)
            elif isinstance(value, dict):
                shown = _entries(old or {}, value), _entries(value, old or {})
            else:
                shown = shown_value(field, old), shown_value(field, value)
            rows.append((field.verbose_name, *shown))
        return table((_("Field"), _("Before"), _("After")), rows)

    @display(description=_("dry run"))
    def preview(self, obj: Proposal) -> SafeString:
        show = governing.governed(obj.target).preview
        return EMPTY if show is None else show(obj)

    @display(description=_("taken back by"))
    def taken_back(self, obj: Proposal) -> SafeString:
        back = Proposal.objects.filter(reverts=obj).first()
        return EMPTY if back is None else page_link(back)

    def has_approve_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        row = self._row(request, object_id)
        return (
            row is not None
            and row.state == Proposal.State.PENDING
            and row.proposed_by_id != request.user.pk
            and request.user.has_perm(proposals.DECIDE)
            and _may(request, row)
        )

    def has_withdraw_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        row = self._row(request, object_id)
        waits = {Proposal.State.PENDING, Proposal.State.APPROVED}
        return row is not None and row.state in waits and row.proposed_by_id == request.user.pk

    def has_revert_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        row = self._row(request, object_id)
        return (
            row is not None
            and row.state == Proposal.State.APPLIED
            and bool(row.before)
            and request.user.has_perm(governing.governed(row.target).propose)
            and _may(request, row)
        )

    def _row(self, request: HttpRequest, object_id: Any) -> Proposal | None:
        return None if object_id is None else self.get_object(request, str(object_id))

    @action(
        description=_("Approve"),
        icon="check",
        variant=ActionVariant.SUCCESS,
        permissions=["approve"],
        dialog={
            "title": _("Approve the change"),
            "description": _("It takes effect at once, or at the moment that was proposed."),
            "form_class": ProposalApproveForm,
            "form_submit_text": _("Approve the change"),
        },
    )
    def approve(self, request: HttpRequest, form: ProposalApproveForm, object_id: str) -> HttpResponse:
        given = {"reason": form.cleaned_data["reason"], "code": form.cleaned_data.get("code", "")}
        return self._decide(request, object_id, proposals.approve, **given)

    @action(
        description=_("Reject"),
        icon="close",
        variant=ActionVariant.DANGER,
        permissions=["approve"],
        dialog={
            "title": _("Reject the change"),
            "description": _("Nothing changes."),
            "form_class": ReasonForm,
            "form_submit_text": _("Reject the change"),
        },
    )
    def reject(self, request: HttpRequest, form: ReasonForm, object_id: str) -> HttpResponse:
        return self._decide(request, object_id, proposals.reject, reason=form.cleaned_data["reason"])

    @action(
        description=_("Withdraw"),
        icon="undo",
        permissions=["withdraw"],
        dialog={
            "title": _("Withdraw your proposal"),
            "description": _("Nothing changes, and nobody needs to decide any more."),
            "form_class": BaseDialogForm,
            "form_submit_text": _("Withdraw"),
        },
    )
    def withdraw(self, request: HttpRequest, form: BaseDialogForm, object_id: str) -> HttpResponse:
        del form
        row = self.row_of(request, object_id)
        attempt(
            request,
            lambda: proposals.withdraw(proposal_id=row.public_id, actor=actor_of(request)),
            _("The proposal is withdrawn."),
        )
        return back_to(request, page_url(row))

    @action(
        description=_("Take it back"),
        icon="history",
        permissions=["revert"],
        dialog={
            "title": _("Take this change back"),
            "description": _("A proposal to put back what stood before. A second person decides on it too."),
            "form_class": RevertForm,
            "form_submit_text": _("Propose to take it back"),
        },
    )
    def revert(self, request: HttpRequest, form: RevertForm, object_id: str) -> HttpResponse:
        row = self.row_of(request, object_id)
        made: list[Proposal] = []
        attempt(
            request,
            lambda: made.append(
                proposals.revert(
                    proposal_id=row.public_id,
                    reason=form.cleaned_data["reason"],
                    code=form.cleaned_data.get("code", ""),
                    actor=actor_of(request),
                )
            ),
            _("Proposed. Nothing has changed yet: a second person decides."),
        )
        return back_to(request, page_url(made[0] if made else row))

    def _decide(
        self, request: HttpRequest, object_id: str, service: Callable[..., Proposal], **given: str
    ) -> HttpResponse:
        row = self.row_of(request, object_id)
        said = {
            Proposal.State.APPLIED: _("The change is in effect."),
            Proposal.State.APPROVED: _("Approved: it takes effect when its moment comes."),
            Proposal.State.REJECTED: _("Rejected: nothing changes."),
        }
        try:
            done = service(proposal_id=row.public_id, actor=actor_of(request), **given)
        except KauriError as error:
            messages.error(request, refusal(error))
            return back_to(request, page_url(row))
        words = said.get(Proposal.State(done.state))
        if words is None:
            messages.error(request, _("It could not be applied: %(why)s") % {"why": done.error})
        else:
            messages.success(request, str(words))
        return back_to(request, page_url(row))


def _may(request: HttpRequest, row: Proposal) -> bool:
    """Whether the change is not to the favour of whoever looks."""
    may = governing.governed(row.target).may
    try:
        if may is not None:
            may(actor_of(request), row.target_id)
    except KauriError:
        return False
    return True


def _listed(field: Any, keys: set[Any], sign: str) -> Any:
    """Rows that a list loses or gains, a line each."""
    names = governing.row_names(field.related_model, keys)
    return format_html_join("", "<div>{} {}</div>", ((sign, name) for name in names)) or EMPTY


def _entries(these: Mapping[str, Any], others: Mapping[str, Any]) -> Any:
    """The entries of a JSON object in which it differs from another."""
    missing = object()
    rows = (
        (name, json.dumps(value, ensure_ascii=False))
        for name, value in sorted(these.items())
        if others.get(name, missing) != value
    )
    return format_html_join("", "<div>{}: {}</div>", rows) or EMPTY


def _secret_names(shown: Mapping[str, Any]) -> Any:
    """Which secrets there are, and which of them are new; never what they are."""
    rows = [
        format_html("{} {}", name, badge(_("new value"), "warn")) if name in shown.get("new", ()) else name
        for name in shown.get("names", ())
    ]
    return format_html_join("", "<div>{}</div>", ((row,) for row in rows)) or EMPTY
