"""The admin of what one person proposes with a paper, by the add form, and another decides on.

The services do both; this shows only the buttons that would work, and says what a service refuses.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from django import forms
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, path, reverse
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _
from unfold.decorators import action, display
from unfold.enums import ActionVariant
from unfold.forms import BaseDialogForm
from unfold.widgets import UnfoldAdminFileFieldWidget, UnfoldAdminTextareaWidget

from kauri.common import documents
from kauri.common.actor import Actor
from kauri.common.admin import (
    ReadOnlyAdmin,
    ReasonForm,
    actor_of,
    attempt,
    back_to,
    copyable,
    link,
    list_url,
    page_url,
    refusal,
    when_column,
)
from kauri.common.documents import Document
from kauri.common.errors import KauriError


class ProposalForm(forms.ModelForm):
    """The reason and the paper that every proposal has. The form makes no row: the service does, and checks it."""

    reason = forms.CharField(
        label=_("Reason"), max_length=300, widget=UnfoldAdminTextareaWidget(attrs={"rows": 3})
    )
    document = forms.FileField(
        label=_("Document"),
        widget=UnfoldAdminFileFieldWidget,
        help_text=_("A PDF, PNG or JPEG of at most 10 MB. It is kept with the proposal for ever."),
    )

    def _get_validation_exclusions(self) -> set[str]:
        return {field.name for field in self._meta.model._meta.fields}

    def paper(self) -> Document:
        """The uploaded document, read no further than the largest may be."""
        given = self.cleaned_data["document"]
        return Document(given.name, given.read(documents.MAX_DOCUMENT + 1))


class ProposingAdmin(ReadOnlyAdmin):
    """Rows that somebody proposes by the add form, and that wait as ``state`` says: ``public_id``, ``proposed_by_id``."""

    #: What proposes, as a permission; ``propose(form, actor)`` makes the row, whose fields the form has in these sets.
    propose_permission: ClassVar[str]
    proposal_form: ClassVar[type[forms.ModelForm]]
    proposal_fieldsets: ClassVar[Any]
    proposed_words: ClassVar[Any] = _("Proposed. Nothing has moved yet: a second person decides.")

    def propose(self, form: Any, actor: Actor) -> Any:
        """Make the row by its service."""
        raise NotImplementedError

    @display(description="#", ordering="id")
    def number(self, obj: Any) -> str:
        return f"#{obj.pk}"

    def has_add_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm(self.propose_permission)

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        return super().get_form(request, obj, change, **kwargs) if change else self.proposal_form

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return () if obj is None else super().get_readonly_fields(request, obj)

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        return self.proposal_fieldsets if obj is None else super().get_fieldsets(request, obj)

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        """Propose what the form says."""
        del obj, change
        try:
            request._kauri_made = self.propose(form, actor_of(request))
        except KauriError as error:
            request._kauri_refused = refusal(error)

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        """Nothing hangs on it."""

    def log_addition(self, request: HttpRequest, obj: Any, message: Any) -> Any:
        """The audit has it."""

    def response_add(self, request: HttpRequest, obj: Any, post_url_continue: Any = None) -> HttpResponse:
        made = getattr(request, "_kauri_made", None)
        if made is None:
            messages.error(request, request._kauri_refused)
            return HttpResponseRedirect(request.get_full_path())
        messages.success(request, str(self.proposed_words))
        return HttpResponseRedirect(page_url(made))

    def has_withdraw_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        row = self._waiting(request, object_id)
        return row is not None and row.proposed_by_id == request.user.pk

    def _waiting(self, request: HttpRequest, object_id: Any) -> Any:
        row = None if object_id is None else self.get_object(request, str(object_id))
        return row if row is not None and row.state == "pending" else None


class TwoPeopleAdmin(ProposingAdmin):
    """Rows with ``public_id``, ``state``, ``proposed_by(_id)``, ``document_name`` and ``document_sha256``."""

    #: What decides, as a permission. ``services``: ``propose(form, actor)`` makes the row,
    #: ``document(row, actor)`` gives its paper; approve, reject and withdraw end a waiting one by its public id.
    decide_permission: ClassVar[str]
    services: ClassVar[Mapping[str, Callable[..., Any]]]

    actions_detail = ("approve", "reject", "withdraw")
    proposed = when_column("proposed_at", _("proposed"))
    decided = when_column("decided_at", _("decided"))

    @display(description=_("document"))
    def document_link(self, obj: Any) -> SafeString:
        return link(reverse(f"admin:{self._name}_document", args=(obj.public_id,)), obj.document_name)

    @display(description="SHA-256")
    def checksum(self, obj: Any) -> SafeString:
        return copyable(obj.document_sha256)

    def get_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        return [
            path("<uuid:row_id>/document/", wrap(self.document), name=f"{self._name}_document"),
            *super().get_urls(),
        ]

    def propose(self, form: Any, actor: Actor) -> Any:
        return self.services["propose"](form, actor)

    # Deciding ------------------------------------------------------------------------------

    def has_approve_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        row = self._waiting(request, object_id)
        return (
            row is not None
            and row.proposed_by_id != request.user.pk
            and request.user.has_perm(self.decide_permission)
        )

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
        return self._act(request, object_id, "approve", _("Posted."), reason=form.cleaned_data["reason"])

    @action(
        description=_("Reject"),
        icon="close",
        variant=ActionVariant.DANGER,
        permissions=["approve"],
        dialog={
            "title": _("Reject what is proposed"),
            "description": _("Nothing moves."),
            "form_class": ReasonForm,
            "form_submit_text": _("Reject"),
        },
    )
    def reject(self, request: HttpRequest, form: ReasonForm, object_id: str) -> HttpResponse:
        done = _("Rejected: nothing moves.")
        return self._act(request, object_id, "reject", done, reason=form.cleaned_data["reason"])

    @action(
        description=_("Withdraw"),
        icon="undo",
        permissions=["withdraw"],
        dialog={
            "title": _("Withdraw your proposal"),
            "description": _("Nothing moves, and nobody needs to decide any more."),
            "form_class": BaseDialogForm,
            "form_submit_text": _("Withdraw"),
        },
    )
    def withdraw(self, request: HttpRequest, form: BaseDialogForm, object_id: str) -> HttpResponse:
        del form
        return self._act(request, object_id, "withdraw", _("Withdrawn: nothing moves."))

    def _act(
        self, request: HttpRequest, object_id: str, verb: str, done: object, **given: str
    ) -> HttpResponse:
        row, service = self.row_of(request, object_id), self.services[verb]
        attempt(request, lambda: service(row.public_id, actor=actor_of(request), **given), done)
        return back_to(request, page_url(row))

    def document(self, request: HttpRequest, row_id: uuid.UUID) -> HttpResponse:
        """The document, as a download: its content never runs in the house's own pages."""
        row = self.get_object(request, str(row_id)) if self.has_view_permission(request) else None
        if row is None:
            raise Http404
        try:
            data, content_type = self.services["document"](row, actor=actor_of(request))
        except KauriError as error:
            messages.error(request, refusal(error))
            return HttpResponseRedirect(list_url(self.model))
        response = HttpResponse(data, content_type=content_type)
        response["Content-Disposition"] = f'attachment; filename="{self.opts.model_name}-{row.pk}"'
        return response

    @property
    def _name(self) -> str:
        return f"{self.opts.app_label}_{self.opts.model_name}"
