"""Exports of long lists: how far each is, its file, and a way to stop it. Everybody sees their own."""

from __future__ import annotations

import uuid
from typing import Any, ClassVar

from django.apps import apps
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import FileResponse, Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.text import capfirst
from django.utils.translation import get_language, ngettext
from django.utils.translation import gettext_lazy as _
from unfold.contrib.filters.admin import ChoicesDropdownFilter
from unfold.decorators import action, display
from unfold.forms import BaseDialogForm

from kauri.common.admin import (
    EMPTY,
    ReadOnlyAdmin,
    actor_of,
    attempt,
    back_to,
    badge,
    copyable,
    label_column,
    link,
    page_url,
    refusal,
    when_column,
)
from kauri.common.errors import KauriError, text_for
from kauri.report.exports import PERMISSION, export_cancel, export_open, place_of
from kauri.report.models import ListExport

_TONES = {"waiting": "info", "running": "info", "ready": "good", "failed": "bad"}
_MIB = 1024 * 1024


class StopForm(BaseDialogForm):
    """Nothing is asked: the button is the answer."""


@admin.register(ListExport)
class ListExportAdmin(ReadOnlyAdmin):
    list_display = ("asked", "what", "format", "state_label", "progress_bar", "rows_done", "file")
    list_display_links = ("asked", "what")
    list_filter = (("state", ChoicesDropdownFilter), ("format", ChoicesDropdownFilter))
    exact_search: ClassVar[dict[str, str]] = {"public_id": "uuid"}
    search_help_text = _("An export's id, exactly")
    fieldsets = (
        (
            None,
            {
                "fields": (
                    "what",
                    "seen_list",
                    "format",
                    "state_label",
                    "place",
                    "why",
                    "progress_bar",
                    "rows_total",
                    "rows_done",
                    "asked",
                    "finished",
                )
            },
        ),
        (_("File"), {"fields": ("file", "size", "checksum", "kept_until")}),
    )
    actions_detail = ("stop",)
    asked = when_column("created_at", _("asked"))
    finished = when_column("finished_at", _("finished"))
    kept_until = when_column("expires_at", _("kept until"))
    state_label = label_column("state", _("state"), _TONES)

    def get_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        return [
            path("<uuid:export_id>/file/", wrap(self.download), name="report_listexport_file"),
            *super().get_urls(),
        ]

    def get_queryset(self, request: HttpRequest) -> QuerySet[ListExport]:
        # Others' files are none of anybody's business; who exported what is in the audit.
        return super().get_queryset(request).filter(requested_by=request.user)

    def has_view_permission(self, request: HttpRequest, obj: ListExport | None = None) -> bool:
        del obj
        return request.user.has_perm(PERMISSION)

    def has_module_permission(self, request: HttpRequest) -> bool:
        return self.has_view_permission(request)

    @display(description=_("list"), ordering="list_name")
    def what(self, obj: ListExport) -> str:
        return capfirst(str(apps.get_model(obj.list_name.partition("?")[0])._meta.verbose_name_plural))

    @display(description=_("as it was seen"))
    def seen_list(self, obj: ListExport) -> SafeString:
        """The list with the filters, the sort and the columns of the file."""
        app, _dot, model = obj.list_name.partition("?")[0].partition(".")
        return link(f"{reverse(f'admin:{app}_{model}_changelist')}?{obj.query}", _("Open the list"))

    @display(description=_("why it failed"))
    def why(self, obj: ListExport) -> SafeString:
        if not obj.error_code:
            return EMPTY
        return badge(text_for(obj.error_code, (get_language() or "en")[:2]), "bad")

    @display(description=_("place in the queue"))
    def place(self, obj: ListExport) -> Any:
        """Of one's own exports; nothing for the one that is being written."""
        ahead = place_of(obj)
        if not ahead:
            return EMPTY
        said = ngettext(
            "%(place)s: %(count)s export of yours is before it",
            "%(place)s: %(count)s exports of yours are before it",
            ahead,
        )
        return said % {"place": ahead + 1, "count": ahead}

    @display(description=_("done, %"))
    def progress_bar(self, obj: ListExport) -> SafeString:
        if obj.state not in ListExport.BUSY:
            return EMPTY
        bar = '<progress class="k-bar" data-busy max="100" value="{}" aria-label="{}">{} %</progress>'
        return format_html(bar, obj.percent, _("done, %"), obj.percent)

    @display(description=_("file"))
    def file(self, obj: ListExport) -> SafeString:
        if obj.state != ListExport.State.READY:
            return EMPTY
        return link(reverse("admin:report_listexport_file", args=(obj.public_id,)), _("Download"))

    @display(description=_("size"))
    def size(self, obj: ListExport) -> SafeString:
        return format_html("{} MiB", -(-obj.file_size // _MIB)) if obj.file_size else EMPTY

    @display(description="SHA-256")
    def checksum(self, obj: ListExport) -> SafeString:
        return copyable(obj.file_sha256)

    def has_stop_permission(self, request: HttpRequest, object_id: object = None) -> bool:
        if object_id is None:
            return self.has_view_permission(request)
        export = self.get_object(request, str(object_id))
        return export is not None and export.state in ListExport.BUSY

    @action(
        description=_("Cancel the export"),
        icon="block",
        permissions=["stop"],
        dialog={
            "title": _("Cancel the export"),
            "description": _("What is written so far is thrown away."),
            "form_class": StopForm,
            "form_submit_text": _("Cancel the export"),
        },
    )
    def stop(self, request: HttpRequest, form: StopForm, object_id: str) -> HttpResponse:
        del form
        export = self.row_of(request, object_id)
        attempt(
            request,
            lambda: export_cancel(export_id=export.public_id, actor=actor_of(request)),
            _("The export is cancelled."),
        )
        return back_to(request, page_url(export))

    def download(self, request: HttpRequest, export_id: uuid.UUID) -> HttpResponse | FileResponse:
        """The file itself; the service checks whose it is and records that it was taken."""
        try:
            found = export_open(export_id=export_id, user=request.user, ip=request.client_ip)
        except KauriError as error:
            if error.code == "not_found":
                raise Http404 from error
            messages.error(request, refusal(error))
            return HttpResponseRedirect(reverse("admin:report_listexport_change", args=(export_id,)))
        return FileResponse(found.open("rb"), as_attachment=True, filename=found.name)
