"""Lists whose columns are chosen, and that open with a view of the operator's own.

Which columns and views there are is asked of the site, once a request: the rows behind them lie a
floor above. Both are only a query string; what a list holds is said by its ``get_queryset`` alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode

from django.contrib.admin.utils import label_for_field
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils.text import capfirst
from unfold.views import ChangeList

from kauri.common.paging import AFTER, BEFORE
from kauri.common.scoped_admin import ScopedAdmin

#: The columns that are asked for, with commas, in their order.
COLUMNS: Final = "_cols"
#: Said of a list that shall not open with its default: ``all``.
VIEW: Final = "_view"
#: What a query says of the page and not of the list.
PASSING: Final = frozenset({VIEW, AFTER, BEFORE, "p", "all", "e", "_popup", "_to_field", "_facets"})
_CHECKBOX: Final = "action_checkbox"


class ListedChangeList(ChangeList):
    """A list of the columns that its operator chose, never of any other than the list has."""

    def __init__(
        self,
        request: HttpRequest,
        model: Any,
        list_display: Sequence[str],
        list_display_links: Sequence[str] | None,
        *rest: Any,
    ) -> None:
        model_admin = rest[7]
        self.request = request
        self.offered = [name for name in list_display if name != _CHECKBOX]
        self.shown = chosen(self.offered, _wished(request, model_admin))
        if list_display_links and not set(list_display_links) & set(self.shown):
            # A row without a link would lead nowhere.
            list_display_links = self.shown[:1]
        boxes = [name for name in list_display if name == _CHECKBOX]
        super().__init__(request, model, [*boxes, *self.shown], list_display_links, *rest)

    def get_filters_params(self, params: Any = None) -> dict[str, Any]:
        found = super().get_filters_params(params)
        return {name: values for name, values in found.items() if name not in (COLUMNS, VIEW)}

    @property
    def bar(self) -> Any:
        """What stands above the list: views, and what can be done with them."""
        return self.model_admin.admin_site.list_bar(self.request, self)

    def as_query(self) -> str:
        """What is seen, as a query string: filters, search, sort, and the columns in any case."""
        kept = [
            (name, value)
            for name, values in self.request.GET.lists()
            for value in values
            if name not in PASSING and name != COLUMNS and value
        ]
        return urlencode([*kept, (COLUMNS, ",".join(self.shown))])

    def all_columns(self) -> list[tuple[str, str, bool]]:
        """Every column that there is, those that are shown first: name, title, whether it is shown."""
        others = [name for name in self.offered if name not in self.shown]
        return [
            (name, capfirst(str(label_for_field(name, self.model, self.model_admin))), name in self.shown)
            for name in (*self.shown, *others)
        ]


class ListedAdmin(ScopedAdmin):
    """A list with views above it."""

    list_before_template = "admin/kauri/views.html"

    def list_fixed(self, request: HttpRequest) -> dict[str, str]:
        """Parameters that make another list of it, with columns and views of its own."""
        del request
        return {}

    def list_name(self, request: HttpRequest) -> str:
        """The name by which views and columns of this list are kept."""
        fixed = self.list_fixed(request)
        label = self.model._meta.label_lower
        return f"{label}?{urlencode(fixed)}" if fixed else label

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Opened without a filter of its own, the list opens with the operator's default."""
        if request.method == "GET" and request.GET.dict() == self.list_fixed(request):
            default = self.admin_site.list_state(request, self).default
            # What a filter of an older version asked for may not be asked for any more.
            if default is not None and all(
                self.lookup_allowed(name, value, request) for name, value in parse_qsl(default.query)
            ):
                return HttpResponseRedirect(f"?{default.query}")
        return super().changelist_view(request, extra_context)


def chosen(offered: Sequence[str], wished: Sequence[str]) -> list[str]:
    """Of the columns that there are those that are wished for, in that order; all when none is left."""
    return [name for name in dict.fromkeys(wished) if name in offered] or list(offered)


def _wished(request: HttpRequest, model_admin: Any) -> Sequence[str]:
    if COLUMNS in request.GET:
        return request.GET[COLUMNS].split(",")
    return model_admin.admin_site.list_state(request, model_admin).columns
