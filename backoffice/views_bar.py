"""What stands above every list: views under a name, and the columns; and what is done with them."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode

from django import forms
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils.translation import gettext_lazy as _
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from backoffice.lists import admin_of, known, open_list, request_for
from kauri.common.admin import HouseAdmin, actor_of, attempt, list_url
from kauri.common.errors import KauriError
from kauri.common.listed import COLUMNS, PASSING, VIEW, ListedChangeList
from kauri.common.search import searched
from kauri.core.models.views import LONGEST_NAME, mark_of
from kauri.core.selectors import ListState, View, list_state
from kauri.core.views import (
    SHARE,
    columns_choose,
    default_choose,
    view_delete,
    view_rename,
    view_replace,
    view_save,
    view_share,
)


class NameForm(forms.Form):
    """What a view is called."""

    name = forms.CharField(
        label=_("Name of the view"),
        max_length=LONGEST_NAME,
        widget=UnfoldAdminTextInputWidget(attrs={"autocomplete": "off"}),
    )


class OverForm(forms.Form):
    """Which of one's own views is saved over; the choice says also with which query it was seen."""

    view = forms.ChoiceField(label=_("Your view"), widget=UnfoldAdminSelectWidget)

    def __init__(self, own: list[View], *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["view"].choices = [  # type: ignore[attr-defined]
            (f"{view.id}:{mark_of(view.query)}", view.name) for view in own
        ]


class RoleForm(forms.Form):
    """Whom a view is shown to besides its owner."""

    role = forms.TypedChoiceField(
        label=_("Shared with the role"),
        required=False,
        coerce=int,
        empty_value=None,
        widget=UnfoldAdminSelectWidget,
    )

    def __init__(self, state: ListState, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["role"].choices = [("", _("nobody else")), *state.roles]  # type: ignore[attr-defined]


@dataclass(frozen=True, slots=True)
class Tab:
    """One view in the bar."""

    view: View
    url: str
    is_open: bool
    is_default: bool


@dataclass(frozen=True, slots=True)
class Bar:
    """The bar of one list, for its template."""

    list_name: str
    query: str
    tabs: list[Tab]
    all_url: str
    is_all: bool
    columns: list[tuple[str, str, bool]]
    save_form: NameForm
    over_form: OverForm | None
    name_form: NameForm | None
    role_form: RoleForm | None
    may_delete: bool

    @property
    def opened(self) -> Tab | None:
        return next((tab for tab in self.tabs if tab.is_open), None)


def state_of(request: HttpRequest, screen: HouseAdmin) -> ListState:
    """How the operator looks at this list: one query, once a request."""
    kept: dict[str, ListState] = request.__dict__.setdefault("_list_states", {})
    name = screen.list_name(request)
    if name not in kept:
        kept[name] = list_state(request.user.pk, name, with_roles=request.user.has_perm(SHARE))
    return kept[name]


def bar_of(request: HttpRequest, found: ListedChangeList) -> Bar:
    """What the list's bar shows."""
    screen = found.model_admin
    state, query = state_of(request, screen), found.as_query()
    shown = _canonical(query)
    tabs = [
        Tab(
            view=view,
            url=f"?{view.query}",
            is_open=_canonical(view.query) == shown,
            is_default=state.default is not None and view.id == state.default.id,
        )
        for view in state.views
    ]
    opened = next((tab.view for tab in tabs if tab.is_open), None)
    is_own = opened is not None and opened.is_own
    fixed = screen.list_fixed(request)
    passing = {
        name: value for name, value in request.GET.items() if name not in {*PASSING, COLUMNS} and value
    }
    own = [view for view in state.views if view.is_own]
    names = {name: str(number) for number, name in state.roles}
    return Bar(
        list_name=screen.list_name(request),
        query=query,
        tabs=tabs,
        all_url="?" + urlencode({**fixed, VIEW: "all"}),
        is_all=opened is None and passing == fixed,
        columns=found.all_columns(),
        save_form=NameForm(prefix="save"),
        over_form=OverForm(own, prefix="over") if own else None,
        name_form=NameForm(prefix="view", initial={"name": opened.name}) if opened and is_own else None,
        role_form=RoleForm(state, prefix="view", initial={"role": names.get(opened.role, "")})
        if opened and is_own and state.roles
        else None,
        may_delete=opened is not None and (is_own or request.user.has_perm(SHARE)),
    )


def act(request: HttpRequest, app: str, model: str, what: str) -> HttpResponse:
    """Keep, change or forget a view, or choose columns; then the list again, as it is seen now."""
    screen = admin_of(f"{app}.{model}")
    if screen is None or what not in _ACTS:
        raise Http404
    if not screen.has_view_permission(request):
        raise PermissionDenied
    if request.method != "POST":
        return HttpResponse(status=HTTPStatus.METHOD_NOT_ALLOWED, headers={"Allow": "POST"})
    query = request.POST.get("query", "")
    looked = request_for(request.user, query)
    asked = Asked(request, screen, screen.list_name(looked), query)
    where = [f"?{query}" if query else ""]

    def run() -> None:
        where[0] = _ACTS[what](asked)

    attempt(request, run, _DONE[what])
    return HttpResponseRedirect(list_url(screen.model) + where[0])


@dataclass(frozen=True, slots=True)
class Asked:
    """One act on a list: whose, which list, and the query that was looked at."""

    request: HttpRequest
    screen: HouseAdmin
    list_name: str
    query: str

    def text(self, name: str) -> str:
        return self.request.POST.get(name, "")

    @property
    def view_id(self) -> uuid.UUID:
        found = searched(self.text("view"), "uuid")
        if not isinstance(found, uuid.UUID):
            raise KauriError("not_found")
        return found

    @property
    def here(self) -> str:
        return f"?{self.query}" if self.query else ""


def _save(asked: Asked) -> str:
    query = known(asked.screen, asked.request.user, asked.query)
    view = view_save(
        list_name=asked.list_name,
        name=asked.text("save-name"),
        query=query,
        actor=actor_of(asked.request),
    )
    return f"?{view.query}"


def _replace(asked: Asked) -> str:
    which, _colon, seen = asked.text("over-view").partition(":")
    view_id = searched(which, "uuid")
    if not isinstance(view_id, uuid.UUID):
        raise KauriError("not_found")
    query = known(asked.screen, asked.request.user, asked.query)
    view = view_replace(
        list_name=asked.list_name, view_id=view_id, query=query, seen=seen, actor=actor_of(asked.request)
    )
    return f"?{view.query}"


def _rename(asked: Asked) -> str:
    view_rename(view_id=asked.view_id, name=asked.text("view-name"), actor=actor_of(asked.request))
    return asked.here


def _share(asked: Asked) -> str:
    role = searched(asked.text("view-role") or "0", "int")
    role_id = role if isinstance(role, int) and role else None
    view_share(view_id=asked.view_id, role_id=role_id, actor=actor_of(asked.request))
    return asked.here


def _delete(asked: Asked) -> str:
    view_delete(view_id=asked.view_id, actor=actor_of(asked.request))
    return asked.here


def _default(asked: Asked) -> str:
    chosen = asked.view_id if asked.text("view") else None
    default_choose(list_name=asked.list_name, view_id=chosen, actor=actor_of(asked.request))
    return asked.here


def _columns(asked: Asked) -> str:
    """The sort goes by places of columns, so it goes with them; what is named in the address gives way."""
    gone = {*PASSING, COLUMNS, "o"}
    kept = [(name, value) for name, value in parse_qsl(asked.query) if name not in gone]
    columns = asked.request.POST.getlist("columns")
    if asked.text("as_shipped"):
        columns = []
    elif not columns:
        raise KauriError("validation_error", fields={"columns": "at least one"})
    offered = open_list(asked.screen, request_for(asked.request.user, urlencode(kept))).offered
    if foreign := [name for name in columns if name not in offered]:
        raise KauriError("validation_error", fields=dict.fromkeys(foreign, "no column of this list"))
    columns_choose(list_name=asked.list_name, columns=columns, actor=actor_of(asked.request))
    # Said so that the list does not open with a view of other columns.
    return "?" + urlencode([*kept, (VIEW, "all")])


_ACTS: Final[dict[str, Callable[[Asked], str]]] = {
    "save": _save,
    "replace": _replace,
    "rename": _rename,
    "share": _share,
    "delete": _delete,
    "default": _default,
    "columns": _columns,
}
_DONE: Final = {
    "save": _("The view is saved."),
    "replace": _("The view is saved over: it is what you see now."),
    "rename": _("The view has its new name."),
    "share": _("It is settled who sees the view."),
    "delete": _("The view is deleted."),
    "default": _("It is settled what this list opens with."),
    "columns": _("The columns are chosen."),
}


def _canonical(query: str) -> list[tuple[str, str]]:
    return sorted(parse_qsl(query))
