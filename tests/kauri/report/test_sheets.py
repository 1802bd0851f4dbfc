"""Files that grow row by row: every form of text comes back, and what was cut is as if it had never been."""

from __future__ import annotations

import csv
import io
import zipfile
from pathlib import Path

import pytest
from openpyxl import load_workbook

from kauri.report.sheets import MAX_CELL, SHEETS, Draft

HARD = [
    "a,b",
    'say "no"',
    "two\nlines",
    "<&> ]]>",
    "  spaces  ",
    "Сума, грн",
    "'=1+1",
    "007",
    "12345678901234567890.10",
    "",
]


def whole(tmp_path: Path, file_format: str, rows: list[list[str]]) -> bytes:
    sheet, part, out = SHEETS[file_format], tmp_path / "part", tmp_path / "out"
    part.write_bytes(sheet.head(["Назва"] * len(HARD)) + b"".join(map(sheet.row, rows)))
    sheet.finish(part, out)
    assert not part.exists()
    return out.read_bytes()


def test_csv_gives_back_what_was_put_in(tmp_path: Path) -> None:
    data = whole(tmp_path, "csv", [HARD, HARD])
    assert data.startswith(b"\xef\xbb\xbf")
    assert list(csv.reader(io.StringIO(data.decode("utf-8-sig"), newline=""))) == [
        ["Назва"] * len(HARD),
        HARD,
        HARD,
    ]


def test_a_workbook_gives_back_what_was_put_in(tmp_path: Path) -> None:
    sheet = load_workbook(io.BytesIO(whole(tmp_path, "xlsx", [HARD]))).worksheets[0]
    head, row = sheet.iter_rows(values_only=True)
    assert head == ("Назва",) * len(HARD)
    assert [cell or "" for cell in row] == HARD
    assert {type(cell) for cell in row} <= {str, type(None)}


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("bell\x07 and \x1b[31m", "bell and [31m"),
        ("\ufffe\uffff", ""),
        ("_x0041_", "_x005F_x0041_"),
        ("_x004_ _xyz", "_x004_ _xyz"),
        ("x" * (MAX_CELL + 5), "x" * MAX_CELL),
    ],
)
def test_nothing_makes_a_workbook_damaged(tmp_path: Path, text: str, written: str) -> None:
    data = whole(tmp_path, "xlsx", [[text] * len(HARD)])
    with zipfile.ZipFile(io.BytesIO(data)) as book:
        assert book.testzip() is None
        xml = book.read("xl/worksheets/sheet1.xml").decode()
    assert xml.count(f'<t xml:space="preserve">{written}</t>') == len(HARD)
    assert len(list(load_workbook(io.BytesIO(data)).worksheets[0].iter_rows())) == 2


def test_a_draft_is_cut_where_it_is_known_to_be_whole(tmp_path: Path) -> None:
    draft = Draft(tmp_path / "new", "one")
    with draft.alone() as first, draft.alone() as second:
        assert (first, second) == (True, False)
    assert draft.find(iter(["1", "key, with\nlines", "3"])) == 3
    assert list(draft.chunks(1, 1)) == [["key, with\nlines"], ["3"]]
    assert (draft.has(0), draft.put(0, b"head|")) == (False, 5)
    assert draft.put(5, b"row|lost") == 13
    assert draft.put(9, b"row|") == 13
    assert draft.part.read_bytes() == b"head|row|row|"
    assert (draft.has(13), draft.has(14)) == (True, False)
    assert {oct(path.stat().st_mode)[-3:] for path in draft.folder.iterdir()} == {"600"}
    assert draft.put(0, b"anew") == 4
    assert draft.part.read_bytes() == b"anew"
    draft.discard()
    assert list(draft.folder.iterdir()) == []
