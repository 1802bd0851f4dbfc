"""The page that changes settings by a file: what it would change first, then a proposal of all of it."""

from __future__ import annotations

from collections import Counter
from typing import Any, Final

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext
from unfold.decorators import action
from unfold.widgets import UnfoldAdminFileFieldWidget, UnfoldAdminTextareaWidget

from kauri.common.admin import EMPTY, actor_of, badge, list_url, refusal, table
from kauri.common.code_forms import code_field
from kauri.common.errors import KauriError
from kauri.core import imports, sheets
from kauri.core.audit import audit
from kauri.core.governing import governed
from kauri.core.models import Proposal

#: What is wrong, in words; the reasons are those of the service.
WORDS: Final[dict[str, Any]] = {
    "bad_encoding": _("The file is not in UTF-8: save it as “CSV UTF-8”."),
    "cells": _("This line has more or fewer cells than the first line."),
    "chosen_once": _("This is chosen once, for a new row."),
    "empty": _("The file has no lines."),
    "expired": _("This dry run is no longer good. Upload the file again."),
    "formula": _("A spreadsheet would run this. Put an apostrophe before it."),
    "has_faults": _("A line has an error. Nothing was proposed."),
    "missing_column": _("Columns are missing"),
    "not_a_moment": _("This is no date or time."),
    "not_a_number": _("This is no number: digits, with a point."),
    "not_a_switch": _("This is neither true nor false."),
    "not_a_table": _("This is no table in CSV with the names of the columns in its first line."),
    "not_a_whole_number": _("This is no whole number."),
    "not_governed": _("This can't be changed by a proposal."),
    "not_json": _("This is not JSON."),
    "not_shown": _("This was not shown to you here. Upload the file again."),
    "refused": _("The row can't be so"),
    "repeated": _("A line above is about the same row."),
    "repeated_column": _("Columns stand there twice"),
    "required": _("This can't be empty."),
    "too_big": _("The file is too large."),
    "too_many_rows": _("The file has more lines than are imported at once"),
    "unknown_choice": _("This is none of"),
    "unknown_code": _("There is none with this code"),
    "unknown_column": _("Columns that are not known"),
    "unknown_row": _("There is no row with this number"),
    "waits_already": _("A change of this row waits for a second person already."),
}
_STATES: Final = {
    "new": (_("new"), "info"),
    "changed": (_("changed"), "warn"),
    "same": (_("same"), ""),
    "error": (_("error"), "bad"),
}


def words_of(reason: str, detail: str) -> str:
    """A reason in words, with what it is about."""
    said = str(WORDS.get(reason, reason))
    return f"{said.rstrip('.')}: {detail}" if detail else said


class UploadForm(forms.Form):
    """The file."""

    file = forms.FileField(label=_("CSV file"), widget=UnfoldAdminFileFieldWidget(attrs={"accept": ".csv"}))


class ProposeForm(forms.Form):
    """Why, and the code where proposing asks for it."""

    reason = forms.CharField(
        label=_("Reason"), max_length=300, widget=UnfoldAdminTextareaWidget(attrs={"rows": 2})
    )
    code = code_field()

    def __init__(self, asks: bool, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if not asks:
            del self.fields["code"]


class ImportAdmin:
    """Settings rows that a file may change: for :class:`GovernedAdmin`."""

    actions_list = ("import_rows",)
    model: Any
    opts: Any
    admin_site: Any

    @property
    def _target(self) -> str:
        return str(self.model._meta.label_lower)

    def has_import_permission(self, request: HttpRequest) -> bool:
        try:
            imports.importable(self._target, actor_of(request))
        except KauriError:
            return False
        return True

    def get_urls(self) -> list[URLPattern]:
        name = f"{self.opts.app_label}_{self.opts.model_name}_import_file"
        wrapped = self.admin_site.admin_view(self.import_file)
        return [path("import/file/", wrapped, name=name), *super().get_urls()]  # type: ignore[misc]

    def import_file(self, request: HttpRequest) -> HttpResponse:
        """The rows as they stand, as a file to edit. Every download is on record."""
        if not self.has_import_permission(request):
            raise PermissionDenied
        if request.method != "POST":
            return HttpResponse(status=405, headers={"Allow": "POST"})
        data = imports.export(self._target)
        with transaction.atomic():
            audit(
                actor_of(request),
                "list_export",
                object_type=self._target,
                object_id="",
                label=str(self.opts.verbose_name_plural),
                after={"format": "csv", "to": "import"},
            )
        answer = HttpResponse(data, content_type="text/csv; charset=utf-8")
        answer["Content-Disposition"] = f'attachment; filename="{self.opts.model_name}.csv"'
        return answer

    @action(description=_("Import"), icon="upload_file", url_path="import", permissions=["import"])
    def import_rows(self, request: HttpRequest) -> HttpResponse:
        """Upload, dry run, proposal: one page."""
        if request.method != "POST":
            return self._page(request, {"upload": UploadForm()})
        try:
            if "sheet" in request.POST:
                return self._propose(request)
            return self._look(request)
        except KauriError as error:
            reason = error.fields.get("file", "")
            messages.error(request, words_of(reason, error.detail) if reason else refusal(error))
            return self._page(request, {"upload": UploadForm()})

    def _look(self, request: HttpRequest) -> HttpResponse:
        upload = UploadForm(request.POST, request.FILES)
        if not upload.is_valid():
            return self._page(request, {"upload": upload})
        given = upload.cleaned_data["file"]
        if given.size > sheets.MOST_BYTES:
            raise sheets.refused("too_big", f"{sheets.MOST_BYTES // 1024} KiB")
        return self._shown(request, imports.parse(self._target, given.read(), given.name))

    def _propose(self, request: HttpRequest) -> HttpResponse:
        actor = actor_of(request)
        sheet, seen = imports.unseal(self._target, request.POST["sheet"], actor)
        lines = imports.dry_run(self._target, sheet)
        form = ProposeForm(self._asks, request.POST)
        if imports.digest(lines) != seen:
            messages.error(request, refusal(KauriError("changed_meanwhile")))
            return self._shown(request, sheet, form)
        if not form.is_valid():
            return self._shown(request, sheet, form)
        try:
            made = imports.propose_import(
                self._target,
                lines,
                sheet=sheet,
                reason=form.cleaned_data["reason"],
                code=form.cleaned_data.get("code", ""),
                actor=actor,
            )
        except KauriError as error:
            messages.error(request, refusal(error))
            return self._shown(request, sheet, form)
        words = ngettext(
            "%(count)s change is proposed. Nothing has changed yet: a second person decides.",
            "%(count)s changes are proposed. Nothing has changed yet: a second person decides.",
            len(made),
        )
        messages.success(request, words % {"count": len(made)})
        return HttpResponseRedirect(list_url(Proposal, batch=made[0].batch))

    @property
    def _asks(self) -> bool:
        return "propose" in governed(self._target).codes

    def _shown(
        self, request: HttpRequest, sheet: sheets.Sheet, form: ProposeForm | None = None
    ) -> HttpResponse:
        """The dry run, with what proposes it where it may be."""
        lines = imports.dry_run(self._target, sheet)
        counts = Counter(line.state for line in lines)
        columns = imports.columns_in(governed(self._target))
        rows = [
            (
                line.number,
                badge(*_STATES[line.state]),
                line.label or EMPTY,
                _details(line, columns),
            )
            for line in lines
        ]
        wanted = counts["new"] + counts["changed"]
        context = {
            "upload": UploadForm(),
            "lines": table((_("Line"), _("What"), _("Row"), _("What changes")), rows),
            "counts": [(words, counts[state]) for state, (words, _tone) in _STATES.items()],
            "has_faults": bool(counts["error"]),
            "wanted": wanted,
        }
        if wanted and not counts["error"]:
            context["form"] = form or ProposeForm(self._asks)
            context["sheet"] = imports.seal(self._target, sheet, lines, actor_of(request))
        return self._page(request, context)

    def _page(self, request: HttpRequest, context: dict[str, Any]) -> HttpResponse:
        row_type = governed(self._target)
        options = self.opts
        shown = {
            **self.admin_site.each_context(request),
            "title": _("Import: %(what)s") % {"what": options.verbose_name_plural},
            "opts": options,
            "named_by": ", ".join(row_type.key),
            "columns": ", ".join(imports.columns_in(row_type)),
            "most": sheets.MOST_ROWS,
            "file_url": reverse(f"admin:{options.app_label}_{options.model_name}_import_file"),
            "list_url": list_url(self.model),
            **context,
        }
        request.current_app = self.admin_site.name
        return TemplateResponse(request, "admin/kauri/import.html", shown)


def _details(line: imports.Line, columns: dict[str, sheets.Column]) -> Any:
    """Before and after of each field, or what is wrong."""
    if line.faults:
        return table(
            (_("Field"), _("What is wrong")),
            [
                (
                    columns[one.column].field.verbose_name if one.column in columns else EMPTY,
                    words_of(one.reason, one.detail),
                )
                for one in line.faults
            ],
        )
    if not line.differences:
        return EMPTY
    return table(
        (_("Field"), _("Before"), _("After")),
        [
            (columns[one.column].field.verbose_name, one.before or EMPTY, one.after or EMPTY)
            for one in line.differences
        ],
    )
