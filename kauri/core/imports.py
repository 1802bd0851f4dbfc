"""Settings changed by a file: what it would change is shown first, then all of it is proposed, or nothing.

A line finds its row by the fields of ``Governed.key``; a line that finds none proposes a new row. An empty
cell empties the field, a column that is missing leaves it as it is.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from functools import reduce
from operator import or_
from typing import Any, Final

from django.core import signing
from django.core.exceptions import NON_FIELD_ERRORS, ObjectDoesNotExist, ValidationError
from django.db import models, transaction
from django.db.models import Q

from kauri.common.actor import Actor
from kauri.common.errors import KauriError
from kauri.core.again import code_again, spend
from kauri.core.audit import audit
from kauri.core.batches import Change, propose_all
from kauri.core.governing import Governed, as_json, field_value, governed, require
from kauri.core.models import Proposal
from kauri.core.sheets import Column, Fault, Sheet, Unreadable, columns_of, plain_cell, read, refused, written

#: How long a dry run that was shown may be proposed, seconds.
LIFE: Final = 1800
_SALT: Final = "kauri.core.imports"
#: What the form that brings it back has room for, characters.
_MOST_SEALED: Final = 200_000
_CHUNK: Final = 100

Key = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Difference:
    """One field of one row, as cells of the file."""

    column: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class Line:
    """What one line of the file would do. ``state``: ``new``, ``changed``, ``same`` or ``error``."""

    number: int
    state: str
    label: str
    target_id: str = ""
    values: dict[str, Any] = field(default_factory=dict)
    differences: tuple[Difference, ...] = ()
    faults: tuple[Fault, ...] = ()


def importable(target: str, actor: Actor) -> Governed:
    """The row type, for whoever may propose its changes. ``not_found`` where it has no key, ``forbidden``."""
    row_type = governed(target)
    if not row_type.key:
        raise KauriError("not_found", f"{target} is not imported")
    require(actor, row_type.propose)
    return row_type


def columns_in(row_type: Governed) -> dict[str, Column]:
    """The columns that a file of it may have: those that name the row, then those that a proposal may change."""
    return columns_of(row_type.model, (*row_type.key, *row_type.fields))


def parse(target: str, data: bytes, name: str) -> Sheet:
    """Read a file; raises as :func:`kauri.core.sheets.read`."""
    row_type = governed(target)
    return read(data, name, columns_in(row_type), row_type.key)


def export(target: str) -> bytes:
    """All rows as they stand, as a file that changes nothing when it is imported."""
    row_type = governed(target)
    columns = columns_in(row_type)
    rows = list(row_type.model._default_manager.all())
    names = {name: _names_of(column, rows) for name, column in columns.items()}
    cells = (
        [column.text(_stored(row, name), names[name]) for name, column in columns.items()] for row in rows
    )
    return written(list(columns), cells)


def dry_run(target: str, sheet: Sheet) -> list[Line]:
    """What each line would do, against the rows as they stand. Nothing is written."""
    return list(_Look(governed(target), sheet).lines())


def propose_import(
    target: str, lines: Sequence[Line], *, sheet: Sheet, reason: str, actor: Actor, code: str = ""
) -> list[Proposal]:
    """Propose what the lines say, as one batch: all or nothing, one code for all.

    Raises ``forbidden``, ``conflict`` (nothing would change, a row waits already), ``validation_error`` (a
    line has a fault, no reason), and the code's refusals.
    """
    row_type = importable(target, actor)
    if any(line.faults for line in lines):
        raise refused("has_faults")
    wanted = [line for line in lines if line.state in {"new", "changed"}]
    if not wanted:
        raise KauriError("conflict", "nothing would change")
    batch, kind = uuid.uuid4(), target.partition(".")[2]
    with code_again(actor, code, "settings_import", object_type=kind, object_id=batch), transaction.atomic():
        spent = spend(actor, code) if "propose" in row_type.codes else ""
        changes = [Change(target, line.target_id, line.values) for line in wanted]
        made = propose_all(changes, reason=reason, actor=actor, code=spent, batch=batch)
        new = sum(line.state == "new" for line in wanted)
        told = {"rows": len(lines), "new": new, "changed": len(wanted) - new}
        audit(
            actor,
            "settings_import",
            object_type=kind,
            object_id=batch,
            label=sheet.name,
            after={**told, "file": sheet.name, "sha256": sheet.sha256},
            reason=reason.strip(),
        )
    return made


def seal(target: str, sheet: Sheet, lines: Sequence[Line], actor: Actor) -> str:
    """What was shown, signed for this operator and kind of row: :func:`unseal` gives it back for a while."""
    shown = {"target": target, "operator": actor.id, "sheet": asdict(sheet), "digest": digest(lines)}
    text = signing.dumps(shown, salt=_SALT, compress=True)
    if len(text) > _MOST_SEALED:
        raise refused("too_big")
    return text


def unseal(target: str, text: str, actor: Actor) -> tuple[Sheet, str]:
    """The file and the digest of its dry run that this operator was shown. ``validation_error``: ``expired``,
    ``not_shown``."""
    try:
        shown = signing.loads(text, salt=_SALT, max_age=LIFE)
    except signing.SignatureExpired:
        raise refused("expired") from None
    except signing.BadSignature:
        raise refused("not_shown") from None
    if (shown["target"], shown["operator"]) != (target, actor.id):
        raise refused("not_shown")
    given = shown["sheet"]
    rows = tuple((number, tuple(cells)) for number, cells in given["rows"])
    sheet = Sheet(tuple(given["columns"]), rows, given["name"], given["sha256"])
    return sheet, shown["digest"]


def digest(lines: Sequence[Line]) -> str:
    """What tells two dry runs apart: every row, with what it was and would be."""
    told = [
        (line.number, line.state, line.target_id, [asdict(one) for one in line.differences]) for line in lines
    ]
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()


class _Look:
    """One dry run: the file's cells, the rows that they name, and the names of foreign rows."""

    def __init__(self, row_type: Governed, sheet: Sheet) -> None:
        self.row_type, self.sheet = row_type, sheet
        self.columns = {name: columns_in(row_type)[name] for name in sheet.columns}
        # A line with cells too many or too few can't be read at all.
        self.whole = {
            number: dict(zip(sheet.columns, cells, strict=True))
            for number, cells in sheet.rows
            if len(cells) == len(sheet.columns)
        }
        self.keys = {name: self._codes(name, column) for name, column in self.columns.items()}
        self.by_line = {number: self._key(cells) for number, cells in self.whole.items()}
        self.rows = self._rows()
        found = list(self.rows.values())
        self.names = {name: _names_of(column, found) for name, column in self.columns.items()}
        for name, codes in self.keys.items():
            self.names[name].update({key: code for code, key in codes.items()})
        self.waiting = list(
            Proposal.objects.filter(
                target=row_type.name, state__in=[Proposal.State.PENDING, Proposal.State.APPROVED]
            ).values_list("target_id", "after")
        )

    def lines(self) -> Iterator[Line]:
        seen: set[Key] = set()
        for number, _cells in self.sheet.rows:
            cells = self.whole.get(number)
            if cells is None:
                yield Line(number, "error", "", faults=(Fault("", "cells"),))
                continue
            key = self.by_line[number]
            line = self._line(number, cells, key)
            if key is not None and key in seen and key != (None,):
                line = Line(number, "error", line.label, faults=(Fault("", "repeated"), *line.faults))
            elif key is not None:
                seen.add(key)
            yield line

    def _line(self, number: int, cells: dict[str, str], key: Key | None) -> Line:
        label = " · ".join(cells[name].strip() for name in self.row_type.key if cells[name].strip())
        row = self.rows.get(key) if key is not None else None
        values, differences, faults = self._read(cells, row)
        is_lost = row is None and self.row_type.key == ("id",) and key is not None and key != (None,)
        if is_lost:
            faults.append(Fault("id", "unknown_row", label))
        if not faults and (row is None or values):
            faults += self._waits(row, key) + _checked(self.row_type, row, values)
        if faults:
            return Line(number, "error", label, faults=tuple(faults), differences=tuple(differences))
        state = "new" if row is None else "changed" if values else "same"
        target_id = "" if row is None else str(row.pk)
        return Line(number, state, label, target_id, values, tuple(differences))

    def _read(
        self, cells: dict[str, str], row: models.Model | None
    ) -> tuple[dict[str, Any], list[Difference], list[Fault]]:
        values: dict[str, Any] = {}
        differences, faults = [], []
        for name, column in self.columns.items():
            names = self.names[name]
            stands = column.text(_stored(row, name), names) if row is not None else ""
            try:
                cell = plain_cell(cells[name])
                # A cell as our own file has it says that nothing changes, whatever else it could mean.
                if (row is not None and stands in {cell, cell.strip()}) or (row is None and not cell.strip()):
                    self._may_stay_empty(column, row)
                    continue
                value = column.value(cell, self.keys[name])
            except Unreadable as fault:
                faults.append(Fault(name, fault.reason, fault.detail))
                continue
            if name in self.row_type.key and (row is not None or name == "id"):
                continue
            if row is not None and as_json(value) == as_json(_stored(row, name)):
                continue
            if name not in self.row_type.fields:
                faults.append(Fault(name, "not_governed"))
                continue
            if row is not None and name in self.row_type.fixed:
                faults.append(Fault(name, "chosen_once"))
                continue
            values[name] = value
            differences.append(Difference(name, stands, column.text(value, names)))
        return values, differences, faults

    def _may_stay_empty(self, column: Column, row: models.Model | None) -> None:
        """A new row needs what has neither a default nor a meaning when it is empty."""
        if row is None and column.name != "id" and not column.field.has_default():
            column.value("", {})

    def _waits(self, row: models.Model | None, key: Key | None) -> list[Fault]:
        if row is not None:
            waits = any(target_id == str(row.pk) for target_id, _after in self.waiting)
        else:
            named = dict(zip(self.row_type.key, map(as_json, key or ()), strict=False))
            wanted = {
                name: value for name, value in named.items() if value not in {None, ""} and name != "id"
            }
            waits = bool(wanted) and any(
                not target_id and {name: after.get(name) for name in named if after.get(name)} == wanted
                for target_id, after in self.waiting
            )
        return [Fault("", "waits_already")] if waits else []

    def _key(self, cells: dict[str, str]) -> Key | None:
        """What names the row of a line; None where that can't be read."""
        try:
            return tuple(
                None if name == "id" and not cells[name].strip() else self._value(name, cells[name])
                for name in self.row_type.key
            )
        except Unreadable:
            return None

    def _value(self, name: str, cell: str) -> Any:
        return self.columns[name].value(plain_cell(cell), self.keys[name])

    def _codes(self, name: str, column: Column) -> dict[str, Any]:
        """The keys of the foreign rows that a column names, by their codes: one query."""
        if not column.named_by:
            return {}
        texts = {cells[name].strip() for cells in self.whole.values()} - {""}
        wanted = texts | {text.lower() for text in texts}
        manager = column.field.related_model._default_manager
        found = manager.filter(**{f"{column.named_by}__in": wanted})
        return {str(code): key for code, key in found.values_list(column.named_by, "pk")}

    def _rows(self) -> dict[Key, models.Model]:
        """The rows that the lines name, a hundred a query."""
        keys = [key for key in dict.fromkeys(self.by_line.values()) if key is not None and key != (None,)]
        found: dict[Key, models.Model] = {}
        names = self.row_type.key
        for start in range(0, len(keys), _CHUNK):
            asked = [_named(names, key) for key in keys[start : start + _CHUNK]]
            for row in self.row_type.model._default_manager.filter(reduce(or_, asked)):
                found[tuple(_stored(row, name) for name in names)] = row
        return found


def _named(names: Sequence[str], key: Key) -> Q:
    conditions = Q()
    for name, value in zip(names, key, strict=True):
        conditions &= Q(**{f"{name}__isnull": True}) if value is None else Q(**{name: value})
    return conditions


def _stored(row: models.Model | None, name: str) -> Any:
    return None if row is None else field_value(row, name)


def _names_of(column: Column, rows: Sequence[models.Model]) -> dict[Any, str]:
    """The codes of the foreign rows that ``rows`` stand on, by their keys: one query."""
    if not column.named_by:
        return {}
    keys = {field_value(row, column.name) for row in rows} - {None}
    found = column.field.related_model._default_manager.filter(pk__in=keys)
    return {key: str(code) for key, code in found.values_list("pk", column.named_by)}


def _checked(row_type: Governed, row: models.Model | None, values: dict[str, Any]) -> list[Fault]:
    """What the model itself says against the row as it would be."""
    made = row_type.model() if row is None else row
    for name, value in values.items():
        setattr(made, made._meta.get_field(name).attname, value)  # type: ignore[union-attr]
    try:
        made.full_clean()
    except ValidationError as exc:
        return [
            Fault("" if name == NON_FIELD_ERRORS else name, "refused", " ".join(messages))
            for name, messages in exc.message_dict.items()
        ]
    except ObjectDoesNotExist as exc:
        return [Fault("", "refused", str(exc))]
    return []
