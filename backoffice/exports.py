"""A list as a file: what is filtered, in its order, the columns that are shown, for whoever may export.

The house's own cells are read as text rather than given to django-import-export: that library would
write fields, past the columns of the list and past the pages' own rights, and would hold all rows at once.
"""

from __future__ import annotations

import csv
import re
import tempfile
from collections.abc import Callable, Iterable, Iterator
from html.parser import HTMLParser
from typing import IO, Any, Final

from django.contrib import messages
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.utils import label_for_field, lookup_field
from django.core.exceptions import ObjectDoesNotExist, PermissionDenied
from django.db import transaction
from django.http import FileResponse, Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils.text import capfirst
from django.utils.translation import gettext as _

from kauri.common import clock
from kauri.common.admin import HouseAdmin, actor_of, list_url
from kauri.core.audit import audit

PERMISSION: Final = "report.export_list"
#: A web process makes no longer file than this: about ten seconds of work.
MAX_ROWS: Final = 20_000
_CHUNK: Final = 500
#: What a spreadsheet would run; a plain number, with its currency or without, is none of it.
_FORMULA: Final = re.compile(r"\s*[=+\-@\t\r|%]")
_NUMBER: Final = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?( [A-Z0-9]{2,12})?")
_VOID: Final = frozenset({"br", "img", "input", "hr"})
_INLINE: Final = frozenset({"u", "i", "b"})
_SILENT: Final = ("k-none", "material-symbols-outlined")

Row = tuple[str, ...]


class _Cell(HTMLParser):
    """The words of a cell: moments and shortened ids whole, amounts without their grouping, no icons."""

    def __init__(self) -> None:
        super().__init__()
        self.parts: list[str] = []
        self.skips = 0
        self.amounts = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in _VOID:
            self.parts.append(" ")
            return
        if self.skips:
            self.skips += 1
            return
        given = dict(attrs)
        classes = given.get("class") or ""
        whole = (
            given.get("datetime") if tag == "time" else given.get("title") if tag in ("code", "a") else None
        )
        if tag not in _INLINE:
            self.parts.append(" ")
        if whole:
            self.parts.append(whole)
        if whole or tag == "button" or any(name in classes for name in _SILENT):
            self.skips = 1
        elif self.amounts or "k-money" in classes:
            self.amounts += 1

    def handle_endtag(self, tag: str) -> None:
        if tag in _VOID:
            return
        if self.skips:
            self.skips -= 1
        elif self.amounts:
            self.amounts -= 1

    def handle_data(self, data: str) -> None:
        if not self.skips:
            self.parts.append(data.replace("\u00a0", "") if self.amounts else data)


def text_of(value: object) -> str:
    """A cell as people read it, on one line."""
    if value is None:
        return ""
    if isinstance(value, (list, tuple)):
        return " ".join(filter(None, map(text_of, value)))
    if not hasattr(value, "__html__"):
        return str(value)
    cell = _Cell()
    cell.feed(str(value))
    cell.close()
    return " ".join("".join(cell.parts).split())


def harmless(text: str) -> str:
    """``text`` as no spreadsheet runs it: what looks like a formula gets an apostrophe before it."""
    return f"'{text}" if _FORMULA.match(text) and not _NUMBER.fullmatch(text) else text


def export(request: HttpRequest, admin: object, file_format: str) -> HttpResponse | FileResponse:
    """The list as a file, whole or not at all; the export is on record."""
    if not isinstance(admin, HouseAdmin) or file_format not in WRITERS:
        raise Http404
    if not (request.user.has_perm(PERMISSION) and admin.has_view_permission(request)):
        raise PermissionDenied
    try:
        found = admin.get_changelist_instance(request)
    except IncorrectLookupParameters as exc:
        raise Http404 from exc
    if found.queryset.order_by()[: MAX_ROWS + 1].count() > MAX_ROWS:
        words = _(
            "There are more rows than one file takes (%(limit)s): narrow the filter. Nothing was exported."
        )
        messages.error(request, words % {"limit": MAX_ROWS})
        return HttpResponseRedirect(f"{list_url(admin.model)}?{request.GET.urlencode()}")
    options = admin.model._meta
    columns = [name for name in found.list_display if name != "action_checkbox"]
    head = tuple(harmless(capfirst(str(label_for_field(name, admin.model, admin)))) for name in columns)
    file = tempfile.TemporaryFile()  # noqa: SIM115 - the answer closes it
    count = WRITERS[file_format](file, head, _rows(admin, found.queryset, columns))
    file.seek(0)
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
                "columns": columns,
            },
        )
    name = f"{options.model_name}-{clock.now():%Y%m%dT%H%M%SZ}.{file_format}"
    return FileResponse(file, as_attachment=True, filename=name)


def _rows(admin: HouseAdmin, queryset: Any, columns: list[str]) -> Iterator[Row]:
    for row in queryset.iterator(chunk_size=_CHUNK):
        yield tuple(harmless(_value(admin, row, name)) for name in columns)


def _value(admin: HouseAdmin, row: Any, name: str) -> str:
    try:
        field, _attribute, value = lookup_field(name, row, admin)
    except ObjectDoesNotExist:
        return ""
    if field is not None and getattr(field, "choices", None):
        return str(getattr(row, f"get_{field.name}_display")())
    if field is not None and field.is_relation:
        return text_of(getattr(row, field.name))
    return clock.iso(value) if hasattr(value, "tzinfo") else text_of(value)


def _csv(file: IO[bytes], head: Row, rows: Iterable[Row]) -> int:
    class Text:
        def write(self, line: str) -> int:
            return file.write(line.encode())

    file.write(b"\xef\xbb\xbf")  # without it Excel takes Cyrillic for something else
    writer = csv.writer(Text())
    writer.writerow(head)
    count = 0
    for count, row in enumerate(rows, start=1):  # noqa: B007 - how many there were
        writer.writerow(row)
    return count


def _xlsx(file: IO[bytes], head: Row, rows: Iterable[Row]) -> int:
    from xlsxwriter import Workbook  # noqa: PLC0415 - only whoever exports pays for it

    book = Workbook(file, {"constant_memory": True, "strings_to_formulas": False, "strings_to_urls": False})
    sheet, bold = book.add_worksheet(), book.add_format({"bold": True, "bottom": 1})
    sheet.set_column(0, len(head), 24)
    sheet.freeze_panes(1, 0)
    for place, title in enumerate(head):
        sheet.write_string(0, place, title, bold)
    count = 0
    for count, row in enumerate(rows, start=1):
        for place, text in enumerate(row):
            sheet.write_string(count, place, text)
    book.close()
    return count


WRITERS: Final[dict[str, Callable[[IO[bytes], Row, Iterable[Row]], int]]] = {"csv": _csv, "xlsx": _xlsx}
