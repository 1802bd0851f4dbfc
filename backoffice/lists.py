"""A list as an operator sees it, for whoever has no request of theirs: a worker, or the keeping of a view."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from django.contrib import admin
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.utils import label_for_field, lookup_field
from django.core.exceptions import FieldDoesNotExist, ObjectDoesNotExist, SuspiciousOperation, ValidationError
from django.db import transaction
from django.http import HttpRequest, QueryDict
from django.utils.text import capfirst

from backoffice.cells import text_of
from kauri.account.models import User
from kauri.common import clock
from kauri.common.admin import HouseAdmin
from kauri.common.errors import KauriError
from kauri.common.formulas import harmless
from kauri.common.listed import COLUMNS, PASSING, ListedChangeList
from kauri.payment_card.numbers import has_number

Row = tuple[str, ...]
_CHUNK: Final = 2_000
_OWN: Final = frozenset({"q", "o"})


def admin_of(list_name: str) -> HouseAdmin | None:
    """The screen of a list, by its name (``app.model``, perhaps with ``?`` and what makes another list of it)."""
    label = list_name.partition("?")[0]
    found = (row for model, row in admin.site._registry.items() if model._meta.label_lower == label)
    screen = next(found, None)
    return screen if isinstance(screen, HouseAdmin) else None


def request_for(user: Any, query: str) -> HttpRequest:
    """A request that carries an operator and a query and nothing else: no session, no cookie, no address.

    What a list holds, who may see it and how its cells are written is said by the screens, and they are
    written for requests: a second way past them, for workers, would be one to forget a limit in.
    """
    request = HttpRequest()
    request.method = "GET"
    request.GET = QueryDict(query)
    request.user = user
    request.client_ip = ""  # type: ignore[attr-defined]
    return request


def open_list(screen: HouseAdmin, request: HttpRequest) -> ListedChangeList:
    """The list of a request. ``validation_error`` for a query that it does not know, or that tells a card's number."""
    if screen.model._meta.app_label == "payment_card" and has_number(request.GET.get("q", "")):
        raise KauriError("validation_error", fields={"q": "a whole number"})
    try:
        found = screen.get_changelist_instance(request)
    except (IncorrectLookupParameters, SuspiciousOperation, ValidationError, ValueError) as exc:
        raise KauriError("validation_error", fields={"query": "this list does not know it"}) from exc
    assert isinstance(found, ListedChangeList)
    return found


def known(screen: HouseAdmin, user: Any, query: str) -> str:
    """Of a query what the list knows: its search, its sort, its filters, its columns. ``validation_error``."""
    given = QueryDict(query)
    bare = screen.get_changelist_instance(request_for(user, ""))
    filters = {name for spec in bare.filter_specs for name in spec.expected_parameters()}
    kept = QueryDict(mutable=True)
    for name, values in given.lists():
        if name in _OWN | {COLUMNS} | filters or _is_lookup(screen, name):
            kept.setlist(name, values)
    return open_list(screen, request_for(user, kept.urlencode())).as_query()


def _is_lookup(screen: HouseAdmin, name: str) -> bool:
    """Whether a parameter is a condition on the list's own rows: which are allowed is asked when it is opened."""
    if name in PASSING:
        return False
    try:
        screen.model._meta.get_field(name.partition("__")[0])
    except FieldDoesNotExist:
        return False
    return True


@dataclass(frozen=True, slots=True)
class Reading:
    """The rows and cells of an open list, as text that no spreadsheet runs."""

    screen: HouseAdmin
    found: ListedChangeList

    def titles(self) -> Row:
        model = self.screen.model
        return tuple(
            harmless(capfirst(str(label_for_field(name, model, self.screen)))) for name in self.found.shown
        )

    def keys(self, limit: int) -> Iterator[str]:
        """From a cursor of the database server: neither side holds all of them."""
        rows = self.found.queryset.select_related(None).prefetch_related(None).values_list("pk", flat=True)
        with transaction.atomic():
            yield from map(str, rows[:limit].iterator(chunk_size=_CHUNK))

    def rows(self, keys: Sequence[str]) -> Iterator[Row]:
        """Asked of the list itself, so that what has left it since is not told."""
        found = {str(row.pk): row for row in self.found.queryset.filter(pk__in=keys).order_by()}
        return (self._cells(found[key]) for key in keys if key in found)

    def _cells(self, row: Any) -> Row:
        return tuple(harmless(self._value(row, name)) for name in self.found.shown)

    def _value(self, row: Any, name: str) -> str:
        try:
            field, _attribute, value = lookup_field(name, row, self.screen)
        except ObjectDoesNotExist:
            return ""
        if field is not None and getattr(field, "choices", None):
            return str(getattr(row, f"get_{field.name}_display")())
        if field is not None and field.is_relation:
            return text_of(getattr(row, field.name))
        return clock.iso(value) if hasattr(value, "tzinfo") else text_of(value)


class HouseLists:
    """The door through which workers read lists (``kauri.report.exports``)."""

    def may(self, user: User, list_name: str) -> bool:
        screen = admin_of(list_name)
        return screen is not None and bool(screen.has_view_permission(request_for(user, "")))

    def open(self, user: User, list_name: str, query: str) -> Reading:
        screen = admin_of(list_name)
        if screen is None:
            raise KauriError("not_found", f"there is no list {list_name}")
        return Reading(screen, open_list(screen, request_for(user, query)))
