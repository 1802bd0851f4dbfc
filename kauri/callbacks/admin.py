"""What payment systems sent, raw, and what became of it; "replay" after mending."""

from __future__ import annotations

from typing import ClassVar, Final

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _
from unfold.contrib.filters.admin import ChoicesDropdownFilter
from unfold.decorators import action, display
from unfold.forms import BaseDialogForm

from kauri.callbacks.models import InboundCallback
from kauri.callbacks.services import callback_replay
from kauri.common.admin import (
    ReadOnlyAdmin,
    actor_of,
    attempt,
    back_to,
    copyable,
    label_column,
    order_column,
    page_url,
    raw,
    table,
    when_column,
)
from kauri.common.scoped_admin import ExactTextFilter
from kauri.core.admin import PeriodFilter

STATE_TONES: Final[dict[str, str]] = {
    "stored": "info",
    "processed": "good",
    "duplicate": "",
    "ignored": "",
    "invalid": "warn",
    "failed": "bad",
}
#: Headers that prove who called: kept for the verification, not for the eye.
_SEALED: Final = ("authorization", "signature", "cookie", "token", "secret", "api-key", "apikey")


@admin.register(InboundCallback)
class InboundCallbackAdmin(ReadOnlyAdmin):
    list_display = ("received", "provider_code", "state_label", "outcome", "order", "attempts", "remote_addr")
    list_display_links = ("received", "provider_code")
    list_filter = (
        ("state", ChoicesDropdownFilter),
        ("provider_code", ExactTextFilter),
        ("received_at", PeriodFilter),
    )
    exact_search: ClassVar[dict[str, str]] = {"public_id": "uuid", "order_id": "uuid"}
    search_help_text = _("A callback's id or an order id, exactly")
    fieldsets = (
        (
            None,
            {
                "fields": (
                    "id_full",
                    "provider_code",
                    "state_label",
                    "outcome",
                    "order",
                    "attempts",
                    "reply_status",
                    "received",
                    "next_try",
                    "processed",
                )
            },
        ),
        (
            _("As it came"),
            {"fields": ("method", "path", "query", "remote_addr", "headers_shown", "body_shown")},
        ),
    )
    actions_detail = ("replay",)
    received = when_column("received_at", _("received"))
    processed = when_column("processed_at", _("processed"))
    next_try = when_column("next_attempt_at", _("next attempt"))
    state_label = label_column("state", _("state"), STATE_TONES)
    order = order_column()

    def get_queryset(self, request: HttpRequest) -> QuerySet[InboundCallback]:
        rows = super().get_queryset(request)
        match = request.resolver_match
        # A list of bodies would be megabytes: they are read on the page of one.
        return rows.defer("body", "headers") if match and match.url_name.endswith("changelist") else rows

    @display(description=_("callback id"))
    def id_full(self, obj: InboundCallback) -> SafeString:
        return copyable(obj.public_id)

    @display(description=_("headers"))
    def headers_shown(self, obj: InboundCallback) -> SafeString:
        return table(
            (_("Header"), _("Value")), ((name, _shown(name, value)) for name, value in obj.headers.items())
        )

    @display(description=_("body"))
    def body_shown(self, obj: InboundCallback) -> SafeString:
        return raw(bytes(obj.body).decode("utf-8", "backslashreplace"))

    def has_replay_permission(self, request: HttpRequest, object_id: object = None) -> bool:
        del object_id
        return request.user.has_perm("callbacks.replay_inboundcallback")

    @action(
        description=_("Replay"),
        icon="replay",
        permissions=["replay"],
        dialog={
            "title": _("Replay the callback"),
            "description": _(
                "It is read again as if it had just come. What already had its effect has no second one."
            ),
            "form_class": BaseDialogForm,
            "form_submit_text": _("Replay"),
        },
    )
    def replay(self, request: HttpRequest, form: BaseDialogForm, object_id: str) -> HttpResponse:
        del form
        callback = self.row_of(request, object_id)
        attempt(
            request,
            lambda: callback_replay(callback_id=callback.pk, actor=actor_of(request)),
            _("The callback is being read again."),
        )
        return back_to(request, page_url(callback))


def _shown(name: str, value: object) -> object:
    return "***" if any(word in name.lower() for word in _SEALED) else value
