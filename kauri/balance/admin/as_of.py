"""Pages whose figures can be read as of a past moment: a button asks for it, the address carries it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _
from unfold.decorators import action
from unfold.forms import BaseDialogForm
from unfold.widgets import UnfoldAdminTextInputWidget

from kauri.balance.selectors import known
from kauri.common import clock
from kauri.common.admin import back_to, page_link, page_url, refusal, when
from kauri.common.errors import KauriError


class MomentForm(BaseDialogForm):
    at = forms.DateTimeField(
        label=_("As of (UTC)"),
        required=False,
        help_text=_("Empty: now."),
        widget=UnfoldAdminTextInputWidget(attrs={"type": "datetime-local", "step": "1"}),
    )


class AsOfMixin:
    """For a ModelAdmin. Its displays read ``obj.as_of``: a moment that the books know, or None for now."""

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Any:
        row = super().get_object(request, object_id, from_field)  # type: ignore[misc]
        if row is not None:
            row.as_of = _asked(request)
        return row

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        if "at" in request.GET:
            try:
                moment = _asked(request)
                if moment is None:
                    raise KauriError("validation_error", fields={"at": "not a moment"})
                known(moment)
            except KauriError as error:
                messages.error(request, refusal(error))
                return HttpResponseRedirect(request.path)
        page: HttpResponse = super().change_view(request, object_id, form_url, extra_context)  # type: ignore[misc]
        return page

    def has_read_as_of_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        """Whoever may see the page; an operator's has no balances."""
        row = None if object_id is None else self.get_object(request, str(object_id))
        return row is not None and not getattr(row, "is_staff", False)

    @action(
        description=_("Balances as of …"),
        icon="history",
        permissions=["read_as_of"],
        dialog={
            "title": _("Balances as of a past moment"),
            "description": _("What the books said then. Nothing is changed."),
            "form_class": MomentForm,
            "form_submit_text": _("Show"),
        },
    )
    def read_as_of(self, request: HttpRequest, form: MomentForm, object_id: str) -> HttpResponse:
        row = self.row_of(request, object_id)
        given: datetime | None = form.cleaned_data["at"]
        query = "" if given is None else f"?at={quote(clock.iso(given.replace(tzinfo=UTC)) or '')}"
        return back_to(request, f"{page_url(row)}{query}")


def as_of_note(row: Any) -> SafeString:
    """Which moment the figures below are of, and the way back to now; nothing for now."""
    if row.as_of is None:
        return SafeString("")
    return format_html("<p>{} {} · {}</p>", _("As of"), when(row.as_of), page_link(row, _("now")))


def _asked(request: HttpRequest) -> datetime | None:
    try:
        moment = datetime.fromisoformat(request.GET.get("at", ""))
    except ValueError:
        return None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
