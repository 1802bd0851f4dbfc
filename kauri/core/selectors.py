"""Reading reference data, and how an operator looks at a list."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Any

from django.contrib.auth.models import Group
from django.db.models import F, Q, QuerySet, UUIDField, Value
from django.db.models.functions import Coalesce

from kauri.common import clock
from kauri.core.models import Currency, ListChoice, Pair, SavedView, Switch


def switched_off(*codes: str) -> set[str]:
    """Which of ``codes`` may not run: operations, or ``currency:``, ``provider:`` and the like with a name.

    What was never switched off is on, and so is what was off until a moment that has passed, even
    if nobody has written it down yet.
    """
    still_off = Q(expires_at__isnull=True) | Q(expires_at__gt=clock.now())
    return set(Switch.objects.filter(still_off, code__in=codes, is_on=False).values_list("code", flat=True))


def switch_is_on(code: str) -> bool:
    """Whether ``code`` may run (:func:`switched_off`)."""
    return not switched_off(code)


def currency_codes() -> list[str]:
    """Codes of the currencies that are switched on, in their order."""
    return list(Currency.objects.filter(is_enabled=True).values_list("code", flat=True))


def currency_details() -> list[dict[str, Any]]:
    """Every currency with what a client needs to know of it. Two queries."""
    return [
        {
            "name": currency.code,
            "title": currency.name,
            "kind": currency.kind,
            "scale": currency.scale,
            "is_enabled": currency.is_enabled,
            "networks": [
                {
                    "name": network.code,
                    "title": network.title,
                    "environment": network.environment,
                    "confirmations": network.confirmations,
                    "is_enabled": network.is_enabled,
                }
                for network in currency.networks.all()
            ],
        }
        for currency in Currency.objects.prefetch_related("networks")
    ]


def pair_directions() -> list[dict[str, str]]:
    """Both directions of every pair that is switched on, named ``<get>_<spend>``."""
    rows = []
    pairs = Pair.objects.filter(is_enabled=True, base__is_enabled=True, quote__is_enabled=True)
    for pair in pairs.select_related("base", "quote"):
        for get, spend in ((pair.base, pair.quote), (pair.quote, pair.base)):
            rows.append(
                {
                    "name": f"{get.code}_{spend.code}",
                    "currency_to_spend": spend.code,
                    "currency_to_get": get.code,
                    "base_currency": pair.base.code,
                }
            )
    return rows


@dataclass(frozen=True, slots=True)
class View:
    """A saved view as one operator sees it; ``role`` is whom it is shared with, ``owner`` who made it."""

    id: uuid.UUID
    name: str
    query: str
    role: str
    owner: str
    is_own: bool


@dataclass(frozen=True, slots=True)
class ListState:
    """The views that an operator finds on a list, the columns that they chose, and what it opens with."""

    views: tuple[View, ...] = ()
    columns: tuple[str, ...] = ()
    default: View | None = None
    #: Roles to share with, for whoever may: id and name.
    roles: tuple[tuple[int, str], ...] = ()


def list_state(owner_id: int, list_name: str, *, with_roles: bool = False) -> ListState:
    """How the operator looks at the list: own views first, then those shared with a role of theirs. One query."""
    blank = Value("")
    views = (
        SavedView.objects.filter(_seen_by(owner_id), list_name=list_name)
        .annotate(kind=Value("view"), to=Coalesce("role__name", blank))
        .values_list("kind", "public_id", "name", "query", "owner_id", "owner", "to")
    )
    choice = (
        ListChoice.objects.filter(owner_id=owner_id, list_name=list_name)
        .annotate(kind=Value("choice"), chosen=F("default__public_id"), a=blank, b=blank, c=blank)
        .values_list("kind", "chosen", "a", "columns", "owner_id", "b", "c")
    )
    parts: list[QuerySet[Any, Any]] = [choice.order_by()]
    if with_roles:
        nobody = Value(None, output_field=UUIDField())
        roles = Group.objects.annotate(kind=Value("role"), nobody=nobody, a=blank, b=blank, c=blank)
        parts.append(roles.order_by().values_list("kind", "nobody", "name", "a", "id", "b", "c"))
    found: list[View] = []
    groups: list[tuple[int, str]] = []
    columns, chosen = "", None
    for kind, public_id, name, text, number, owner, to in views.order_by().union(*parts, all=True):
        if kind == "view":
            found.append(View(public_id, name, text, to, owner, number == owner_id))
        elif kind == "role":
            groups.append((number, name))
        else:
            columns, chosen = text, public_id
    found.sort(key=lambda view: (not view.is_own, view.name.casefold()))
    return ListState(
        views=tuple(found),
        columns=tuple(filter(None, columns.split(","))),
        default=next((view for view in found if view.id == chosen), None),
        roles=tuple(sorted(groups, key=lambda role: role[1])),
    )


def view_seen(owner_id: int, list_name: str, view_id: uuid.UUID) -> SavedView | None:
    """The view of that id, if the operator finds it on that list."""
    return SavedView.objects.filter(_seen_by(owner_id), list_name=list_name, public_id=view_id).first()


def _seen_by(owner_id: int) -> Q:
    return Q(owner_id=owner_id) | Q(role__in=Group.objects.filter(user=owner_id))
