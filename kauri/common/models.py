"""Abstract models, the money column, and what a value of a choice is called."""

from __future__ import annotations

from decimal import Decimal
from functools import cache
from typing import Any, Final

from django.db import models

from kauri.common.actor import Actor, ActorKind
from kauri.common.money import MAX_DIGITS, MAX_SCALE

#: Above every numeric(38,18), below NaN (PostgreSQL sorts NaN after all numbers): ``x < FINITE`` refuses it.
FINITE: Final = Decimal(10) ** 20


class MoneyField(models.DecimalField):
    """``numeric(38,18)``: wide enough for wei; the currency's own scale is kept by the services."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs["max_digits"] = MAX_DIGITS
        kwargs["decimal_places"] = MAX_SCALE
        super().__init__(*args, **kwargs)

    def deconstruct(self) -> tuple[str, str, list[Any], dict[str, Any]]:
        name, path, args, kwargs = super().deconstruct()
        kwargs.pop("max_digits", None)
        kwargs.pop("decimal_places", None)
        return name, path, list(args), kwargs


class ActorStamp(models.Model):
    """Who did it, kept as plain values."""

    actor_kind = models.CharField(max_length=16, choices=[(kind.value, kind.value) for kind in ActorKind])
    actor_id = models.CharField(max_length=64)
    actor_label = models.CharField(max_length=254)
    request_id = models.CharField(max_length=64, blank=True, default="")

    class Meta:
        abstract = True

    def stamp(self, actor: Actor, request_id: str) -> None:
        """Write ``actor`` onto the row (before its first save)."""
        self.actor_kind = actor.kind.value
        self.actor_id = actor.id
        self.actor_label = actor.label
        self.request_id = request_id


def choice(row: models.Model, field: str) -> str:
    """What a field's value is called. Django's ``get_…_display`` hashes every translated name at each call: too slow for rows."""
    value = getattr(row, field)
    return str(_choices(type(row), field).get(value, value))


@cache
def _choices(model: type[models.Model], field: str) -> dict[Any, Any]:
    found: Any = model._meta.get_field(field)
    return dict(found.flatchoices)
