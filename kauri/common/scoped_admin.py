"""Lists, pages, choices and filters that hold only what a limited operator sees."""

from __future__ import annotations

import html
from collections.abc import Callable
from functools import partial
from typing import Any

from django.contrib import admin
from django.contrib.admin import FieldListFilter
from django.db.models import Model, QuerySet
from django.http import HttpRequest
from django.utils.functional import cached_property
from django.utils.html import strip_tags
from unfold.admin import ModelAdmin
from unfold.contrib.filters.admin import FieldTextFilter
from unfold.contrib.filters.admin import RelatedDropdownFilter as AllDropdownFilter

from kauri.common.actor import reading
from kauri.common.scopes import SCOPED, condition, narrow


def may_open(model: type[Model]) -> bool:
    """Whether whoever reads the page that is being drawn has the pages of ``model``: no shut door is shown."""
    request = reading.get()
    if request is None:
        return True
    known: dict[type[Model], bool] = request.__dict__.setdefault("_kauri_opens", {})
    if model not in known:
        screen = admin.site._registry.get(model)
        known[model] = screen is None or screen.has_view_permission(request)
    return known[model]


def for_viewer(request: HttpRequest, row: Any) -> Any:
    """The row, marked with what its reader sees: its side tables go by that."""
    if row is not None:
        row.viewer_scope = request.user.scope
    return row


def _opened(model: type[Model], contents: str) -> str:
    return contents if may_open(model) else html.unescape(strip_tags(contents))


class ScopedAdmin(ModelAdmin):
    """What is outside of the operator's scope is not in the list, not found, and no choice."""

    @cached_property
    def readonly_preprocess_fields(self) -> dict[str, Callable[[str], str]]:
        """Of a row that its reader may not open a page says the name: the framework makes it a link for everybody."""
        relations = [field for field in self.model._meta.concrete_fields if field.is_relation]
        return {field.name: partial(_opened, field.related_model) for field in relations}

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return narrow(super().get_queryset(request), request.user.scope)

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Any:
        """While a page is only read its row is found once, whoever asks: the page itself and each of its buttons."""
        if request.method != "GET":
            return self.row_found(request, object_id, from_field)
        known = request.__dict__.setdefault("_kauri_rows", {})
        name = (self.model, str(object_id), from_field)
        if name not in known:
            known[name] = self.row_found(request, object_id, from_field)
        return known[name]

    def row_found(self, request: HttpRequest, object_id: str, from_field: str | None) -> Any:
        """The row of a page, None where this operator sees none of that id."""
        return for_viewer(request, super().get_object(request, object_id, from_field))

    def page_rows(self, request: HttpRequest) -> QuerySet[Any]:
        """The rows that have a page, each with what its page reads."""
        return self.get_queryset(request)

    def get_field_queryset(self, db: str | None, db_field: Any, request: HttpRequest) -> Any:
        rows = super().get_field_queryset(db, db_field, request)
        model = db_field.remote_field.model
        if not request.user.scope.is_limited or model._meta.label_lower not in SCOPED:
            return rows
        return narrow(model._default_manager.all() if rows is None else rows, request.user.scope)


class RelatedDropdownFilter(AllDropdownFilter):
    """A filter that offers only what its reader sees."""

    def field_choices(self, field: Any, request: HttpRequest, model_admin: Any) -> Any:
        ordering = self.field_admin_ordering(field, request, model_admin)
        limits = condition(field.remote_field.model, request.user.scope)
        return field.get_choices(include_blank=False, ordering=ordering, limit_choices_to=limits)


class ExactTextFilter(FieldTextFilter):
    """A word as it is stored: a search for a part of it would read the whole table."""

    def __init__(
        self, field: Any, request: HttpRequest, params: Any, model: Any, model_admin: Any, field_path: str
    ) -> None:
        self.lookup_kwarg = f"{field_path}__exact"
        self.lookup_val = params.get(self.lookup_kwarg)
        # Past the parent's, which would look for a part.
        FieldListFilter.__init__(self, field, request, params, model, model_admin, field_path)
