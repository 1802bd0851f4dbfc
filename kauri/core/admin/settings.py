"""Settings with author, reason and diff."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, ClassVar

from django import forms
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.widgets import RelatedFieldWidgetWrapper
from django.core.exceptions import PermissionDenied
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.translation import gettext_lazy as _
from unfold.contrib.filters.admin import RangeDateTimeFilter
from unfold.widgets import (
    UnfoldAdminNullBooleanSelectWidget,
    UnfoldAdminTextInputWidget,
)

from kauri.common.admin import (
    EMPTY,
    HouseAdmin,
    actor_of,
    changes,
    when,
)
from kauri.common.money import plain
from kauri.common.paging import is_indexed
from kauri.core.audit import audit
from kauri.core.models import AuditEntry

_HISTORY_SHOWN = 100


class PeriodFilter(RangeDateTimeFilter):
    """From and till, in UTC; a day alone means the whole of it."""

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        del request
        named = zip(("gte", "lte"), self.bounds(), strict=True)
        return queryset.filter(
            **{f"{self.parameter_name}__{name}": moment for name, moment in named if moment is not None}
        )

    def bounds(self) -> tuple[datetime | None, datetime | None]:
        """From and till, where they are given."""
        return self._moment("from", "00:00:00"), self._moment("to", "23:59:59.999999")

    @property
    def moment(self) -> str:
        """What the list is sorted by meanwhile; empty where no period is asked for, or no index has it."""
        asked = any(self.used_parameters.get(f"{self.parameter_name}_{side}_0") for side in ("from", "to"))
        return self.parameter_name if asked and is_indexed(self.field.model, self.field.name) else ""

    def _moment(self, side: str, unsaid: str) -> datetime | None:
        day = self.used_parameters.get(f"{self.parameter_name}_{side}_0")
        clock_time = self.used_parameters.get(f"{self.parameter_name}_{side}_1") or unsaid
        try:
            return datetime.fromisoformat(f"{day}T{clock_time}").replace(tzinfo=UTC) if day else None
        except ValueError:
            raise IncorrectLookupParameters(f"{day} {clock_time}") from None


class SettingsForm(forms.ModelForm):
    """A change of a setting says why."""

    change_reason = forms.CharField(
        label=_("Why this change"),
        min_length=3,
        max_length=300,
        widget=UnfoldAdminTextInputWidget(attrs={"autocomplete": "off"}),
        help_text=_("Kept in the history and in the audit with your name."),
    )


class SaysNothingSelect(UnfoldAdminNullBooleanSelectWidget):
    """A switch with a third state: a wider scope decides."""

    def __init__(self, attrs: dict[str, Any] | None = None) -> None:
        super().__init__(attrs)
        self.choices = [("unknown", _("says nothing")), ("true", _("on")), ("false", _("off"))]


class NoPopups(HouseAdmin):
    """Forms without "add another" windows: those are frames, and no page of the house may be framed."""

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        field = super().formfield_for_dbfield(db_field, request, **kwargs)
        widget = getattr(field, "widget", None)
        if isinstance(widget, RelatedFieldWidgetWrapper):
            widget.can_add_related = widget.can_change_related = False
            widget.can_view_related = widget.can_delete_related = False
        return field


class SettingsAdmin(NoPopups):
    """A row that people change: reason asked, before and after audited, every version kept."""

    is_small = True

    form = SettingsForm
    warn_unsaved_form = True
    #: Fields whose values are never shown, logged or audited: only that they changed.
    secret_fields: ClassVar[frozenset[str]] = frozenset()
    public_lookup = "pk"

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Any:
        # Settings have no public id.
        return super(HouseAdmin, self).get_object(request, object_id, from_field)

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        reason = form.cleaned_data["change_reason"]
        names = [name for name in form.changed_data if name != "change_reason"]
        old = self.model._default_manager.filter(pk=obj.pk).first() if change else None
        before = self._values(old, names) if old is not None else None
        obj._change_reason = reason
        super().save_model(request, obj, form, change)
        options = self.model._meta
        audit(
            actor_of(request),
            f"{options.model_name}_{'change' if change else 'add'}",
            object_type=str(options.model_name),
            object_id=obj.pk,
            label=str(obj)[:254],
            before=before,
            after=self._values(obj, names),
            reason=reason,
        )

    def _values(self, obj: Model, names: Sequence[str]) -> dict[str, Any]:
        known = {field.name for field in self.model._meta.fields}
        return {
            name: "***" if name in self.secret_fields else _plain(getattr(obj, name))
            for name in names
            if name in known
        }

    def history_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Every version: who, when, why, and what became what."""
        obj = self.get_object(request, object_id)
        if obj is None:
            return self._get_obj_does_not_exist_redirect(request, self.opts, object_id)
        if not self.has_view_or_change_permission(request, obj):
            raise PermissionDenied
        context = {
            **self.admin_site.each_context(request),
            "title": _("History"),
            "subtitle": str(obj),
            "opts": self.opts,
            "object": obj,
            "original": obj,
            "versions": self._versions(obj),
            **(extra_context or {}),
        }
        request.current_app = self.admin_site.name
        return TemplateResponse(request, "admin/kauri/history.html", context)

    def _versions(self, obj: Any) -> list[dict[str, Any]]:
        records = list(obj.history.order_by("-history_id")[: _HISTORY_SHOWN + 1])
        authors = self._authors({record.history_user_id for record in records})
        shown = []
        for record, older in zip(records, [*records[1:], None], strict=True):
            before, after = self._difference(record, older)
            shown.append(
                {
                    "at": when(record.history_date),
                    "who": authors.get(record.history_user_id, _("the system")),
                    "why": record.history_change_reason or EMPTY,
                    "kind": record.get_history_type_display(),
                    "changes": changes(before, after) if older is not None else "",
                }
            )
        return shown[:_HISTORY_SHOWN]

    def _authors(self, ids: set[int | None]) -> dict[int, str]:
        """Operators' e-mails, read from the audit: ``account`` lives a floor above."""
        wanted = [str(found) for found in ids if found is not None]
        rows = (
            AuditEntry.objects.filter(actor_kind="operator", actor_id__in=wanted)
            .order_by("actor_id", "-id")
            .distinct("actor_id")
            .values_list("actor_id", "actor_label")
        )
        return {int(actor_id): label for actor_id, label in rows}

    def _difference(self, record: Any, older: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        before: dict[str, Any] = {}
        after: dict[str, Any] = {}
        if older is None:
            return before, after
        for field in self.model._meta.fields:
            old, new = getattr(older, field.attname), getattr(record, field.attname)
            if old == new:
                continue
            secret = field.name in self.secret_fields
            before[field.name] = "***" if secret else _plain(old)
            after[field.name] = "***" if secret else _plain(new)
        return before, after


def _plain(value: Any) -> Any:
    """A value as the audit keeps it: JSON's own kinds, decimals as plain digits."""
    if isinstance(value, Decimal):
        return plain(value)
    if isinstance(value, Model):
        return str(value)
    return value if value is None or isinstance(value, (bool, int, str, dict, list)) else str(value)
