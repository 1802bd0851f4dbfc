"""Rows of a setting as a CSV file that people edit: how a field is written, and how what they wrote is read.

Cells are compared and carried as texts; a foreign key is written by the code of its row.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any, Final

from django.core.exceptions import ValidationError
from django.db import models
from django.utils.translation import override

from kauri.common.crypto import EncryptedTextField
from kauri.common.errors import KauriError
from kauri.common.formulas import guarded, runs, unguarded
from kauri.common.money import plain

#: As many as one person looks through, and the second one after them.
MOST_ROWS: Final = 500
#: The file comes back inside the form that proposes, whose body is bounded.
MOST_BYTES: Final = 128 * 1024
#: By which field of its model a foreign row is named in a file: the first that is unique.
_NAMES: Final = ("code", "email", "name")
_YES: Final = frozenset({"true", "yes", "1", "істина", "так", "истина", "да"})
_NO: Final = frozenset({"false", "no", "0", "хибність", "ні", "ложь", "нет"})
_DECIMAL: Final = re.compile(r"-?[0-9]{1,40}(\.[0-9]{1,40})?")
_WHOLE: Final = re.compile(r"-?[0-9]{1,18}")


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with a line: its column ('' for the whole of it), a stable reason, and words that name it."""

    column: str
    reason: str
    detail: str = ""


class Unreadable(Exception):
    """A cell that is no value of its column."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(reason)
        self.reason, self.detail = reason, detail


@dataclass(frozen=True, slots=True)
class Sheet:
    """A file as it was read: names of fields, and by the file's line the cells under them."""

    columns: tuple[str, ...]
    rows: tuple[tuple[int, tuple[str, ...]], ...]
    name: str
    sha256: str


@dataclass(frozen=True, slots=True)
class Column:
    """One field of a setting as a column of its file."""

    name: str
    field: Any

    @property
    def named_by(self) -> str:
        """The field by which a foreign row is named; '' where this is no foreign key."""
        if not self.field.is_relation:
            return ""
        related = self.field.related_model
        unique = {field.name for field in related._meta.fields if field.unique}
        return next((name for name in _NAMES if name in unique), "pk")

    def titles(self) -> set[str]:
        """What a header may call it: its name, and its title in the reader's language and in English."""
        with override("en"):
            english = str(self.field.verbose_name)
        return {text.strip().lower() for text in (self.name, str(self.field.verbose_name), english)}

    def text(self, value: Any, names: Mapping[Any, str]) -> str:
        """A stored value as a cell; ``names`` are the codes of foreign rows by key."""
        if value is None:
            return ""
        if self.field.is_relation:
            return names[value]
        if isinstance(self.field, models.JSONField):
            return json.dumps(value, ensure_ascii=False, sort_keys=True)
        if isinstance(value, bool):
            return "true" if value else "false"
        if isinstance(value, Decimal):
            return plain(value)
        return value.isoformat() if isinstance(value, (date, datetime, time)) else str(value)

    def value(self, cell: str, keys: Mapping[str, Any]) -> Any:
        """A cell's value, a foreign row's key from ``keys`` by its code. Raises :class:`Unreadable`."""
        text = cell.strip()
        if text:
            return self._read(text, keys)
        if self.field.null:
            return None
        if self.field.blank and isinstance(self.field, (models.CharField, models.TextField)):
            return ""
        raise Unreadable("required")

    def _read(self, text: str, keys: Mapping[str, Any]) -> Any:
        field = self.field
        if field.is_relation:
            return _known(keys, text if text in keys else text.lower(), text)
        if field.flatchoices:
            allowed = {str(choice): choice for choice, _title in field.flatchoices}
            return _known(allowed, text, ", ".join(allowed), "unknown_choice")
        if isinstance(field, models.BooleanField):
            switched = {**dict.fromkeys(_YES, True), **dict.fromkeys(_NO, False)}
            return _known(switched, text.lower(), text, "not_a_switch")
        if isinstance(field, models.DecimalField):
            return Decimal(_shaped(_DECIMAL, text, "not_a_number"))
        if isinstance(field, models.IntegerField):
            return int(_shaped(_WHOLE, text, "not_a_whole_number"))
        if isinstance(field, models.JSONField):
            return _json(text)
        if isinstance(field, (models.DateField, models.TimeField)):
            return _moment(field, text)
        return text


def columns_of(model: type[models.Model], names: Iterable[str]) -> dict[str, Column]:
    """The columns of a setting's file, by name, in order. What is kept encrypted has none."""
    found = {name: Column(name, model._meta.get_field(name)) for name in dict.fromkeys(names)}
    return {
        name: column for name, column in found.items() if not isinstance(column.field, EncryptedTextField)
    }


def read(data: bytes, name: str, columns: Mapping[str, Column], needed: Sequence[str]) -> Sheet:
    """A file of ours or of a spreadsheet: UTF-8 with or without its mark, commas or semicolons.

    ``needed`` are the columns that must be there. Raises ``validation_error`` whose ``file`` is the reason:
    ``too_big``, ``bad_encoding``, ``not_a_table``, ``empty``, ``too_many_rows``, ``unknown_column``,
    ``repeated_column``, ``missing_column``.
    """
    if len(data) > MOST_BYTES:
        raise refused("too_big", f"{MOST_BYTES // 1024} KiB")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise refused("bad_encoding") from None
    if "\x00" in text:
        raise refused("not_a_table")
    records = _records(text)
    if not records:
        raise refused("empty")
    header = _header(records[0][1], columns, needed)
    if len(records) - 1 > MOST_ROWS:
        raise refused("too_many_rows", str(MOST_ROWS))
    if len(records) == 1:
        raise refused("empty")
    return Sheet(header, tuple(records[1:]), name[-150:], hashlib.sha256(data).hexdigest())


def written(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> bytes:
    """The file of these cells, with the mark by which a spreadsheet knows UTF-8, and no formula in it."""
    out = io.StringIO(newline="")
    writer = csv.writer(out)
    writer.writerow(columns)
    writer.writerows([guarded(cell) for cell in row] for row in rows)
    return out.getvalue().encode("utf-8-sig")


def plain_cell(cell: str) -> str:
    """A cell as it was meant, without the guard of our own files. Raises :class:`Unreadable` for a formula."""
    if runs(cell):
        raise Unreadable("formula", cell[:60])
    return unguarded(cell)


def refused(reason: str, detail: str = "") -> KauriError:
    """The whole file is refused: a stable ``reason``, and what it is about."""
    return KauriError("validation_error", detail, fields={"file": reason})


def _records(text: str) -> list[tuple[int, tuple[str, ...]]]:
    """Lines with their numbers, empty ones left out; the header says by what cells are parted."""
    found = [_parted(text, delimiter) for delimiter in (",", ";")]
    return max(found, key=lambda records: len(records[0][1]) if records else 0)


def _parted(text: str, delimiter: str) -> list[tuple[int, tuple[str, ...]]]:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    records, begins = [], 1
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells):
                records.append((begins, tuple(cells)))
            begins = reader.line_num + 1
            if len(records) > MOST_ROWS + 1:
                break
    except csv.Error:
        # Quotes that one delimiter makes sense of may make none for the other.
        return []
    return records


def _header(cells: Sequence[str], columns: Mapping[str, Column], needed: Sequence[str]) -> tuple[str, ...]:
    names: dict[str, list[str]] = {}
    for column in columns.values():
        for title in column.titles():
            names.setdefault(title, []).append(column.name)
    header, unknown = [], []
    for cell in cells:
        asked = unguarded(cell).strip().lower()
        found = [asked] if asked in columns else names.get(asked, [])
        if len(found) == 1:
            header.append(found[0])
        else:
            unknown.append(cell.strip()[:60])
    if unknown and not header:
        raise refused("not_a_table")
    if unknown:
        raise refused("unknown_column", ", ".join(unknown))
    if repeated := sorted({name for name in header if header.count(name) > 1}):
        raise refused("repeated_column", ", ".join(repeated))
    if missing := [name for name in needed if name not in header]:
        raise refused("missing_column", ", ".join(missing))
    return tuple(header)


def _known(values: Mapping[str, Any], text: str, detail: str, reason: str = "unknown_code") -> Any:
    if text not in values:
        raise Unreadable(reason, detail)
    return values[text]


def _shaped(pattern: re.Pattern[str], text: str, reason: str) -> str:
    if not pattern.fullmatch(text):
        raise Unreadable(reason, text[:60])
    return text


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise Unreadable("not_json") from None


def _moment(field: Any, text: str) -> Any:
    try:
        found = field.to_python(text)
    except ValidationError:
        raise Unreadable("not_a_moment", text[:60]) from None
    return found.replace(tzinfo=UTC) if isinstance(found, datetime) and found.tzinfo is None else found
