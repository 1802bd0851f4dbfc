"""A long list as a file that grows row by row, so that whoever goes on cuts it where it is known to be whole.

Excel's sheet is written by hand for that: the library of the reports can't go on with a file that it
did not begin. Every cell is text, so nothing of it is run and no digit is lost.
"""

from __future__ import annotations

import csv
import fcntl
import io
import itertools
import json
import os
import re
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final, Protocol
from xml.sax.saxutils import escape

#: What a cell of Excel takes; a longer one would make the whole file "damaged".
MAX_CELL: Final = 32_767
#: No XML at all, whatever it is written as.
_NO_XML: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
#: Excel reads _x0041_ as a letter: the underscore itself is written so.
_CODED: Final = re.compile(r"_(?=x[0-9A-Fa-f]{4}_)")
_MAIN: Final = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
_DOCUMENT: Final = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_PACKAGE: Final = "http://schemas.openxmlformats.org/package/2006"
_XML: Final = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n'
_TAIL: Final = b"</sheetData></worksheet>"
_TYPE: Final = "application/vnd.openxmlformats-officedocument.spreadsheetml"
#: The rest of a workbook: one sheet, two styles (plain, and bold for the titles).
_PARTS: Final = {
    "[Content_Types].xml": f'<Types xmlns="{_PACKAGE}/content-types">'
    '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
    '<Default Extension="xml" ContentType="application/xml"/>'
    f'<Override PartName="/xl/workbook.xml" ContentType="{_TYPE}.sheet.main+xml"/>'
    f'<Override PartName="/xl/styles.xml" ContentType="{_TYPE}.styles+xml"/>'
    f'<Override PartName="/xl/worksheets/sheet1.xml" ContentType="{_TYPE}.worksheet+xml"/></Types>',
    "_rels/.rels": f'<Relationships xmlns="{_PACKAGE}/relationships">'
    f'<Relationship Id="rId1" Type="{_DOCUMENT}/officeDocument" Target="xl/workbook.xml"/></Relationships>',
    "xl/workbook.xml": f'<workbook xmlns="{_MAIN}" xmlns:r="{_DOCUMENT}"><sheets>'
    '<sheet name="1" sheetId="1" r:id="rId1"/></sheets></workbook>',
    "xl/_rels/workbook.xml.rels": f'<Relationships xmlns="{_PACKAGE}/relationships">'
    f'<Relationship Id="rId1" Type="{_DOCUMENT}/worksheet" Target="worksheets/sheet1.xml"/>'
    f'<Relationship Id="rId2" Type="{_DOCUMENT}/styles" Target="styles.xml"/></Relationships>',
    "xl/styles.xml": f'<styleSheet xmlns="{_MAIN}">'
    '<fonts count="2"><font><sz val="11"/><name val="Calibri"/></font>'
    '<font><b/><sz val="11"/><name val="Calibri"/></font></fonts>'
    '<fills count="2"><fill><patternFill patternType="none"/></fill>'
    '<fill><patternFill patternType="gray125"/></fill></fills>'
    '<borders count="1"><border><left/><right/><top/><bottom/><diagonal/></border></borders>'
    '<cellStyleXfs count="1"><xf numFmtId="0" fontId="0" fillId="0" borderId="0"/></cellStyleXfs>'
    '<cellXfs count="2"><xf numFmtId="49" fontId="0" fillId="0" borderId="0" xfId="0" applyNumberFormat="1"/>'
    '<xf numFmtId="49" fontId="1" fillId="0" borderId="0" xfId="0" applyNumberFormat="1" applyFont="1"/>'
    '</cellXfs><cellStyles count="1"><cellStyle name="Normal" xfId="0" builtinId="0"/></cellStyles></styleSheet>',
}


class Sheet(Protocol):
    """One form of a file. ``finish`` makes the whole of the rows at ``part`` appear at ``out`` at once."""

    def head(self, titles: Sequence[str]) -> bytes: ...

    def row(self, cells: Sequence[str]) -> bytes: ...

    def finish(self, part: Path, out: Path) -> None: ...


class Csv:
    """With a byte order mark: without it Excel takes Cyrillic for something else."""

    def head(self, titles: Sequence[str]) -> bytes:
        return b"\xef\xbb\xbf" + self.row(titles)

    def row(self, cells: Sequence[str]) -> bytes:
        line = io.StringIO(newline="")
        csv.writer(line).writerow(cells)
        return line.getvalue().encode()

    def finish(self, part: Path, out: Path) -> None:
        os.replace(part, out)


class Xlsx:
    """Rows of one sheet; the other parts of the workbook come with the end."""

    def head(self, titles: Sequence[str]) -> bytes:
        columns = f'<cols><col min="1" max="{len(titles)}" width="24" customWidth="1"/></cols>'
        pane = '<pane ySplit="1" topLeftCell="A2" activePane="bottomLeft" state="frozen"/>'
        view = f'<sheetViews><sheetView workbookViewId="0">{pane}</sheetView></sheetViews>'
        opened = f'{_XML}<worksheet xmlns="{_MAIN}">{view}{columns}<sheetData>'
        return opened.encode() + _line(titles, ' s="1"')

    def row(self, cells: Sequence[str]) -> bytes:
        return _line(cells)

    def finish(self, part: Path, out: Path) -> None:
        with part.open("ab") as file:
            file.write(_TAIL)
        whole = out.with_name(f".{out.name}.part")
        with zipfile.ZipFile(whole, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as book:
            for name, text in _PARTS.items():
                book.writestr(name, _XML + text)
            book.write(part, "xl/worksheets/sheet1.xml")
        whole.chmod(0o600)
        os.replace(whole, out)
        part.unlink()


def _line(cells: Sequence[str], style: str = "") -> bytes:
    inside = "".join(
        f'<c t="inlineStr"{style}><is><t xml:space="preserve">{_said(cell)}</t></is></c>' for cell in cells
    )
    return f"<row>{inside}</row>".encode()


def _said(cell: str) -> str:
    return escape(_CODED.sub("_x005F_", _NO_XML.sub("", cell[:MAX_CELL])))


SHEETS: Final[dict[str, Sheet]] = {"csv": Csv(), "xlsx": Xlsx()}


class Draft:
    """What there is of an export that is not finished: the keys of its rows, as they were found, and the rows."""

    def __init__(self, folder: Path, name: str) -> None:
        self.folder = folder
        self.keys, self.part, self.guard = (folder / f".{name}.{kind}" for kind in ("keys", "part", "lock"))

    @contextmanager
    def alone(self) -> Iterator[bool]:
        """Nobody else writes meanwhile; False when somebody does. The lock ends with its process, however that ends."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with self._made(self.guard, "ab") as guard:
            try:
                fcntl.flock(guard, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
                return
            yield True

    def find(self, keys: Iterable[str]) -> int:
        """Keep the keys anew; how many there are."""
        count = 0
        with self._made(self.keys, "wb") as file:
            for count, key in enumerate(keys, start=1):  # noqa: B007 - how many there were
                file.write(json.dumps(key).encode() + b"\n")
            _settle(file)
        return count

    def chunks(self, start: int, size: int) -> Iterator[list[str]]:
        """The keys after the first ``start``, so many at a time."""
        with self.keys.open("rb") as file:
            lines = itertools.islice(file, start, None)
            while chunk := [json.loads(line) for line in itertools.islice(lines, size)]:
                yield chunk

    def has(self, size: int) -> bool:
        """Whether the files are there, with at least so many bytes of rows."""
        return self.keys.is_file() and self.part.is_file() and self.part.stat().st_size >= size

    def put(self, start: int, data: bytes) -> int:
        """Write ``data`` from ``start`` on, cutting off whatever stood there; where it ends."""
        with self._made(self.part, "r+b" if start else "wb") as file:
            file.truncate(start)
            file.seek(start)
            file.write(data)
            _settle(file)
        return start + len(data)

    def discard(self) -> None:
        for path in (self.keys, self.part, self.guard):
            path.unlink(missing_ok=True)

    @staticmethod
    def _made(path: Path, mode: str) -> IO[bytes]:
        file: IO[bytes] = path.open(mode)
        path.chmod(0o600)
        return file


def _settle(file: IO[bytes]) -> None:
    """On the disk before the database says so."""
    file.flush()
    os.fsync(file.fileno())
