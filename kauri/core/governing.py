"""What nobody changes alone: which rows and fields, and how a proposal reads, keeps and writes their values.

The shell hands the list in at its start (:func:`govern`); this floor knows the mechanism and none of the rows
above it. A value is kept as JSON: decimals as plain digits, moments as ISO 8601, a row by its key, several rows
by their sorted keys. Of a secret the proposal shows which names it has, and keeps the rest sealed.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any, Final

from django.core.exceptions import NON_FIELD_ERRORS, ObjectDoesNotExist, ValidationError
from django.db import models
from django.utils.crypto import salted_hmac

from kauri.common.actor import Actor, request_id
from kauri.common.errors import KauriError
from kauri.common.locks import lock
from kauri.common.models import ActorStamp
from kauri.common.money import plain

Allowed = Callable[[Actor, str], Any]
Values = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Beside:
    """Several rows of another model that a row has, kept beside it and not in a field of its own."""

    verbose_name: Any
    related_model: type[models.Model]
    read: Callable[[Any], Iterable[int]]
    write: Callable[[Any, Collection[int]], None]


@dataclass(frozen=True, slots=True)
class Governed:
    """One kind of settings row: its model, the fields that a proposal may change, who may propose, and
    what the second person is shown of its effect.

    ``codes``: which acts (``propose``, ``approve``) ask for the operator's one-time code again. ``secrets``: fields
    with a JSON object of names and secret texts. ``fixed``: fields that are chosen once, for a new row. ``may(actor, target_id)`` raises ``forbidden`` for whoever the
    change would favour; it holds for both people. ``title``: what the setting is called where the model's name says
    something else, and ``url(target_id, label)`` where its page is not found by its key. ``key``: the fields by which
    a line of a file finds its row; without one the kind is not imported (:mod:`kauri.core.imports`). ``beside``: those
    of ``fields`` that are no fields of the model.
    """

    model: type[models.Model]
    fields: tuple[str, ...]
    propose: str
    preview: Callable[[Any], Any] | None = None
    codes: frozenset[str] = frozenset()
    secrets: frozenset[str] = frozenset()
    fixed: frozenset[str] = frozenset()
    may: Callable[[Actor, str], None] | None = None
    title: Any = ""
    url: Callable[[str, str], str] | None = None
    key: tuple[str, ...] = ()
    beside: Mapping[str, Beside] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.model._meta.label_lower

    @property
    def many(self) -> frozenset[str]:
        """The fields that hold several rows of another model."""
        own = (one.name for one in self.model._meta.many_to_many if one.name in self.fields)
        return frozenset((*own, *self.beside))

    def field(self, name: str) -> Any:
        """What is called so: it has a ``verbose_name``, and where it leads to rows a ``related_model``."""
        return self.beside.get(name) or self.model._meta.get_field(name)


@dataclass(frozen=True, slots=True)
class _House:
    """What the shell handed in: the governed rows, and how a permission is demanded of an actor."""

    rows: dict[str, Governed]
    require: list[Allowed]


_HOUSE: Final = _House({}, [])


def govern(rows: Iterable[Governed], require: Allowed) -> None:
    """Say once, at the start, what is governed. ``require(actor, permission)`` raises ``forbidden``."""
    _HOUSE.rows.clear()
    _HOUSE.rows.update({row.name: row for row in rows})
    _HOUSE.require[:] = [require]


def governed(target: str) -> Governed:
    """The governed row type of that name; ``not_found`` for any other."""
    if target not in _HOUSE.rows:
        raise KauriError("not_found", f"{target} is not governed")
    return _HOUSE.rows[target]


def require(actor: Actor, permission: str) -> None:
    """Raise ``forbidden`` unless the operator has the permission: the shell knows how to tell."""
    for demand in _HOUSE.require:
        demand(actor, permission)
    if not _HOUSE.require or not actor.is_operator:
        raise KauriError("forbidden", f"{actor.label} lacks {permission}")


def row_of(row_type: Governed, target_id: str, maker: Actor, *, for_change: bool = False) -> models.Model:
    """The row, locked when it is to be changed; a new one for '', by its maker. Raises ``not_found``."""
    if not target_id:
        made = row_type.model()
        if isinstance(made, ActorStamp):
            made.stamp(maker, request_id.get())
        return made
    rows = row_type.model._default_manager.filter(pk=target_id)
    row = (lock(rows) if for_change else rows).first()
    if row is None:
        raise KauriError("not_found", f"no {row_type.name} {target_id}")
    return row


def field_value(row: models.Model, name: str) -> Any:
    """A field's plain value; of a foreign key, the key; of several rows, their sorted keys."""
    field: Any = row._meta.get_field(name)
    if field.many_to_many:
        return sorted(getattr(row, name).values_list("pk", flat=True)) if row.pk is not None else []
    return getattr(row, field.attname)


def value_of(row_type: Governed, row: models.Model, name: str) -> Any:
    """As :func:`field_value`, also of what is kept beside the row."""
    found = row_type.beside.get(name)
    if found is None:
        return field_value(row, name)
    return sorted(found.read(row)) if row.pk is not None else []


def as_json(value: Any) -> Any:
    """A value as a proposal keeps it."""
    if isinstance(value, models.Model):
        return value.pk
    if isinstance(value, Decimal):
        return plain(value)
    if isinstance(value, (date, datetime, time)):
        return value.isoformat()
    if isinstance(value, (set, frozenset, models.QuerySet)):
        return sorted(as_json(one) for one in value)
    return value


def assign(row_type: Governed, row: models.Model, values: Mapping[str, Any]) -> None:
    """Set the fields of the row itself, unsaved. Raises ``validation_error``, also for rows that aren't there."""
    for name, value in values.items():
        field = row_type.field(name)
        if name in row_type.many:
            found = field.related_model._default_manager.filter(pk__in=value).count()
            if found != len(set(value)):
                raise KauriError("validation_error", fields={name: "not there"})
            continue
        if name in row_type.secrets and not _is_secret(value):
            raise KauriError("validation_error", fields={name: "a JSON object of names and texts"})
        try:
            setattr(row, field.attname, field.to_python(value) if value is not None else None)
        except ValidationError as exc:
            raise KauriError("validation_error", fields={name: " ".join(exc.messages)}) from None


def check(row_type: Governed, row: models.Model, names: Iterable[str]) -> None:
    """Raise ``validation_error`` for values that the row could not have."""
    if row.pk is not None and row_type.many.issuperset(names):
        return
    try:
        row.full_clean()
    except ValidationError as exc:
        faults = {
            "row" if name == NON_FIELD_ERRORS else name: " ".join(messages)
            for name, messages in exc.message_dict.items()
        }
        raise KauriError("validation_error", "; ".join(faults.values()), fields=faults) from None
    except ObjectDoesNotExist as exc:
        raise KauriError("validation_error", str(exc)) from None


def store(row_type: Governed, row: models.Model, values: Mapping[str, Any], reason: str) -> None:
    """Save the row with what was assigned, and the rows it holds."""
    if row.pk is None or not row_type.many.issuperset(values):
        row._change_reason = reason  # type: ignore[attr-defined]
        row.save()
    for name in row_type.many & set(values):
        beside = row_type.beside.get(name)
        if beside is None:
            getattr(row, name).set(values[name])
        else:
            beside.write(row, values[name])


# Secrets ------------------------------------------------------------------------------


def sealed(row_type: Governed, before: Values, after: Values) -> tuple[Values, Values, str]:
    """Both sides as anybody may read them, and the secrets of both as JSON ('' where there are none).

    Of a secret are shown its names, which of them are new or have a new value, and a keyed digest, by which
    the house knows it again.
    """
    names = row_type.secrets & set(after)
    if not names:
        return before, after, ""
    kept = {
        "before": {name: before.get(name, "") for name in names},
        "after": {name: after[name] for name in names},
    }
    shown_before, shown_after = dict(before), dict(after)
    for name in names:
        old, new = parsed(kept["before"][name]), parsed(kept["after"][name])
        shown_after[name] = digest(kept["after"][name]) | {
            "new": sorted(key for key in new if old.get(key) != new[key])
        }
        if name in before:
            shown_before[name] = digest(kept["before"][name])
    return shown_before, shown_after, json.dumps(kept)


def opened(row_type: Governed, shown: Values, secrets: str, side: str) -> Values:
    """The values of one side (``before``, ``after``) again, secrets too. Raises ``conflict`` where these are gone,
    or are not those that were proposed."""
    names = row_type.secrets & set(shown)
    kept = json.loads(secrets)[side] if secrets and names else {}
    for name in names:
        if name not in kept or digest(kept[name])["digest"] != shown[name]["digest"]:
            raise KauriError("conflict", f"{name} is not what was proposed")
    return {**shown, **{name: kept[name] for name in names}}


def stands(row_type: Governed, row: models.Model, name: str, shown: Any) -> bool:
    """Whether a field still has the value that a proposal shows as the one before."""
    value = as_json(value_of(row_type, row, name))
    return bool((digest(value)["digest"] == shown["digest"]) if name in row_type.secrets else value == shown)


def digest(secret: str) -> Values:
    """What of a secret may be shown: its names, and the keyed digest."""
    return {
        "names": sorted(parsed(secret)),
        "digest": salted_hmac("kauri.core.governing", secret, algorithm="sha256").hexdigest(),
    }


def _is_secret(text: Any) -> bool:
    try:
        found = parsed(text)
    except (TypeError, ValueError):
        return False
    return isinstance(found, dict) and all(isinstance(value, str) for value in found.values())


def parsed(secret: str) -> dict[str, str]:
    found: dict[str, str] = json.loads(secret) if secret else {}
    return found


def in_words(row_type: Governed, values: Values) -> Values:
    """The values as the audit keeps them: several rows by what they are called, of secrets their names.

    One row stays a key: who edited for whom is found by it.
    """
    return {name: _in_words(row_type, name, value) for name, value in values.items()}


def _in_words(row_type: Governed, name: str, value: Any) -> Any:
    if name in row_type.secrets:
        return value["names"]
    if name in row_type.many:
        return row_names(row_type.field(name).related_model, value)
    return value


def row_names(model: type[models.Model], keys: Iterable[Any]) -> list[str]:
    """What the rows are called, sorted; a permission by its code."""
    rows = model._default_manager.filter(pk__in=list(keys))
    if model._meta.label_lower == "auth.permission":
        pairs = rows.values_list("content_type__app_label", "codename")
        return sorted(f"{app}.{codename}" for app, codename in pairs)
    return sorted(str(row) for row in rows)
