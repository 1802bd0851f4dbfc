"""Secrets at rest under the newest key: which columns hold ciphertext, and how each is written anew.

Every ``EncryptedTextField`` is found by itself, in the versions of settings too; what else is sealed
is named in :data:`SEALED`. A row that somebody changes meanwhile is theirs: it was written with the
newest key already.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from django.apps import apps
from django.db import connection
from psycopg import sql

from kauri.account.cases import files
from kauri.account.models import VerificationDocument
from kauri.common import crypto
from kauri.notification.channels.letters import MARK

BATCH: Final = 500


@dataclass(frozen=True, slots=True)
class Column:
    """One column with ciphertext. ``turn`` gives the new text of a cell, or None where it may stay."""

    table: str
    key: str
    name: str
    turn: Callable[[str], str | None]
    #: Which rows hold ciphertext in this column.
    where: str = "true"


@dataclass(slots=True)
class Outcome:
    """``seen`` cells; ``old`` of them under an older key; keys of the rows that no key opens."""

    seen: int
    old: int
    lost: list[str]


def _token(text: str) -> str | None:
    return crypto.encrypt(crypto.decrypt(text)) if crypto.needs_rotation(text) else None


def _letter(text: str) -> str | None:
    body: dict[str, Any] = json.loads(text)
    turned = _token(body["sealed"])
    return None if turned is None else json.dumps({**body, "sealed": turned})


def _marked(text: str) -> str | None:
    """A letter that goes by a channel with other messages: its mark, then ciphertext."""
    turned = _token(text.removeprefix(MARK))
    return None if turned is None else f"{MARK}{turned}"


SEALED: Final = (
    Column("notification_delivery", "id", "body", _token, "channel = 'email'"),
    Column(
        "notification_delivery",
        "id",
        "body",
        _marked,
        f"channel = 'telegram' and starts_with(body, '{MARK}')",
    ),
    Column("core_outboxevent", "id", "body", _letter, "kind = 'letter'"),
)


def documents(*, is_dry: bool) -> Outcome:
    """The files of verification cases."""
    outcome = Outcome(0, 0, [])
    for name in VerificationDocument.objects.order_by("pk").values_list("file_name", flat=True).iterator():
        outcome.seen += 1
        try:
            outcome.old += files.rotate(name, is_dry=is_dry)
        except (OSError, crypto.InvalidToken):
            outcome.lost.append(name)
    return outcome


def columns() -> Iterator[Column]:
    """Every column that holds secrets."""
    for model in apps.get_models(include_auto_created=True):
        meta = model._meta
        for field in meta.local_fields:
            if isinstance(field, crypto.EncryptedTextField) and field.column and meta.pk is not None:
                yield Column(meta.db_table, str(meta.pk.column), field.column, _token)
    yield from SEALED


def rotate(column: Column, *, is_dry: bool) -> Outcome:
    """Write the column's old ciphertext anew, in batches that each commit. Dry: only count."""
    outcome = Outcome(0, 0, [])
    names = {
        "table": sql.Identifier(column.table),
        "key": sql.Identifier(column.key),
        "name": sql.Identifier(column.name),
        "where": sql.SQL(column.where),
    }
    read = sql.SQL(
        "select {key}, {name} from {table} where {where} and {name} <> '' and (%s::text is null or {key} > %s)"
        " order by {key} limit %s"
    ).format(**names)
    write = sql.SQL("update {table} set {name} = %s where {key} = %s and {name} = %s").format(**names)
    last: Any = None
    with connection.cursor() as cursor:
        while True:
            cursor.execute(read, [last if last is None else str(last), last, BATCH])
            rows = cursor.fetchall()
            if not rows:
                return outcome
            for key, text in rows:
                outcome.seen += 1
                try:
                    turned = column.turn(text)
                except crypto.InvalidToken:
                    outcome.lost.append(str(key))
                    continue
                if turned is not None:
                    outcome.old += 1
                    if not is_dry:
                        cursor.execute(write, [turned, key, text])
            last = rows[-1][0]
