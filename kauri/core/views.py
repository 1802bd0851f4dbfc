"""Views of lists under a name, columns and defaults: an operator's own, and shared ones.

A view is a query string: which parameters a list knows is said by the shell, before it is kept here.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Sequence
from typing import Any, Final

from django.contrib.auth.models import Group
from django.db import transaction
from django.db.models import QuerySet

from kauri.common.actor import Actor
from kauri.common.errors import KauriError
from kauri.common.locks import advisory, lock
from kauri.core import governing
from kauri.core.audit import audit
from kauri.core.models import ListChoice, SavedView
from kauri.core.models.views import LONGEST_NAME, LONGEST_QUERY, QUERY, mark_of
from kauri.core.selectors import view_seen

SHARE: Final = "core.share_view"
#: A bar with more than this is no bar.
MAX_VIEWS: Final = 30
_NAMED: Final = re.compile(r"[A-Za-z0-9_]+")
_PLAIN: Final = re.compile(QUERY)


@transaction.atomic
def view_save(*, list_name: str, name: str, query: str, actor: Actor) -> SavedView:
    """Keep what the operator sees under a name.

    Raises ``forbidden`` (no operator), ``validation_error`` (no good name, a query that is none or too
    long), ``conflict`` (they have a view of that name there), ``limit_exceeded`` (too many views).
    """
    owner_id = _owner(actor)
    name = _name(name)
    _demand_plain(query)
    advisory("list_views", owner_id)
    own = SavedView.objects.filter(owner_id=owner_id, list_name=list_name)
    _free(own, name)
    if own.count() >= MAX_VIEWS:
        raise KauriError("limit_exceeded", f"at most {MAX_VIEWS} views of a list")
    view = SavedView.objects.create(
        owner_id=owner_id, owner=actor.label, list_name=list_name, name=name, query=query
    )
    _record(actor, "view_save", view, after={"list": list_name, "name": name, "query": query})
    return view


@transaction.atomic
def view_replace(*, list_name: str, view_id: uuid.UUID, query: str, seen: str, actor: Actor) -> SavedView:
    """Keep another query under the name of one's own view; whoever it is shared with sees it too.

    ``seen``: the :func:`~kauri.core.models.views.mark_of` the query that the owner saw it with, so that of two
    windows the later one does not undo the other unseen. Raises ``not_found``, ``validation_error``,
    ``changed_meanwhile``.
    """
    view = _own(view_id, actor)
    if view.list_name != list_name:
        raise KauriError("not_found")
    _demand_plain(query)
    if mark_of(view.query) != seen:
        raise KauriError("changed_meanwhile")
    if query == view.query:
        return view
    before, view.query = view.query, query
    view.save(update_fields=["query"])
    _record(actor, "view_replace", view, before={"query": before}, after={"query": query})
    return view


@transaction.atomic
def view_rename(*, view_id: uuid.UUID, name: str, actor: Actor) -> SavedView:
    """Another name for one's own view. Raises ``not_found``, ``validation_error``, ``conflict``."""
    view = _own(view_id, actor)
    name = _name(name)
    if name == view.name:
        return view
    advisory("list_views", view.owner_id)
    _free(SavedView.objects.filter(owner_id=view.owner_id, list_name=view.list_name), name)
    before, view.name = view.name, name
    view.save(update_fields=["name"])
    _record(actor, "view_rename", view, before={"name": before}, after={"name": name})
    return view


@transaction.atomic
def view_share(*, view_id: uuid.UUID, role_id: int | None, actor: Actor) -> SavedView:
    """Show one's own view to a role's people, or to nobody else again (None): that needs no right.

    Raises ``not_found``, ``forbidden``, ``validation_error`` (no such role).
    """
    view = _own(view_id, actor)
    if role_id is not None:
        governing.require(actor, SHARE)
    role = Group.objects.filter(pk=role_id).first() if role_id is not None else None
    if role is None and role_id is not None:
        raise KauriError("validation_error", fields={"role": "no such role"})
    before, view.role = view.role, role
    view.save(update_fields=["role"])
    _record(actor, "view_share", view, before={"role": _role(before)}, after={"role": _role(role)})
    return view


@transaction.atomic
def view_delete(*, view_id: uuid.UUID, actor: Actor) -> None:
    """Forget one's own view; a shared one of somebody else too, for whoever may share. Raises ``not_found``."""
    owner_id = _owner(actor)
    view = lock(SavedView.objects.filter(public_id=view_id)).first()
    if view is None or (view.owner_id != owner_id and view.role_id is None):
        raise KauriError("not_found")
    if view.owner_id != owner_id:
        if view_seen(owner_id, view.list_name, view.public_id) is None:
            raise KauriError("not_found")
        governing.require(actor, SHARE)
    before = {"list": view.list_name, "name": view.name, "query": view.query, "owner": view.owner}
    _record(actor, "view_delete", view, before=before)
    view.delete()


@transaction.atomic
def default_choose(*, list_name: str, view_id: uuid.UUID | None, actor: Actor) -> None:
    """What the list opens with for this operator: a view that they find on it, or all of it (None)."""
    owner_id = _owner(actor)
    view = view_seen(owner_id, list_name, view_id) if view_id is not None else None
    if view is None and view_id is not None:
        raise KauriError("not_found")
    _choose(owner_id, list_name, default=view)
    audit(
        actor,
        "view_default",
        object_type="list",
        object_id=list_name,
        after={"opens_with": view.name if view is not None else None},
    )


@transaction.atomic
def columns_choose(*, list_name: str, columns: Sequence[str], actor: Actor) -> None:
    """The columns that this operator sees of the list, in their order; none: as the house shows it.

    Which columns the list has is known to the shell; here they are only names.
    """
    owner_id = _owner(actor)
    text = ",".join(columns)
    longest = ListChoice._meta.get_field("columns").max_length or 0
    if len(text) > longest or not all(map(_NAMED.fullmatch, columns)) or len(set(columns)) < len(columns):
        raise KauriError("validation_error", fields={"columns": "names, each once"})
    _choose(owner_id, list_name, columns=text)
    audit(
        actor,
        "columns_choose",
        object_type="list",
        object_id=list_name,
        after={"columns": list(columns)},
    )


def _choose(owner_id: int, list_name: str, **values: object) -> None:
    ListChoice.objects.update_or_create(owner_id=owner_id, list_name=list_name, defaults=values)


def _owner(actor: Actor) -> int:
    if not actor.is_operator:
        raise KauriError("forbidden", f"{actor.label} has no lists")
    return int(actor.id)


def _own(view_id: uuid.UUID, actor: Actor) -> SavedView:
    view = lock(SavedView.objects.filter(public_id=view_id, owner_id=_owner(actor))).first()
    if view is None:
        raise KauriError("not_found")
    return view


def _name(text: str) -> str:
    name = " ".join(text.split())
    if not 0 < len(name) <= LONGEST_NAME or not name.isprintable():
        raise KauriError("validation_error", fields={"name": f"1 to {LONGEST_NAME} characters"})
    return name


def _demand_plain(query: str) -> None:
    if len(query) > LONGEST_QUERY or not _PLAIN.fullmatch(query):
        raise KauriError("validation_error", fields={"query": "too long, or not a plain query"})


def _free(own: QuerySet[SavedView], name: str) -> None:
    if own.filter(name=name).exists():
        raise KauriError("conflict", "there is a view of this name already")


def _role(role: Group | None) -> str | None:
    return None if role is None else role.name


def _record(
    actor: Actor,
    verb: str,
    view: SavedView,
    *,
    before: dict[str, Any] | None = None,
    after: dict[str, Any] | None = None,
) -> None:
    audit(
        actor,
        verb,
        object_type="saved_view",
        object_id=view.public_id,
        label=view.name,
        before=before,
        after=after,
    )
