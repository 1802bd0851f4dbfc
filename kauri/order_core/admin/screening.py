"""Transaction analysis: its rules (proposed, as policies are), and what was asked and answered."""

from __future__ import annotations

from typing import Any, ClassVar, Final

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _
from unfold.contrib.filters.admin import ChoicesDropdownFilter
from unfold.decorators import display

from kauri.common.admin import (
    EMPTY,
    ReadOnlyAdmin,
    badge,
    bound_column,
    copyable,
    label_column,
    money_column,
    page_link,
    raw,
    raw_column,
    short,
    table,
    when,
    when_column,
)
from kauri.common.scoped_admin import RelatedDropdownFilter
from kauri.core.admin import GovernedAdmin
from kauri.order_core.models import Screening, ScreeningPolicy

OUTCOME_TONES: Final[dict[str, str]] = {"pass": "good", "hold": "warn", "freeze": "bad"}


@admin.register(ScreeningPolicy)
class ScreeningPolicyAdmin(GovernedAdmin):
    """What is saved here is proposed."""

    list_display = ("currency", "provider", "is_enabled", "least", "hold", "freeze", "wait_minutes")
    list_select_related = ("currency", "provider")
    least = bound_column("min_amount", _("least amount to analyse"))
    hold = bound_column("hold_score", _("hold from this score"))
    freeze = bound_column("freeze_score", _("freeze from this score"))
    fieldsets = (
        (None, {"fields": ("currency", "provider", "is_enabled", "min_amount")}),
        (
            _("What an answer means"),
            {"fields": (("hold_score", "freeze_score"), "freeze_signals", "wait_minutes")},
        ),
        (None, {"fields": ("change_reason",)}),
    )


@admin.register(Screening)
class ScreeningAdmin(ReadOnlyAdmin):
    list_display = ("made", "about", "amount_shown", "provider", "state", "score", "outcome_label")
    list_display_links = ("made",)
    list_select_related = ("provider", "currency", "payin")
    list_filter = (
        ("outcome", ChoicesDropdownFilter),
        ("state", ChoicesDropdownFilter),
        ("provider", RelatedDropdownFilter),
        ("currency", RelatedDropdownFilter),
    )
    exact_search: ClassVar[dict[str, str]] = {
        "public_id": "uuid",
        "destination": "text",
        "payin__transaction": "text",
        "reference": "text",
    }
    search_help_text = _("An id, a destination, a transaction hash or the provider's id, exactly")
    fields = (
        "about",
        "amount_shown",
        "provider",
        "reference",
        "state",
        "score",
        "level",
        "outcome_label",
        "attempts",
        "last_error",
        "made",
        "asked",
        "answered",
        "signals_shown",
        "answer_shown",
    )
    amount_shown = money_column("amount", "currency", _("amount"))
    outcome_label = label_column("outcome", _("outcome"), OUTCOME_TONES)
    made = when_column("created_at", _("made"))
    asked = when_column("asked_at", _("asked"))
    answered = when_column("answered_at", _("answered"))
    signals_shown = raw_column("signals", _("signals"))
    answer_shown = raw_column("answer", _("provider's answer"))

    def get_queryset(self, request: HttpRequest) -> QuerySet[Screening]:
        return super().get_queryset(request).select_related("provider", "currency", "payin")

    @display(description=_("about"))
    def about(self, obj: Screening) -> SafeString:
        if obj.payin is not None:
            return page_link(obj.payin)
        return copyable(obj.destination, short(obj.destination))


def screening_facts(found: Screening | None) -> SafeString:
    """An analysis for another page."""
    if found is None:
        return format_html('<p class="k-empty">{}</p>', _("It was not analysed."))
    rows: list[tuple[Any, Any]] = [
        (_("Provider"), found.provider),
        (_("State"), found.get_state_display()),
        (_("Score"), EMPTY if found.score is None else found.score),
        (_("Level"), found.get_level_display() or EMPTY),
        (
            _("Outcome"),
            badge(found.get_outcome_display(), OUTCOME_TONES[found.outcome]) if found.outcome else EMPTY,
        ),
        (_("Signals"), raw(found.signals) or EMPTY),
        (_("Answered"), when(found.answered_at)),
        (_("Last error"), found.last_error or EMPTY),
    ]
    return table((_("What"), _("Value")), rows)
