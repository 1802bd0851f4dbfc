"""A report's content as PDF or Excel. The heavy libraries are imported in the worker that renders."""

from __future__ import annotations

import io
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from django.conf import settings
from django.template.loader import render_to_string

from kauri.common.money import grouped
from kauri.report.definition import Cell, Content

#: A PDF costs about 6 ms and 0.1 MB a row: longer reports are Excel.
MAX_PDF_ROWS = 2_000
#: What a sheet of Excel has, less the four lines of the head. The library drops what is beyond.
MAX_SHEET_ROWS = 1_048_576 - 4
FONT = Path("static") / "fonts" / "DejaVuSans.ttf"


class TooLong(Exception):
    """More rows than the format takes."""


def to_pdf(content: Content) -> bytes:
    """A4, with the moment on every page; the font is ours, so that it looks the same everywhere."""
    from weasyprint import HTML  # noqa: PLC0415 - 60 MB that only the report worker pays

    if sum(len(table.rows) for table in content.tables) > MAX_PDF_ROWS:
        raise TooLong(f"more than {MAX_PDF_ROWS} rows: ask for Excel")
    tables = [
        {
            "title": table.title,
            "columns": table.columns,
            "rows": [
                [
                    {"text": _text(cell), "is_amount": column.is_amount}
                    for cell, column in zip(row, table.columns, strict=True)
                ]
                for row in table.rows
            ],
            "empty": table.empty,
        }
        for table in content.tables
    ]
    html = render_to_string("reports/report.html", {"content": content, "tables": tables})
    pdf = HTML(string=html, base_url=str(settings.BASE_DIR), url_fetcher=_only_ours()).write_pdf()
    assert isinstance(pdf, bytes)
    return pdf


def to_xlsx(content: Content) -> bytes:
    """One sheet a table, written row by row in constant memory. Amounts are text with all digits.

    Excel keeps 15 digits of a number, and an amount may have 38: text is exact, and a second,
    numeric column would be a different figure. Right-aligned, so that columns still read well.
    """
    from xlsxwriter import Workbook  # noqa: PLC0415 - only the report worker needs it

    if any(len(table.rows) > MAX_SHEET_ROWS for table in content.tables):
        raise TooLong(f"more than {MAX_SHEET_ROWS} rows in a table: ask for less")
    out = io.BytesIO()
    book = Workbook(out, {"constant_memory": True, "in_memory": False, "strings_to_formulas": False})
    head = book.add_format({"bold": True, "bottom": 1})
    number = book.add_format({"align": "right", "num_format": "@"})
    for index, table in enumerate(content.tables, start=1):
        sheet = book.add_worksheet(
            f"{index} {table.title}"[:31].translate(str.maketrans("[]:*?/\\", "       "))
        )
        sheet.set_column(0, len(table.columns), 26)
        sheet.write_string(0, 0, f"{content.title} — {table.title}", head)
        sheet.write_string(1, 0, _moment(content.as_of))
        for place, column in enumerate(table.columns):
            sheet.write_string(3, place, str(column.title), head)
        for line, row in enumerate(table.rows, start=4):
            for place, (cell, column) in enumerate(zip(row, table.columns, strict=True)):
                if isinstance(cell, Decimal):
                    sheet.write_string(line, place, format(cell, "f"), number)
                else:
                    sheet.write_string(line, place, _text(cell), number if column.is_amount else None)
    book.close()
    return out.getvalue()


def _text(cell: Cell) -> str:
    if cell is None:
        return "—"
    if isinstance(cell, Decimal):
        exponent = cell.as_tuple().exponent
        return grouped(cell, -exponent if isinstance(exponent, int) and exponent < 0 else 0)
    if isinstance(cell, datetime):
        return _moment(cell)
    return str(cell)


def _moment(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _only_ours() -> Any:
    """A reader of our own static files and of nothing else: no network, no other file."""
    from weasyprint.urls import URLFetcher  # noqa: PLC0415 - see to_pdf

    root = (Path(settings.BASE_DIR) / "static").resolve().as_uri() + "/"

    class OnlyOurs(URLFetcher):
        def fetch(self, url: str, headers: Any = None) -> Any:
            if not url.startswith(root) or ".." in url or "%" in url:
                raise ValueError("only the report's own font is read")
            return super().fetch(url, headers)

    return OnlyOurs(allowed_protocols={"file"}, allow_redirects=False)
