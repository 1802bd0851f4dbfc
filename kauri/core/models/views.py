"""How operators look at lists: views with names, and what each list opens with."""

from __future__ import annotations

import hashlib
from typing import Final

from django.contrib.auth.models import Group
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from kauri.common import clock, ids

#: What a query string is written with, once it is encoded.
QUERY: Final = r"^[A-Za-z0-9_.~%+=&*-]*$"
LONGEST_QUERY: Final = 2000
LONGEST_NAME: Final = 60


def mark_of(query: str) -> str:
    """16 hex digits that tell one query from another: what somebody saw of a view before they wrote over it."""
    return hashlib.sha256(query.encode()).hexdigest()[:16]


class SavedView(models.Model):
    """What an operator sees in a list, under a name: a query string, and nothing that it finds.

    Whoever opens it sees what their own rights and limits let them see. The owner is an id without a
    foreign key, since ``account`` lives a floor above.
    """

    public_id = models.UUIDField(default=ids.uuid7, unique=True, editable=False)
    owner_id = models.BigIntegerField(editable=False)
    owner = models.CharField(_("owner"), max_length=254)
    list_name = models.CharField(_("list"), max_length=96)
    name = models.CharField(_("name"), max_length=LONGEST_NAME)
    query = models.CharField(_("query"), max_length=LONGEST_QUERY)
    role = models.ForeignKey(
        Group, models.SET_NULL, null=True, related_name="+", verbose_name=_("shared with the role")
    )
    created_at = models.DateTimeField(_("saved"), default=clock.now)

    class Meta:
        ordering = ("name",)
        verbose_name = _("saved view")
        verbose_name_plural = _("saved views")
        permissions = (("share_view", "Can share views of lists"),)
        constraints = (
            models.UniqueConstraint(fields=("owner_id", "list_name", "name"), name="view_named_once"),
            models.CheckConstraint(condition=~Q(name=""), name="view_has_a_name"),
            models.CheckConstraint(condition=Q(query__regex=QUERY), name="view_is_a_plain_query"),
        )

    def __str__(self) -> str:
        return self.name


class ListChoice(models.Model):
    """What one operator chose for one list: its columns, and the view that it opens with."""

    owner_id = models.BigIntegerField(editable=False)
    list_name = models.CharField(_("list"), max_length=96)
    columns = models.CharField(
        _("columns"), max_length=1000, blank=True, default="", help_text=_("names with commas; empty: all")
    )
    default = models.ForeignKey(
        SavedView, models.SET_NULL, null=True, related_name="+", verbose_name=_("opens with")
    )

    class Meta:
        verbose_name = _("choice for a list")
        verbose_name_plural = _("choices for lists")
        constraints = (
            models.UniqueConstraint(fields=("owner_id", "list_name"), name="list_choice_once"),
            models.CheckConstraint(
                condition=Q(columns__regex=r"^([A-Za-z0-9_]+(,[A-Za-z0-9_]+)*)?$"),
                name="list_columns_are_names",
            ),
        )

    def __str__(self) -> str:
        return self.list_name
