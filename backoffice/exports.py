"""A list as a file: what is filtered, in its order, the columns that are shown, for whoever may export.

A short one is made while its asker waits; a long one by a worker (``kauri.report.exports``).
"""

from __future__ import annotations

import io
import tempfile
from http import HTTPStatus
from pathlib import Path
from typing import Final

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import FileResponse, Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils.translation import get_language
from django.utils.translation import gettext as _

from backoffice.lists import Reading, open_list
from kauri.common import clock
from kauri.common.admin import HouseAdmin, actor_of, list_url, page_url, refusal
from kauri.common.errors import KauriError
from kauri.common.listed import ListedChangeList
from kauri.core.audit import audit
from kauri.report.exports import PERMISSION, export_request, place_of
from kauri.report.sheets import SHEETS

#: A web process makes no longer file than this: about a second of work.
DIRECT_ROWS: Final = 2_000
_CHUNK: Final = 500


def export(request: HttpRequest, screen: object, file_format: str) -> HttpResponse | FileResponse:
    """The list as a file, whole or not at all; the export is on record."""
    if not isinstance(screen, HouseAdmin) or file_format not in SHEETS:
        raise Http404
    if not (request.user.has_perm(PERMISSION) and screen.has_view_permission(request)):
        raise PermissionDenied
    if request.method != "POST":
        return HttpResponse(status=HTTPStatus.METHOD_NOT_ALLOWED, headers={"Allow": "POST"})
    try:
        found = open_list(screen, request)
        # Never more is counted than is needed to tell a long list from a short one.
        if found.queryset.order_by()[: DIRECT_ROWS + 1].count() > DIRECT_ROWS:
            return _later(request, screen, found, file_format)
    except KauriError as error:
        messages.error(request, refusal(error))
        query = "" if error.code == "validation_error" else f"?{request.GET.urlencode()}"
        return HttpResponseRedirect(list_url(screen.model) + query)
    return _now(request, screen, found, file_format)


def _later(
    request: HttpRequest, screen: HouseAdmin, found: ListedChangeList, file_format: str
) -> HttpResponse:
    row = export_request(
        list_name=screen.list_name(request),
        query=found.as_query(),
        file_format=file_format,
        language=(get_language() or "en")[:2],
        user=request.user,
        actor=actor_of(request),
    )
    if place_of(row):
        said = _("The list is long, and exports of yours are before it: this one waits for them.")
    else:
        said = _("The list is long: a worker writes the file. This page shows how far it is.")
    messages.success(request, said)
    return HttpResponseRedirect(page_url(row))


def _now(request: HttpRequest, screen: HouseAdmin, found: ListedChangeList, file_format: str) -> FileResponse:
    options, sheet, reading = screen.model._meta, SHEETS[file_format], Reading(screen, found)
    count = 0
    with tempfile.TemporaryDirectory() as folder:
        part, whole = Path(folder) / "part", Path(folder) / "whole"
        keys = list(reading.keys(DIRECT_ROWS))
        with part.open("wb") as file:
            file.write(sheet.head(reading.titles()))
            for start in range(0, len(keys), _CHUNK):
                for row in reading.rows(keys[start : start + _CHUNK]):
                    file.write(sheet.row(row))
                    count += 1
        sheet.finish(part, whole)
        data = whole.read_bytes()
    with transaction.atomic():
        audit(
            actor_of(request),
            "list_export",
            object_type=options.label_lower,
            object_id="",
            label=str(options.verbose_name_plural),
            after={
                "format": file_format,
                "rows": count,
                "filter": request.GET.urlencode(),
                "columns": found.shown,
            },
        )
    name = f"{options.model_name}-{clock.now():%Y%m%dT%H%M%SZ}.{file_format}"
    return FileResponse(io.BytesIO(data), as_attachment=True, filename=name)
