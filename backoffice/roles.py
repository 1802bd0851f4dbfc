"""The roles: which acts each may do. What is saved here is saved by a service that asks for the code."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.auth.admin import GroupAdmin as DjangoGroupAdmin
from django.contrib.auth.models import Group, Permission
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _
from unfold.admin import ModelAdmin
from unfold.decorators import display

from kauri.account.operators import role_save
from kauri.common.admin import actor_of, refusal, table
from kauri.common.code_forms import code_field
from kauri.common.errors import KauriError

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


def saved(request: HttpRequest, save: Callable[[], object]) -> None:
    """Save by a service; what it refuses is told when the page answers."""
    try:
        save()
    except KauriError as error:
        request._kauri_refused = refusal(error)  # type: ignore[attr-defined]


def refused(request: HttpRequest) -> HttpResponse | None:
    why = getattr(request, "_kauri_refused", None)
    if why is None:
        return None
    messages.error(request, why)
    return HttpResponseRedirect(request.path)


class RoleForm(forms.ModelForm):
    """Whoever says what a role may do proves anew that it is them."""

    code = code_field()


admin.site.unregister(Group)


@admin.register(Group)
class RoleAdmin(DjangoGroupAdmin, ModelAdmin):
    """Roles: which acts each may do. Every change is audited."""

    form = RoleForm
    list_display = ("name", "size")
    list_fullwidth = True
    actions = ()

    def get_queryset(self, request: HttpRequest) -> QuerySet[Group]:
        return super().get_queryset(request).prefetch_related("permissions")

    def get_fieldsets(self, request: HttpRequest, obj: Group | None = None) -> Any:
        editable = obj is None or self.has_change_permission(request, obj)
        return ((None, {"fields": ("name", "permissions", "code") if editable else ("name", "acts")}),)

    def get_readonly_fields(self, request: HttpRequest, obj: Group | None = None) -> Sequence[str]:
        del request, obj
        return ("acts",)

    def formfield_for_manytomany(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        kwargs["queryset"] = (
            Permission.objects.filter(content_type__app_label__in=ROLE_APPS)
            .exclude(content_type__model__startswith="historical")
            .select_related("content_type")
        )
        return super().formfield_for_manytomany(db_field, request, **kwargs)

    @display(description=_("permissions"))
    def size(self, obj: Group) -> int:
        return len(obj.permissions.all())

    @display(description=_("permissions"))
    def acts(self, obj: Group) -> SafeString:
        rows = obj.permissions.select_related("content_type").order_by("content_type__app_label", "codename")
        return table(
            (_("Act"), _("Name")),
            ((row.name, f"{row.content_type.app_label}.{row.codename}") for row in rows),
        )

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        del request, obj
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        # Nobody widens a role that is their own: somebody else has to.
        if request.user.scope.is_limited or (obj is not None and obj in request.user.groups.all()):
            return False
        return super().has_change_permission(request, obj)

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        """The whole role, by the service that asks for the code."""
        given = form.cleaned_data

        def save() -> None:
            obj.pk = role_save(
                role_id=obj.pk if change else None,
                name=given["name"],
                permissions=[row.pk for row in given["permissions"]],
                code=given["code"],
                actor=actor_of(request),
            ).pk

        saved(request, save)

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        """The service has done it."""

    def log_addition(self, request: HttpRequest, obj: Any, message: Any) -> Any:
        """The audit has it."""

    def log_change(self, request: HttpRequest, obj: Any, message: Any) -> Any:
        """The audit has it."""

    def response_add(self, request: HttpRequest, obj: Any, post_url_continue: Any = None) -> HttpResponse:
        return refused(request) or super().response_add(request, obj, post_url_continue)

    def response_change(self, request: HttpRequest, obj: Any) -> HttpResponse:
        return refused(request) or super().response_change(request, obj)
