"""Closed months: close the next one, take its signed trial balance."""

from __future__ import annotations

import hashlib
import re
from datetime import date
from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import URLPattern, path, reverse
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _
from unfold.decorators import action, display
from unfold.enums import ActionVariant
from unfold.forms import BaseDialogForm
from unfold.widgets import UnfoldAdminTextInputWidget

from kauri.balance import packs
from kauri.balance.models import LedgerDay, Period, TrialBalancePack
from kauri.balance.services import period_close
from kauri.common.admin import (
    EMPTY,
    ReadOnlyAdmin,
    actor_of,
    attempt,
    back_to,
    copyable,
    link,
    list_url,
    when_column,
)
from kauri.core.audit import audit


class CloseForm(BaseDialogForm):
    """Which month."""

    month = forms.RegexField(
        label=_("Month (UTC)"),
        regex=re.compile(r"[0-9]{4}-(0[1-9]|1[0-2])"),
        help_text=_("For example 2026-10. Months are closed one after the other, each once it is over."),
        widget=UnfoldAdminTextInputWidget(attrs={"type": "month", "autofocus": True}),
    )


@admin.register(Period)
class PeriodAdmin(ReadOnlyAdmin):
    list_display = ("month", "closed", "author", "pack_link")
    list_display_links = ("month",)
    fieldsets = (
        (None, {"fields": ("month", "begins", "ends", "closed", "author")}),
        (_("Signed trial balance"), {"fields": ("pack_link", "checksum", "key")}),
    )
    actions_list = ("close",)
    public_lookup = "pk"
    begins = when_column("starts_at", _("from"))
    ends = when_column("ends_at", _("until"))
    closed = when_column("closed_at", _("closed"))

    def get_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        return [
            path("<int:period_id>/pack/", wrap(self.download), name="balance_period_pack"),
            *super().get_urls(),
        ]

    @display(description=_("month"), ordering="ends_at")
    def month(self, obj: Period) -> str:
        return str(obj)

    @display(description=_("author"))
    def author(self, obj: Period) -> str:
        return obj.actor.split(":", 2)[-1]

    @display(description=_("trial balance"))
    def pack_link(self, obj: Period) -> SafeString:
        return link(reverse("admin:balance_period_pack", args=(obj.pk,)), _("Download"))

    @display(description="SHA-256")
    def checksum(self, obj: Period) -> SafeString:
        pack = TrialBalancePack.objects.filter(period=obj).first()
        return EMPTY if pack is None else copyable(hashlib.sha256(pack.body.encode()).hexdigest())

    @display(description=_("public key (Ed25519)"))
    def key(self, obj: Period) -> SafeString:
        pack = TrialBalancePack.objects.filter(period=obj).first()
        return EMPTY if pack is None else copyable(bytes(pack.public_key).hex())

    def has_close_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("balance.close_period")

    @action(
        description=_("Close a month"),
        icon="event_available",
        variant=ActionVariant.PRIMARY,
        permissions=["close"],
        dialog={
            "title": _("Close a month"),
            "description": _(
                "For ever: no entry is dated in it again. Later corrections are dated then, and name it."
            ),
            "form_class": CloseForm,
            "form_submit_text": _("Close the month"),
        },
    )
    def close(self, request: HttpRequest, form: CloseForm) -> HttpResponse:
        month = date.fromisoformat(f"{form.cleaned_data['month']}-01")
        attempt(
            request,
            lambda: period_close(month=month, actor=actor_of(request)),
            _("The month is closed and its trial balance signed."),
        )
        return back_to(request, list_url(Period))

    def download(self, request: HttpRequest, period_id: int) -> HttpResponse:
        """The pack: JSON, CSV, signature, public key. Every download is on record."""
        if not request.user.has_perm("balance.view_trialbalancepack"):
            raise PermissionDenied
        pack = TrialBalancePack.objects.select_related("period").filter(period_id=period_id).first()
        if pack is None:
            raise Http404
        audit(
            actor_of(request),
            "pack_download",
            object_type="period",
            object_id=period_id,
            label=str(pack.period),
        )
        response = HttpResponse(packs.archive(pack), content_type="application/zip")
        response["Content-Disposition"] = f'attachment; filename="trial-balance-{pack.period}.zip"'
        return response


@admin.register(LedgerDay)
class LedgerDayAdmin(ReadOnlyAdmin):
    list_display = ("day", "transfers", "entries", "digest_shown", "closed")
    fields = ("day", "transfers", "entries", "digest_shown", "closed")
    public_lookup = "pk"
    closed = when_column("closed_at", _("closed"))

    @display(description=_("digest, chained"))
    def digest_shown(self, obj: Any) -> SafeString:
        text = bytes(obj.digest).hex()
        return copyable(text, f"{text[:16]}…")
