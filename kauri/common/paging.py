"""Lists by the page: a page begins after the last row of the page before, found by an index, not by counting rows.

As fast at the end of ten million rows as at their head, and stable while rows are inserted: whoever goes
on or back sees each row that was there once. Links carry the values that the list is sorted by.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cache, cached_property
from typing import Any, ClassVar, Final

from django.contrib.admin import ShowFacets
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.views.main import ORDER_VAR
from django.core.exceptions import FieldDoesNotExist, ObjectDoesNotExist, ValidationError
from django.db.models import DateField, Model, Q, QuerySet
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from unfold.admin import ModelAdmin, checkbox
from unfold.decorators import display
from unfold.paginator import InfinitePaginator
from unfold.views import ChangeList

AFTER: Final = "after"
BEFORE: Final = "before"
#: No row's key.
_KEY: Final = "the-key-of-the-row"
#: Below this an estimate is no better than a guess, and is not rounded.
_ROUGH: Final = 100
#: So many keys are handed back to the database as they are.
_FEW: Final = 1000


@dataclass(frozen=True, slots=True)
class Key:
    """One of the values that a list is sorted by. ``nullable``: it may be missing; PostgreSQL sorts that highest."""

    path: str
    field: Any
    descends: bool
    nullable: bool

    def of(self, row: Any) -> Any:
        """The row's value; None where a relation on the way leads nowhere."""
        value = row
        for name in self.path.split("__"):
            try:
                value = getattr(value, name)
            except ObjectDoesNotExist:
                return None
            if value is None:
                return None
        return value


Values = Sequence[Any]


def keys_of(queryset: QuerySet[Any]) -> tuple[Key, ...]:
    """What ``queryset`` is sorted by, each relation taken apart as Django does it. The last key must be unique."""
    found: list[Key] = []
    for part in queryset.query.order_by:
        if not isinstance(part, str):
            raise TypeError(f"a list of {queryset.model.__name__} is sorted by an expression: {part!r}")
        found += _expanded(queryset.model, part.lstrip("-"), part.startswith("-"))
    return tuple(found)


def _expanded(model: type[Model], path: str, descends: bool) -> Iterator[Key]:
    options, nullable, names = model._meta, False, path.split("__")
    for number, name in enumerate(names, start=1):
        field: Any = options.pk if name == "pk" else options.get_field(name)
        nullable = nullable or field.null or not field.concrete
        if number < len(names):
            options = field.related_model._meta
    inner = field.related_model._meta.ordering if field.is_relation else ()
    if inner and names[-1] not in ("pk", field.attname):
        for part in inner:
            yield from _expanded(model, f"{path}__{part.lstrip('-')}", descends != part.startswith("-"))
    else:
        yield Key(path, field, descends, nullable)


def beyond(keys: Sequence[Key], values: Values, *, forwards: bool) -> Q | None:
    """The rows that come after the one with these ``values`` (before it, if not ``forwards``); None: no row can."""
    found: Q | None = None
    for key, value in reversed(list(zip(keys, values, strict=True))):
        further = _further(key, value, greater=key.descends != forwards)
        if found is not None:
            same = Q(**{f"{key.path}__isnull": True}) if value is None else Q(**{key.path: value})
            found = same & found if further is None else further | same & found
            if value is not None and not key.nullable:
                # Says nothing new, but tells an index where to begin.
                found &= Q(**{f"{key.path}__{'gte' if key.descends != forwards else 'lte'}": value})
        else:
            found = further
    return found


def _further(key: Key, value: Any, *, greater: bool) -> Q | None:
    if value is None:
        return None if greater else Q(**{f"{key.path}__isnull": False})
    if not greater:
        return Q(**{f"{key.path}__lt": value})
    more = Q(**{f"{key.path}__gt": value})
    return more | Q(**{f"{key.path}__isnull": True}) if key.nullable else more


def token_of(row: Any, keys: Sequence[Key]) -> str:
    """The row's place in the list, for a link."""
    values = [_said(key.of(row)) for key in keys]
    return base64.urlsafe_b64encode(json.dumps(values).encode()).decode().rstrip("=")


def _said(value: Any) -> str | None:
    return None if value is None else value.isoformat() if isinstance(value, date) else str(value)


def values_of(token: str, keys: Sequence[Key]) -> list[Any]:
    """The values that a link carries. ``ValueError``: it is not a link to this list in this order."""
    try:
        said = json.loads(base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True))
        if not isinstance(said, list) or len(said) != len(keys):
            raise ValueError("another list's")
        if not all((isinstance(text, str) and "\0" not in text) or text is None for text in said):
            raise ValueError("not values")
        return [
            None if text is None else key.field.to_python(text) for text, key in zip(said, keys, strict=True)
        ]
    except (ValidationError, UnicodeDecodeError, binascii.Error, json.JSONDecodeError) as exc:
        raise ValueError("not a link of ours") from exc


def estimated(queryset: QuerySet[Any]) -> int:
    """About how many rows there are, as the planner thinks: nothing is counted."""
    said = queryset.select_related(None).order_by().explain(format="json")
    return int(json.loads(said)[0]["Plan"]["Plan Rows"]) if said else 0


def found_by(queryset: QuerySet[Any], conditions: Sequence[Q]) -> QuerySet[Any]:
    """The rows that meet any of ``conditions``, each by its own index: an OR over joins would read the table.

    By their keys where they are few, as they mostly are; by the one condition that they meet where they are many.
    """
    if not conditions:
        return queryset.none()
    every = queryset.model._default_manager.order_by().values_list("pk", flat=True)
    parts = [every.filter(condition) for condition in conditions]
    keys = set(parts[0].union(*parts[1:], all=True)[: _FEW + 1])
    if len(keys) <= _FEW:
        return queryset.filter(pk__in=keys)
    met = [condition for condition, part in zip(conditions, parts, strict=True) if part.exists()]
    return queryset.filter(met[0]) if len(met) == 1 else queryset.filter(pk__in=parts[0].union(*parts[1:]))


def is_indexed(model: type[Model], path: str) -> bool:
    """Whether the rows can be read in the order of ``path`` (a column of their own, never missing) by an index."""
    name = path.lstrip("-")
    try:
        field: Any = model._meta.pk if name == "pk" else model._meta.get_field(name)
    except FieldDoesNotExist:
        return False
    if not field.concrete or field.null or (field.is_relation and name not in ("pk", field.attname)):
        return False
    if field.unique:
        return True
    # Equal values are sorted by hand: only moments are seldom equal.
    first = {
        index.fields[0].lstrip("-") for index in model._meta.indexes if index.fields and not index.condition
    }
    return isinstance(field, DateField) and (field.db_index or field.name in first)


@dataclass(frozen=True, slots=True)
class Page:
    """Rows of one page, and whether there are any before and behind."""

    rows: list[Any]
    has_earlier: bool
    has_later: bool


def page_of(
    queryset: QuerySet[Any],
    size: int,
    mark: tuple[Values, bool] | None = None,
    keys: Sequence[Key] | None = None,
) -> Page:
    """A page of a sorted queryset: its first, or what lies behind (or before, if the flag is False) some values."""
    keys = keys_of(queryset) if keys is None else keys
    forwards = True
    if mark is not None:
        values, forwards = mark
        condition = beyond(keys, values, forwards=forwards)
        queryset = queryset.none() if condition is None else queryset.filter(condition)
    # First which rows, then all that is shown of them: a join for each column must not decide how they are found.
    found = (queryset if forwards else queryset.reverse()).select_related(None).prefetch_related(None)
    pks = list(dict.fromkeys(found.values_list("pk", flat=True)[: size + 1]))
    more, pks = len(pks) > size, pks[:size]
    there = {row.pk: row for row in queryset.filter(pk__in=pks).order_by()} if pks else {}
    rows = [there[pk] for pk in pks if pk in there]
    if forwards:
        return Page(rows, has_earlier=mark is not None, has_later=more)
    return Page(rows[::-1], has_earlier=more, has_later=True)


class KeysetChangeList(ChangeList):
    """A list by the page. Filters, search and sort stay in the links; what can't be sorted fast is not sorted."""

    mark: tuple[str, str] | None = None

    def get_queryset(
        self, request: HttpRequest, exclude_parameters: list[str | None] | None = None
    ) -> QuerySet[Any]:
        for name in (AFTER, BEFORE):
            token = self.params.pop(name, None)
            self.filter_params.pop(name, None)
            if token:
                self.mark = (name, str(token))
        return super().get_queryset(request, exclude_parameters)

    def get_ordering(self, request: HttpRequest, queryset: QuerySet[Any]) -> list[Any]:
        if asked := str(self.params.get(ORDER_VAR, "")):
            kept = ".".join(part for part in asked.split(".") if self._may_sort(part))
            self.params[ORDER_VAR], self.filter_params[ORDER_VAR] = kept, [kept]
            if not kept:
                del self.params[ORDER_VAR], self.filter_params[ORDER_VAR]
        ordering = super().get_ordering(request, queryset)
        if ORDER_VAR in self.params or ordering[0].lstrip("-") not in ("id", "pk", "order_id"):
            return ordering
        # Of a period the newest first: found by the index of the moment, not by walking there from today.
        sign = "-" if ordering[0].startswith("-") else ""
        moments = [spec.moment for spec in self.filter_specs if getattr(spec, "moment", "")]
        return [f"{sign}{path}" for path in moments[:1]] + ordering

    def _may_sort(self, part: str) -> bool:
        try:
            name = self.list_display[int(part.rpartition("-")[2])]
        except (IndexError, ValueError):
            return False
        return self.sortable_by is None or name in self.sortable_by

    def get_results(self, request: HttpRequest) -> None:
        self.keys = keys_of(self.queryset)
        self.beginning: tuple[Values, bool] | None = None
        if self.mark is not None:
            name, token = self.mark
            try:
                self.beginning = (values_of(token, self.keys), name == AFTER)
            except ValueError as exc:
                raise IncorrectLookupParameters from exc
        self.paginator = self.model_admin.get_paginator(request, self.queryset, self.list_per_page)
        self.paginator.template_name = "admin/kauri/pages.html"
        self.show_full_result_count = False
        self.show_admin_actions = True
        self.full_result_count = None
        self.can_show_all = self.multi_page = False

    @cached_property
    def page(self) -> Page:
        return page_of(self.queryset, self.list_per_page, self.beginning, self.keys)

    @property
    def result_list(self) -> list[Any]:
        return self.page.rows

    @property
    def result_count(self) -> int:
        """Of this page: an action takes what was ticked, never rows that nobody has seen."""
        return len(self.page.rows)

    @property
    def links(self) -> list[tuple[str, str]]:
        """What leads on and back, with its words; without an address where nothing is there."""
        page, ends = self.page, bool(self.page.rows)
        return [
            (_("First page"), self.get_query_string() if page.has_earlier else ""),
            (_("Previous"), self._link(BEFORE, page.rows[0]) if page.has_earlier and ends else ""),
            (_("Next"), self._link(AFTER, page.rows[-1]) if page.has_later and ends else ""),
        ]

    def _link(self, name: str, row: Any) -> str:
        return self.get_query_string({name: token_of(row, self.keys)})

    @cached_property
    def size(self) -> str:
        """How many rows there are in all: exactly where one page holds them, about elsewhere."""
        if not self.page.has_earlier and not self.page.has_later:
            return _("Rows: %(count)s") % {"count": len(self.page.rows)}
        count = max(estimated(self.queryset), len(self.page.rows) + 1)
        if count >= _ROUGH:
            count = round(count, 2 - len(str(count)))
        return _("Rows: about %(count)s") % {"count": f"{count:,}".replace(",", "\u00a0")}

    def url_for_result(self, result: Any) -> str:
        return str(self.model_admin.row_url(result))


@cache
def _box() -> str:
    """The box's markup, with a place for the row's key."""
    drawn = str(checkbox.render(ACTION_CHECKBOX_NAME, _KEY)).replace("{", "{{").replace("}", "}}")
    return drawn.replace(_KEY, "{}")


class PagedAdmin(ModelAdmin):
    """A list without counts, pages by number or facets, sorted only as an index sorts it."""

    show_full_result_count = False
    show_facets = ShowFacets.NEVER
    paginator = InfinitePaginator
    list_per_page = 25
    #: Few rows, whatever happens: every column may be sorted by.
    is_small: ClassVar[bool] = False

    def get_sortable_by(self, request: HttpRequest) -> Sequence[str]:
        if self.is_small:
            return super().get_sortable_by(request)
        return [name for name in self.get_list_display(request) if is_indexed(self.model, self._sorts(name))]

    @display(description=ModelAdmin.action_checkbox.short_description)
    def action_checkbox(self, obj: Model) -> SafeString:
        """Unfold's own box, which a page of rows draws once: a template for each costs a tenth of the page's time."""
        return format_html(_box(), obj.pk)

    def _sorts(self, name: str) -> str:
        """The path that a column sorts by; empty where it does not."""
        if any(field.name == name for field in self.model._meta.fields):
            return name
        return str(getattr(getattr(self, name, None), "admin_order_field", None) or "")
