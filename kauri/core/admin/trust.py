"""The audit trail; signs of life."""

from __future__ import annotations

from functools import reduce
from operator import itemgetter, or_
from typing import Any, ClassVar, Final

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.contrib.filters.admin import DropdownFilter
from unfold.decorators import display

from kauri.common.admin import (
    EMPTY,
    ReadOnlyAdmin,
    badge,
    changes,
    copyable,
    raw,
    short,
    table,
    when,
    when_column,
)
from kauri.core.admin.settings import PeriodFilter
from kauri.core.admin.words import ACTS, OBJECTS, act_title, act_words, actor_kind_title, object_title
from kauri.core.models import AuditCheck, AuditEntry, Heartbeat, ScheduleRun

#: Entries that a page of something else shows.
_ROWS: Final = 20


def audit_table(*named: tuple[str, object]) -> SafeString:
    """What is on record about things named by (``object_type``, ``object_id``), the newest first. One query."""
    about = reduce(or_, (Q(object_type=kind, object_id=str(found)) for kind, found in named))
    return table(
        (_("When"), _("By"), _("Act"), _("Reason")),
        (
            (when(row.at), row.actor_label, act_words(row.verb), row.reason or EMPTY)
            for row in AuditEntry.objects.filter(about).order_by("-id")[:_ROWS]
        ),
        _("Nothing on record yet."),
    )


class ActFilter(DropdownFilter):
    """What was done, by its name."""

    title = _("act")
    parameter_name = "verb"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        del request, model_admin
        return sorted(((code, str(words)) for code, words in ACTS.items()), key=itemgetter(1))

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        del request
        return queryset.filter(verb=self.value()) if self.value() else queryset


class ObjectFilter(DropdownFilter):
    """What it was done to; pages link to the entries about one thing by its code."""

    title = _("object")
    parameter_name = "object_type"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        del request, model_admin
        return sorted(((code, object_title(code)) for code in OBJECTS), key=itemgetter(1))

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        del request
        return queryset.filter(object_type=self.value()) if self.value() else queryset


@admin.register(AuditEntry)
class AuditEntryAdmin(ReadOnlyAdmin):
    """Append-only in the database, so there is nothing here but reading."""

    list_display = ("when", "who", "did", "what", "about", "reason", "ip")
    list_display_links = ("when",)
    list_filter = (
        ActFilter,
        ObjectFilter,
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
            {"fields": ("when", "who", "did", "what", "object_id", "about")},
        ),
        (None, {"fields": ("reason", "ip", "asked_as", "difference")}),
    )
    when = when_column("at", _("when"))

    def page_name(self, row: AuditEntry) -> str:
        return f"{act_title(row.verb)} · {row.object_label or short(row.object_id)}"

    @display(description=_("who"), ordering="actor_label")
    def who(self, obj: AuditEntry) -> SafeString:
        return format_html(
            '{} <span class="k-none">{}</span>', obj.actor_label, actor_kind_title(obj.actor_kind)
        )

    @display(description=_("act"), ordering="verb")
    def did(self, obj: AuditEntry) -> SafeString:
        return act_words(obj.verb)

    @display(description=_("object"), ordering="object_type")
    def what(self, obj: AuditEntry) -> str:
        return object_title(obj.object_type)

    @display(description=_("request id"))
    def asked_as(self, obj: AuditEntry) -> SafeString | str:
        return copyable(obj.request_id) if obj.request_id else EMPTY

    @display(description=_("object label"))
    def about(self, obj: AuditEntry) -> str:
        return obj.object_label or obj.object_id

    @display(description=_("what changed"))
    def difference(self, obj: AuditEntry) -> SafeString:
        return changes(obj.before, obj.after)


@admin.register(AuditCheck)
class AuditCheckAdmin(ReadOnlyAdmin):
    """Proofs of the audit's chain: the newest says whether every entry stands as it was written."""

    list_display = ("ended", "clean", "entries", "blocks", "took")
    list_display_links = ("ended",)
    fieldsets = (
        (None, {"fields": ("ended", "clean", "entries", "blocks", "took", "end")}),
        (_("What it found"), {"fields": ("found",)}),
    )
    public_lookup = "pk"
    ended = when_column("finished_at", _("finished"))

    @display(description=_("clean"), ordering="is_clean")
    def clean(self, obj: AuditCheck) -> SafeString:
        return badge(_("every entry stands"), "good") if obj.is_clean else badge(_("broken"), "bad")

    @display(description=_("took, seconds"))
    def took(self, obj: AuditCheck) -> str:
        return f"{(obj.finished_at - obj.started_at).total_seconds():.1f}"

    @display(description=_("end of the chain"))
    def end(self, obj: AuditCheck) -> SafeString:
        return copyable(obj.head)

    @display(description=_("findings"))
    def found(self, obj: AuditCheck) -> SafeString:
        return table(
            (_("What"), _("How many"), _("Which entries")),
            ((gettext(row["law"]), row["count"], _named(row)) for row in obj.findings),
            _("Nothing: every entry stands as it was written."),
        )


def _named(finding: dict[str, Any]) -> SafeString:
    """The entries of a finding, each with a link where it is one."""
    return format_html_join(
        ", ",
        '<a class="k-link" href="{}">{}</a>',
        ((reverse("admin:core_auditentry_change", args=(pk,)), pk) for pk in finding["rows"]),
    )


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
