"""Kill switches: what each stops, off by one person, on again by two."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.decorators import action, display
from unfold.enums import ActionVariant
from unfold.widgets import UnfoldAdminTextInputWidget

from kauri.common.admin import (
    EMPTY,
    ReadOnlyAdmin,
    ReasonForm,
    actor_of,
    attempt,
    back_to,
    badge,
    page_url,
    table,
    when_column,
)
from kauri.core import switches
from kauri.core.models import Switch
from kauri.core.proposals import open_for


def title_of(row: Switch) -> str:
    """A switch's title in the reader's language; those of currencies and providers are names."""
    return gettext(row.title)


class OffForm(ReasonForm):
    """Why, and perhaps until when."""

    expires_at = forms.DateTimeField(
        label=_("On again by itself at (UTC)"),
        required=False,
        help_text=_("Empty: it stays off until two people switch it on."),
        widget=UnfoldAdminTextInputWidget(attrs={"type": "datetime-local", "step": "1"}),
    )

    def moment(self) -> datetime | None:
        given: datetime | None = self.cleaned_data["expires_at"]
        return None if given is None else given.replace(tzinfo=UTC)


@admin.register(Switch)
class SwitchAdmin(ReadOnlyAdmin):
    is_small = True
    list_display = ("named", "code", "switched", "reason", "off_by", "since", "until")
    list_display_links = ("named",)
    fieldsets = (
        (None, {"fields": ("named", "code", "switched", "reason", "off_by", "since", "until", "waiting")}),
        (_("What it stops"), {"fields": ("stops",)}),
    )
    actions_detail = ("stop", "start")
    public_lookup = "pk"
    since = when_column("off_at", _("switched off"))
    until = when_column("expires_at", _("switches itself on"))

    @display(description=_("title"))
    def named(self, obj: Switch) -> str:
        return title_of(obj)

    @display(description=_("switched on"), ordering="is_on")
    def switched(self, obj: Switch) -> SafeString:
        return badge(_("on"), "good") if obj.is_on else badge(_("off"), "bad")

    @display(description=_("waits for a second person"))
    def waiting(self, obj: Switch) -> Any:
        found = open_for(switches.TARGET, str(obj.pk))
        return EMPTY if found is None else found

    @display(description=_("now"))
    def stops(self, obj: Switch) -> SafeString:
        """The blast radius, before anybody presses anything."""
        return table((_("What"), _("How much")), switches.blast_radius(obj.code), _("Nothing is under way."))

    def has_stop_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        return request.user.has_perm(switches.STOP) and self._stands(object_id, is_on=True)

    def has_start_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        return request.user.has_perm(switches.STOP) and self._stands(object_id, is_on=False)

    def _stands(self, object_id: Any, *, is_on: bool) -> bool:
        return str(object_id).isdecimal() and Switch.objects.filter(pk=object_id, is_on=is_on).exists()

    @action(
        description=_("Switch off"),
        icon="power_settings_new",
        variant=ActionVariant.DANGER,
        permissions=["stop"],
        dialog={
            "title": _("Switch off, now"),
            "description": _("New requests are refused at once. What is under way goes on to its end."),
            "form_class": OffForm,
            "form_submit_text": _("Switch off"),
        },
    )
    def stop(self, request: HttpRequest, form: OffForm, object_id: str) -> HttpResponse:
        row = Switch.objects.get(pk=object_id)
        attempt(
            request,
            lambda: switches.switch_off(
                code=row.code,
                reason=form.cleaned_data["reason"],
                expires_at=form.moment(),
                actor=actor_of(request),
            ),
            _("%(what)s is off.") % {"what": title_of(row)},
        )
        return back_to(request, page_url(row))

    @action(
        description=_("Switch on"),
        icon="play_arrow",
        variant=ActionVariant.SUCCESS,
        permissions=["start"],
        dialog={
            "title": _("Switch on again"),
            "description": _("A proposal: a second person has to approve it."),
            "form_class": ReasonForm,
            "form_submit_text": _("Propose to switch on"),
        },
    )
    def start(self, request: HttpRequest, form: ReasonForm, object_id: str) -> HttpResponse:
        row = Switch.objects.get(pk=object_id)
        attempt(
            request,
            lambda: switches.switch_on_propose(
                code=row.code, reason=form.cleaned_data["reason"], actor=actor_of(request)
            ),
            _("Proposed. It stays off until a second person approves."),
        )
        return back_to(request, page_url(row))
