"""The roles: which acts each may do. What is said here is a proposal: a second person decides."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

# Registers the framework's own screen of roles: first, so that ours can take its place.
import django.contrib.auth.admin  # noqa: F401
from django import forms
from django.contrib import admin
from django.contrib.auth.models import Group, Permission
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.decorators import display

from backoffice.defaults import roles
from kauri.common.admin import changes, table, when
from kauri.core.admin import GovernedAdmin
from kauri.core.governing import row_names
from kauri.core.models import Proposal

#: Rights over the framework's own tables mean nothing here: only the house's acts are offered.
ROLE_APPS = (
    "account",
    "auth",
    "balance",
    "callbacks",
    "core",
    "deposit_order",
    "exchange_rate",
    "internal_movement_order",
    "notification",
    "order_core",
    "payment_card",
    "payment_provider",
    "report",
    "wallet",
    "withdrawal_order",
)


_VERSIONS = 100
#: The acts that the framework names itself, in English alone, by how their names begin.
_ACTS: Final = {
    "view": _("See: %(what)s"),
    "add": _("Add: %(what)s"),
    "change": _("Change: %(what)s"),
    "delete": _("Delete: %(what)s"),
}

admin.site.unregister(Group)
# Everybody here says role; the framework's word would stand in the header of its pages.
Group._meta.verbose_name = _("role")
Group._meta.verbose_name_plural = _("roles")


def said(permission: Permission) -> str:
    """A permission in the reader's language."""
    act, _dash, target = permission.codename.partition("_")
    model = permission.content_type.model_class()
    if act in _ACTS and model is not None and target == model._meta.model_name:
        return str(_ACTS[act]) % {"what": model._meta.verbose_name}
    return gettext(permission.name)


def offered() -> QuerySet[Permission]:
    """What a role may be given: the house's own acts; to see, add and change what has a screen; what its own roles begin with.

    The framework makes four rights for each table: those over what nobody opens, and to delete anything, nothing reads.
    """
    begun_with = {name for names in roles().values() for name in names}
    screens = {model._meta.label_lower for model in admin.site._registry}
    rows = Permission.objects.filter(content_type__app_label__in=ROLE_APPS).select_related("content_type")
    found = []
    for row in rows.exclude(content_type__model__startswith="historical"):
        kind = row.content_type
        act, _dash, target = row.codename.partition("_")
        is_own = act not in _ACTS or target != kind.model
        has_screen = act != "delete" and f"{kind.app_label}.{kind.model}" in screens
        if is_own or has_screen or f"{kind.app_label}.{row.codename}" in begun_with:
            found.append(row.pk)
    return rows.filter(pk__in=found)


class ActsField(forms.ModelMultipleChoiceField):
    """Permissions to choose from, as a reader knows them."""

    def label_from_instance(self, obj: Any) -> str:
        return said(obj)


@admin.register(Group)
class RoleAdmin(GovernedAdmin):
    """Roles: which acts each may do."""

    list_display = ("name", "size")
    list_fullwidth = True
    search_fields = ("name",)
    ordering = ("name",)
    filter_horizontal = ("permissions",)
    actions = ()
    #: Made of proposals, see below; the page links to them.
    has_versions = True

    def get_queryset(self, request: HttpRequest) -> QuerySet[Group]:
        return super().get_queryset(request).prefetch_related("permissions")

    def get_fieldsets(self, request: HttpRequest, obj: Group | None = None) -> Any:
        if obj is None or self.has_change_permission(request, obj):
            return super().get_fieldsets(request, obj)
        return ((None, {"fields": ("name", "acts")}),)

    def get_fields(self, request: HttpRequest, obj: Group | None = None) -> Sequence[str]:
        del request, obj
        return ("name", "permissions", "change_reason")

    def get_readonly_fields(self, request: HttpRequest, obj: Group | None = None) -> Sequence[str]:
        del request, obj
        return ("acts",)

    def formfield_for_manytomany(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        kwargs["queryset"] = offered()
        return super().formfield_for_manytomany(db_field, request, form_class=ActsField, **kwargs)

    @display(description=_("permissions"))
    def size(self, obj: Group) -> int:
        return len(obj.permissions.all())

    @display(description=_("permissions"))
    def acts(self, obj: Group) -> SafeString:
        rows = obj.permissions.select_related("content_type").order_by("content_type__app_label", "codename")
        return table(
            (_("Act"), _("Name")),
            ((said(row), f"{row.content_type.app_label}.{row.codename}") for row in rows),
        )

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        del request, obj
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        # Nobody widens a role that is their own: somebody else has to.
        if request.user.scope.is_limited or (obj is not None and obj in request.user.groups.all()):
            return False
        return super().has_change_permission(request, obj)

    def _versions(self, obj: Any) -> list[dict[str, Any]]:
        """The framework keeps no versions of a role: what was proposed and applied says them."""
        rows = Proposal.objects.filter(
            target=Group._meta.label_lower, target_id=str(obj.pk), state=Proposal.State.APPLIED
        )
        return [
            {
                "at": when(row.applied_at),
                "who": f"{row.proposed_by}, {row.decided_by}",
                "why": row.reason,
                "kind": _("Changed") if row.before else _("Created"),
                "changes": changes(*_difference(row)) if row.before else "",
            }
            for row in rows.order_by("-applied_at", "-id")[:_VERSIONS]
        ]


def _difference(row: Proposal) -> tuple[dict[str, Any], dict[str, Any]]:
    """Of permissions only what was lost and what was gained."""
    before, after = dict(row.before), dict(row.after)
    if "permissions" in after:
        lost, gained = (set(one["permissions"]) for one in (before, after))
        before["permissions"] = row_names(Permission, lost - gained)
        after["permissions"] = row_names(Permission, gained - lost)
    return before, after
