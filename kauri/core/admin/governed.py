"""Settings that nobody changes alone: forms that propose."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC
from typing import Any, ClassVar

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils.html import format_html
from django.utils.translation import gettext_lazy as _
from unfold.widgets import UnfoldAdminTextInputWidget

from kauri.common.admin import actor_of, page_link, page_url, refusal
from kauri.common.code_forms import code_field
from kauri.common.errors import KauriError
from kauri.core import governing, proposals
from kauri.core.admin.imports import ImportAdmin
from kauri.core.admin.settings import SettingsAdmin, SettingsForm


class GovernedForm(SettingsForm):
    """What is saved here is a proposal."""

    effective_from = forms.DateTimeField(
        label=_("Takes effect (UTC)"),
        required=False,
        help_text=_("Empty: as soon as a second person approves."),
        widget=UnfoldAdminTextInputWidget(attrs={"type": "datetime-local", "step": "1"}),
    )
    #: Shown where proposing asks for it. A row may have a code of its own.
    one_time_code = code_field()

    #: What the form asks for beside the row's own fields.
    aside: ClassVar[tuple[str, ...]] = ("change_reason", "effective_from", "one_time_code")


class GovernedAdmin(ImportAdmin, SettingsAdmin):
    """A settings row whose form makes a proposal and changes nothing."""

    form = GovernedForm

    def _kind(self) -> governing.Governed:
        return governing.governed(self.model._meta.label_lower)

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        shown = list(super().get_fieldsets(request, obj))
        asks = "propose" in self._kind().codes
        return [
            *shown,
            (None, {"fields": ("effective_from", "one_time_code") if asks else ("effective_from",)}),
        ]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Sequence[str]:
        shown = super().get_readonly_fields(request, obj)
        return shown if obj is None else (*shown, *sorted(self._kind().fixed))

    def proposed(self, obj: Any, form: Any, change: bool) -> dict[str, Any]:
        """The values that a valid form proposes: of a new row all that are given, of another what was changed."""
        given = form.cleaned_data
        names = form.changed_data if change else [name for name in given if given[name] is not None]
        many = self._kind().many
        return {
            name: given[name] if name in many else governing.field_value(obj, name)
            for name in names
            if name not in form.aside
        }

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        """Propose what the form says. The row itself is never saved here."""
        moment = form.cleaned_data.get("effective_from")
        try:
            request._kauri_proposal = proposals.propose(
                target=self.model._meta.label_lower,
                target_id=str(obj.pk) if change else "",
                values=self.proposed(obj, form, change),
                reason=form.cleaned_data["change_reason"],
                actor=actor_of(request),
                code=form.cleaned_data.get("one_time_code", ""),
                effective_from=None if moment is None else moment.replace(tzinfo=UTC),
            )
        except KauriError as error:
            request._kauri_refused = refusal(error)

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        """Nothing hangs on a row that was not saved."""

    def log_addition(self, request: HttpRequest, obj: Any, message: Any) -> Any:
        """The audit has the proposal."""

    def log_change(self, request: HttpRequest, obj: Any, message: Any) -> Any:
        """The audit has the proposal."""

    def response_add(self, request: HttpRequest, obj: Any, post_url_continue: Any = None) -> HttpResponse:
        return self._proposed(request)

    def response_change(self, request: HttpRequest, obj: Any) -> HttpResponse:
        return self._proposed(request)

    def _proposed(self, request: HttpRequest) -> HttpResponse:
        made = getattr(request, "_kauri_proposal", None)
        if made is None:
            messages.error(request, request._kauri_refused)
            return HttpResponseRedirect(request.path)
        messages.success(request, _("Proposed. Nothing has changed yet: a second person decides."))
        return HttpResponseRedirect(page_url(made))

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        waiting = proposals.open_for(self.model._meta.label_lower, object_id)
        if waiting is not None and request.method == "GET":
            words = _("A change of this row waits for a second person: %(link)s")
            said = format_html(str(words) % {"link": "{}"}, page_link(waiting, _("look at it")))
            messages.warning(request, said)
        return super().change_view(request, object_id, form_url, extra_context)
