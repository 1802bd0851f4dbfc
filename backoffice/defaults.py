"""What every installation starts with: read from ``fixtures/seed``, created where it is missing.

What exists is left alone, so that nothing an operator has changed is ever overwritten.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from django.contrib.auth.models import Group, Permission
from django.db import transaction

from backoffice.settings.env import ROOT
from kauri.account.models import CustomerGroup
from kauri.common.locks import try_advisory
from kauri.core.models import Currency, Network, Pair, Provider, Switch
from kauri.order_core.models import POLICY_AMOUNTS, Policy
from kauri.withdrawal_order.models import ReviewRule

SEED = ROOT / "fixtures" / "seed"


@transaction.atomic
def load() -> dict[str, int]:
    """Create what is missing; returns how many rows of each kind were made."""
    if not try_advisory("defaults"):
        return {}
    made = {"currencies": _create(Currency, "currencies", ("code",))}
    currency = _by_code()
    return made | {
        "networks": _create(Network, "networks", ("code",), currency=currency),
        "pairs": _create(Pair, "pairs", ("base", "quote"), base=currency, quote=currency),
        "providers": _create(Provider, "providers", ("code",)),
        "switches": _create(Switch, "switches", ("code",)) + _switches(),
        "customer groups": _create(CustomerGroup, "groups", ("code",)),
        "policies": _policies(currency),
        "review rules": _review_rules(),
        "roles": _roles(),
    }


def _read(name: str) -> Any:
    return json.loads((SEED / f"{name}.json").read_text(encoding="utf-8"))


def _by_code() -> Callable[[str], Currency]:
    """A currency by its code, from one read."""
    return {row.code: row for row in Currency.objects.all()}.__getitem__


def _create(model: Any, name: str, key: tuple[str, ...], **convert: Any) -> int:
    made = 0
    for row in _read(name):
        values = {field: convert[field](value) if field in convert else value for field, value in row.items()}
        lookup = {field: values.pop(field) for field in key}
        _, created = model.objects.get_or_create(**lookup, defaults=values)
        made += created
    return made


def _switches() -> int:
    """One of each currency and each provider, beside those of the operations."""
    named = [(f"currency:{row.code}", row.name) for row in Currency.objects.all()]
    named += [(f"provider:{row.code}", row.title) for row in Provider.objects.all()]
    return sum(Switch.objects.get_or_create(code=code, defaults={"title": title})[1] for code, title in named)


def _policies(currency: Callable[[str], Currency]) -> int:
    # Policies have no natural key that an operator could not change: an operation's come once.
    known = set(Policy.history.values_list("operation", flat=True).distinct())
    rows = [row for row in _read("policies") if row["operation"] not in known]
    for row in rows:
        code = row.pop("currency")
        values = {
            name: Decimal(value) if name in POLICY_AMOUNTS or name == "fee_percent" else value
            for name, value in row.items()
        }
        Policy.objects.create(currency=currency(code) if code else None, **values)
    return len(rows)


def _review_rules() -> int:
    # Like policies: once, so that what was switched off or changed is never put back.
    if ReviewRule.history.exists():
        return 0
    rows = [ReviewRule(**row) for row in _read("review_rules")]
    for row in rows:
        row.save(force_insert=True)
    return len(rows)


def roles() -> dict[str, list[str]]:
    """The roles that a house begins with, and the permissions of each (``app.codename``)."""
    found: dict[str, list[str]] = _read("roles")
    return found


def _roles() -> int:
    """Roles with their permissions; a role that exists keeps what an administrator gave it."""
    wanted, known = roles(), set(Group.objects.values_list("name", flat=True))
    missing = [name for name in wanted if name not in known]
    if missing:
        rows = Permission.objects.values_list("content_type__app_label", "codename", "pk")
        permissions = {f"{app}.{codename}": pk for app, codename, pk in rows}
        for name in missing:
            group = Group.objects.create(name=name)
            group.permissions.add(*(permissions[dotted] for dotted in wanted[name]))
    return len(missing)
