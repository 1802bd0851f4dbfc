"""Reports: ask for one, watch it being made, take it; every download is on record."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import Any, ClassVar, Final

from django import forms
from django.contrib import admin, messages
from django.http import FileResponse, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import get_language
from django.utils.translation import gettext_lazy as _
from unfold.contrib.filters.admin import ChoicesDropdownFilter
from unfold.decorators import action, display
from unfold.enums import ActionVariant
from unfold.forms import BaseDialogForm
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from kauri.common import clock
from kauri.common.admin import (
    EMPTY,
    ReadOnlyAdmin,
    actor_of,
    attempt,
    back_to,
    copyable,
    label_column,
    link,
    list_url,
    raw_column,
    refusal,
    table,
    when,
    when_column,
)
from kauri.common.errors import LANGUAGES, KauriError
from kauri.core.admin import PeriodFilter
from kauri.report.definition import CUSTOMER, SINCE
from kauri.report.definitions import DEFINITIONS
from kauri.report.models import ReportRun
from kauri.report.services import report_open, report_request

STATE_TONES: Final[dict[str, str]] = {"waiting": "info", "running": "info", "ready": "good", "failed": "bad"}
_BUSY: Final = frozenset({ReportRun.State.WAITING, ReportRun.State.RUNNING})
_KIB: Final = 1024


def _definitions() -> list[tuple[str, Any]]:
    return [(code, definition.title) for code, definition in DEFINITIONS.items()]


class RequestForm(BaseDialogForm):
    """Which report, in what form, as of when; of whom and since when, where the report asks that."""

    definition = forms.ChoiceField(label=_("Report"), choices=_definitions, widget=UnfoldAdminSelectWidget)
    file_format = forms.ChoiceField(
        label=_("Format"), choices=ReportRun.Format.choices, widget=UnfoldAdminSelectWidget
    )
    as_of = forms.DateTimeField(
        label=_("As of (UTC)"),
        required=False,
        help_text=_("Empty: now."),
        widget=UnfoldAdminTextInputWidget(attrs={"type": "datetime-local", "step": "1"}),
    )

    customer = forms.CharField(
        label=_("Customer (e-mail or account number)"),
        required=False,
        max_length=254,
        help_text=_("Only for a report of one customer."),
        widget=UnfoldAdminTextInputWidget,
    )
    since = forms.DateTimeField(
        label=_("From (UTC)"),
        required=False,
        help_text=_("Only for a report of a period, which ends at “As of”."),
        widget=UnfoldAdminTextInputWidget(attrs={"type": "datetime-local", "step": "1"}),
    )

    def moment(self) -> datetime:
        """The moment asked for: what is typed is UTC."""
        given: datetime | None = self.cleaned_data["as_of"]
        return clock.now() if given is None else given.replace(tzinfo=UTC)

    def parameters(self) -> dict[str, str]:
        """What was filled in besides; the service knows whether the report takes it."""
        since: datetime | None = self.cleaned_data["since"]
        given = {
            CUSTOMER.name: self.cleaned_data["customer"],
            SINCE.name: "" if since is None else since.replace(tzinfo=UTC).isoformat(),
        }
        return {name: text for name, text in given.items() if text}


@admin.register(ReportRun)
class ReportRunAdmin(ReadOnlyAdmin):
    list_display = (
        "asked",
        "title",
        "format",
        "moment",
        "state_label",
        "progress_bar",
        "requested_by",
        "file",
    )
    list_display_links = ("asked", "title")
    list_select_related = ("requested_by",)
    list_filter = (
        ("state", ChoicesDropdownFilter),
        ("format", ChoicesDropdownFilter),
        ("created_at", PeriodFilter),
    )
    exact_search: ClassVar[dict[str, str]] = {"public_id": "uuid", "requested_by__email": "lower"}
    search_help_text = _("A report's id or the e-mail of who asked for it, exactly")
    fieldsets = (
        (
            None,
            {
                "fields": (
                    "title",
                    "format",
                    "moment",
                    "parameters_shown",
                    "language",
                    "state_label",
                    "progress_bar",
                    "error",
                    "requested_by",
                    "asked",
                    "made",
                )
            },
        ),
        (_("File"), {"fields": ("file", "size", "checksum", "totals_shown")}),
        (_("Who took it"), {"fields": ("taken",)}),
    )
    actions_list = ("ask",)
    asked = when_column("created_at", _("asked"))
    moment = when_column("as_of", _("as of"))
    made = when_column("finished_at", _("made"))
    state_label = label_column("state", _("state"), STATE_TONES)
    parameters_shown = raw_column("parameters", _("parameters"))
    totals_shown = raw_column("totals", _("totals"))

    def get_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        return [
            path("<uuid:run_id>/file/", wrap(self.download), name="report_reportrun_file"),
            *super().get_urls(),
        ]

    @display(description=_("report"), ordering="definition")
    def title(self, obj: ReportRun) -> Any:
        known = DEFINITIONS.get(obj.definition)
        name = known.title if known is not None else obj.definition
        customer = obj.parameters.get(CUSTOMER.name)
        return f"{name}: {customer}" if customer else name

    @display(description=_("done, %"))
    def progress_bar(self, obj: ReportRun) -> SafeString:
        if obj.state not in _BUSY:
            return EMPTY
        return format_html(
            '<progress class="k-bar" data-busy max="100" value="{}">{} %</progress>', *[obj.progress] * 2
        )

    @display(description=_("file"))
    def file(self, obj: ReportRun) -> SafeString:
        if obj.state != ReportRun.State.READY:
            return EMPTY
        return link(reverse("admin:report_reportrun_file", args=(obj.public_id,)), _("Download"))

    @display(description=_("size"))
    def size(self, obj: ReportRun) -> SafeString:
        return format_html("{} KiB", -(-obj.file_size // _KIB)) if obj.file_size else EMPTY

    @display(description="SHA-256")
    def checksum(self, obj: ReportRun) -> SafeString:
        return copyable(obj.file_sha256)

    @display(description=_("downloads"))
    def taken(self, obj: ReportRun) -> SafeString:
        return table(
            (_("When"), _("Who"), _("Address")),
            ((when(row.at), row.user, row.ip or EMPTY) for row in obj.downloads.select_related("user")),
            _("Nobody has taken it yet."),
        )

    def has_ask_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("report.request_report")

    @action(
        description=_("New report"),
        icon="add",
        variant=ActionVariant.PRIMARY,
        permissions=["ask"],
        dialog={
            "title": _("New report"),
            "description": _("A worker makes it; the list shows how far it is."),
            "form_class": RequestForm,
            "form_submit_text": _("Make the report"),
        },
    )
    def ask(self, request: HttpRequest, form: RequestForm) -> HttpResponse:
        language = (get_language() or "en")[:2]
        attempt(
            request,
            lambda: report_request(
                definition=form.cleaned_data["definition"],
                file_format=form.cleaned_data["file_format"],
                as_of=form.moment(),
                language=language if language in LANGUAGES else "en",
                user=request.user,
                actor=actor_of(request),
                parameters=form.parameters(),
            ),
            _("The report is being made."),
        )
        return back_to(request, list_url(ReportRun))

    def download(self, request: HttpRequest, run_id: uuid.UUID) -> HttpResponse | FileResponse:
        """The file itself; the service checks the right and records who took it."""
        try:
            found = report_open(run_id=run_id, user=request.user, ip=request.client_ip)
        except KauriError as error:
            messages.error(request, refusal(error))
            return HttpResponseRedirect(list_url(ReportRun))
        return FileResponse(found.open("rb"), as_attachment=True, filename=found.name)
