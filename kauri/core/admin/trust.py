"""The audit trail; signs of life."""

from __future__ import annotations

from typing import ClassVar

from django.contrib import admin
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _
from unfold.decorators import display

from kauri.common.admin import ReadOnlyAdmin, changes, raw, when_column
from kauri.common.scoped_admin import ExactTextFilter
from kauri.core.admin.settings import PeriodFilter
from kauri.core.models import AuditEntry, Heartbeat, ScheduleRun


@admin.register(AuditEntry)
class AuditEntryAdmin(ReadOnlyAdmin):
    """Append-only in the database, so there is nothing here but reading."""

    list_display = ("when", "who", "verb", "object_type", "about", "reason", "ip")
    list_display_links = ("when",)
    list_filter = (
        ("verb", ExactTextFilter),
        ("object_type", ExactTextFilter),
        ("at", PeriodFilter),
    )
    exact_search: ClassVar[dict[str, str]] = {
        "object_id": "text",
        "actor_label": "lower",
        "request_id": "text",
    }
    search_help_text = _("An object's id, an operator's e-mail, or a request id, exactly")
    public_lookup = "pk"
    fieldsets = (
        (
            None,
            {"fields": ("when", "who", "verb", "object_type", "object_id", "about")},
        ),
        (None, {"fields": ("reason", "ip", "request_id", "difference")}),
    )
    when = when_column("at", _("when"))

    @display(description=_("who"), ordering="actor_label")
    def who(self, obj: AuditEntry) -> SafeString:
        return format_html('{} <span class="k-none">{}</span>', obj.actor_label, obj.actor_kind)

    @display(description=_("object label"))
    def about(self, obj: AuditEntry) -> str:
        return obj.object_label or obj.object_id

    @display(description=_("what changed"))
    def difference(self, obj: AuditEntry) -> SafeString:
        return changes(obj.before, obj.after)


@admin.register(Heartbeat)
class HeartbeatAdmin(ReadOnlyAdmin):
    is_small = True
    list_display = ("cluster", "seen")
    fields = ("cluster", "seen")
    seen = when_column("at", _("last sign of life"))


@admin.register(ScheduleRun)
class ScheduleRunAdmin(ReadOnlyAdmin):
    is_small = True
    list_display = ("name", "enqueued", "finished", "error_text")
    fields = ("name", "enqueued", "finished", "error_text")
    enqueued = when_column("enqueued_at", _("enqueued"))
    finished = when_column("finished_at", _("finished"))

    @display(description=_("error"))
    def error_text(self, obj: ScheduleRun) -> SafeString:
        return raw(obj.error)
