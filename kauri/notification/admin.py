"""What left the house: each message with its attempts, and "send again"."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar, Final

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext
from unfold.admin import TabularInline
from unfold.contrib.filters.admin import ChoicesDropdownFilter
from unfold.decorators import action, display
from unfold.forms import BaseDialogForm

from kauri.common.admin import (
    ReadOnlyAdmin,
    actor_of,
    attempt,
    back_to,
    badge,
    copyable,
    label_column,
    order_link,
    page_link,
    page_url,
    raw,
    refusal,
    table,
    when,
    when_column,
)
from kauri.common.errors import KauriError
from kauri.common.models import choice
from kauri.core.admin import PeriodFilter
from kauri.notification.models import Delivery, DeliveryAttempt
from kauri.notification.services import delivery_redeliver

DELIVERY_TONES: Final[dict[str, str]] = {"waiting": "info", "delivered": "good", "gone": "", "dead": "bad"}


def deliveries_table(deliveries: Iterable[Delivery]) -> SafeString:
    return table(
        (_("Channel"), _("To"), _("State"), _("Attempts"), _("Created")),
        (
            (
                page_link(row, choice(row, "channel")),
                format_html('<span class="k-mono k-wrap">{}</span>', row.target),
                badge(choice(row, "state"), DELIVERY_TONES.get(row.state, "")),
                row.attempts,
                when(row.created_at),
            )
            for row in deliveries
        ),
        _("Nothing has been sent about this yet."),
    )


class AttemptInline(TabularInline):
    model = DeliveryAttempt
    fields = readonly_fields = ("seen", "status", "latency_ms", "answer", "error")
    extra = 0
    can_delete = False
    show_title = False
    ordering = ("-id",)
    seen = when_column("at", _("when"))

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        del request, obj
        return False


@admin.register(Delivery)
class DeliveryAdmin(ReadOnlyAdmin):
    list_display = ("created", "channel", "to", "owner", "title", "state_label", "attempts", "next_try")
    list_display_links = ("created", "channel")
    list_select_related = ("owner",)
    list_filter = (
        ("state", ChoicesDropdownFilter),
        ("channel", ChoicesDropdownFilter),
        ("created_at", PeriodFilter),
    )
    exact_search: ClassVar[dict[str, str]] = {
        "subject_id": "uuid",
        "public_id": "uuid",
        "owner__email": "lower",
    }
    search_help_text = _("An order id, a message id or a customer's e-mail, exactly")
    inlines = (AttemptInline,)
    fieldsets = (
        (
            None,
            {
                "fields": (
                    "id_full",
                    "channel",
                    "to",
                    "owner",
                    "about",
                    "title",
                    "state_label",
                    "attempts",
                    "created",
                    "next_try",
                    "finished",
                )
            },
        ),
        (_("Body as sent"), {"fields": ("body_shown",)}),
    )
    actions = ("send_again_selected",)
    actions_detail = ("send_again",)
    created = when_column("created_at", _("created"))
    next_try = when_column("next_attempt_at", _("next attempt"))
    finished = when_column("finished_at", _("finished"))
    state_label = label_column("state", _("state"), DELIVERY_TONES)

    @display(description=_("to"))
    def to(self, obj: Delivery) -> SafeString:
        return format_html('<span class="k-mono k-wrap">{}</span>', obj.target)

    @display(description=_("message id"))
    def id_full(self, obj: Delivery) -> SafeString:
        return copyable(obj.public_id)

    @display(description=_("about"))
    def about(self, obj: Delivery) -> SafeString:
        if obj.subject_type == "order":
            return order_link(obj.subject_id)
        return format_html("{} {}", obj.subject_type, obj.subject_id or "")

    @display(description=_("body"))
    def body_shown(self, obj: Delivery) -> SafeString:
        return raw(obj.body if obj.channel == Delivery.Channel.WEBHOOK else "")

    def has_redeliver_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        del object_id
        return request.user.has_perm("notification.redeliver_delivery")

    @action(
        description=_("Send again"),
        icon="send",
        permissions=["redeliver"],
        dialog={
            "title": _("Send again"),
            "description": _("The same body goes to the same receiver once more, with the same id."),
            "form_class": BaseDialogForm,
            "form_submit_text": _("Send again"),
        },
    )
    def send_again(self, request: HttpRequest, form: BaseDialogForm, object_id: str) -> HttpResponse:
        del form
        delivery = self.row_of(request, object_id)
        attempt(
            request,
            lambda: delivery_redeliver(delivery_id=delivery.pk, actor=actor_of(request)),
            _("It is on its way again."),
        )
        return back_to(request, page_url(delivery))

    @admin.action(description=_("Send the selected again"), permissions=["redeliver"])
    def send_again_selected(self, request: HttpRequest, queryset: QuerySet[Delivery]) -> None:
        done = 0
        for key in queryset.values_list("pk", flat=True):
            try:
                delivery_redeliver(delivery_id=key, actor=actor_of(request))
            except KauriError as error:
                messages.error(request, f"#{key}: {refusal(error)}")
            else:
                done += 1
        if done:
            said = ngettext(
                "%(count)s message is on its way again.", "%(count)s messages are on their way again.", done
            )
            messages.success(request, said % {"count": done})
