"""Orders of every type, and the parts that their own pages share."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from decimal import Decimal
from typing import Any, ClassVar, Final

from django import forms
from django.contrib import admin
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _
from unfold.contrib.filters.admin import ChoicesDropdownFilter
from unfold.decorators import action, display
from unfold.forms import BaseDialogForm
from unfold.widgets import UnfoldAdminTextareaWidget

from kauri.balance.admin import transfers_table
from kauri.balance.selectors import order_transfers
from kauri.common.admin import (
    ReadOnlyAdmin,
    actor_of,
    age,
    attempt,
    back_to,
    badge,
    copyable,
    digits,
    label_column,
    money,
    order_link,
    page_link,
    page_url,
    raw,
    short,
    table,
    when,
    when_column,
)
from kauri.common.models import choice
from kauri.common.scoped_admin import RelatedDropdownFilter
from kauri.common.scopes import seen
from kauri.core.admin import PeriodFilter
from kauri.notification.admin import deliveries_table
from kauri.notification.models import Delivery
from kauri.order_core.models import Order, OrderNote, Transition
from kauri.order_core.services import note_add
from kauri.order_core.states import OrderStatus, OrderType
from kauri.payment_provider.models import Payin, Payout

STATUS_TONES: Final[dict[str, str]] = {
    OrderStatus.NEW: "info",
    OrderStatus.WAITING_FOR_CONFIRMATION: "info",
    OrderStatus.WAITING_FOR_OPERATOR_CONFIRMATION: "warn",
    OrderStatus.CONFIRMED_BY_OPERATOR: "info",
    OrderStatus.PAYMENT_IN_PROGRESS: "info",
    OrderStatus.CLOSED: "good",
    OrderStatus.BLOCKED: "bad",
    OrderStatus.ERROR: "bad",
    OrderStatus.CANCELLED_BY_OPERATOR: "bad",
}
_LIMITS: Final[dict[str, Any]] = {
    "required_level": _("Verification level"),
    "min_amount": _("Least amount"),
    "max_amount": _("Greatest amount"),
    "daily_amount": _("Amount a day"),
    "monthly_amount": _("Amount in 30 days"),
    "daily_count": _("Orders a day"),
    "totp_above": _("One-time code above"),
    "email_above": _("Code of a letter above"),
}
#: What is used up, and has a bar; of a least amount or a threshold a part says nothing.
_USED_UP: Final = frozenset({"max_amount", "daily_amount", "monthly_amount", "daily_count"})
_ROWS = 20


#: Order types with a page of their own: who may look at it, and its name.
_PAGES: Final[dict[str, tuple[str, str]]] = {
    OrderType.WITHDRAWAL: (
        "withdrawal_order.view_withdrawaldetail",
        "admin:withdrawal_order_withdrawaldetail_change",
    ),
    OrderType.INTERNAL_MOVEMENT: (
        "internal_movement_order.view_movementdetail",
        "admin:internal_movement_order_movementdetail_change",
    ),
}


def limit_rows(order: Order) -> list[dict[str, Any]]:
    """The limits as they were compared, each with its used part in percent for a bar."""
    rows = []
    for limit in order.explanation.get("limits", []):
        name = str(limit.get("limit", ""))
        value, bound = Decimal(str(limit.get("value", 0))), Decimal(str(limit.get("bound", 0)))
        share = min(100, int(value / bound * 100)) if name in _USED_UP and bound else None
        rows.append(
            {"title": _LIMITS.get(name, name), "value": digits(value), "bound": digits(bound), "share": share}
        )
    return rows


def status_badge(order: Order) -> SafeString:
    return badge(choice(order, "status"), STATUS_TONES.get(order.status, ""))


def orders_table(orders: Iterable[Order], empty: object = "") -> SafeString:
    return table(
        (_("Order"), _("Type"), _("Status"), _("Gives"), _("Gets"), _("Created")),
        (
            (
                order_link(order.public_id),
                choice(order, "type"),
                status_badge(order),
                money(order.amount_in, order.currency_in),
                money(order.amount_out, order.currency_out),
                when(order.created_at),
            )
            for order in orders
        ),
        empty or _("No other orders."),
    )


def moves_list(moves: Iterable[Transition]) -> SafeString:
    """The order's history: what it became, through whom, why."""
    items = format_html_join(
        "",
        "<li>{} <span>{}</span>{}<small>{} UTC · {}</small></li>",
        (
            (
                badge(choice(row, "to_status"), STATUS_TONES.get(row.to_status, "")),
                row.actor_label,
                format_html("<p>{}</p>", row.reason) if row.reason else "",
                f"{row.at:%Y-%m-%d %H:%M:%S}",
                age(row.at),
            )
            for row in moves
        ),
    )
    return format_html('<ol class="k-moves">{}</ol>', items)


def notes_list(notes: Iterable[OrderNote]) -> SafeString:
    items = format_html_join(
        "",
        "<li><p>{}</p><small>{} · {}</small></li>",
        ((note.text, note.actor_label, age(note.at)) for note in notes),
    )
    if not items:
        return format_html('<p class="k-empty">{}</p>', _("No notes yet."))
    return format_html('<ul class="k-notes">{}</ul>', items)


class NoteForm(BaseDialogForm):
    text = forms.CharField(
        label=_("Note"),
        max_length=2000,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 4, "autofocus": True}),
        help_text=_("For the other operators; the customer never sees it."),
    )


@admin.register(Order)
class OrderAdmin(ReadOnlyAdmin):
    """Every order; a withdrawal leads on to its own page."""

    list_display = (
        "id_short",
        "type_name",
        "status_label",
        "owner_link",
        "gives",
        "gets",
        "created",
        "source",
    )
    list_display_links = ("id_short",)
    list_select_related = ("owner", "currency_in", "currency_out")
    list_filter = (
        ("type", ChoicesDropdownFilter),
        ("status", ChoicesDropdownFilter),
        ("currency_in", RelatedDropdownFilter),
        ("currency_out", RelatedDropdownFilter),
        ("source", ChoicesDropdownFilter),
        ("created_at", PeriodFilter),
    )
    exact_search: ClassVar[dict[str, str]] = {
        "public_id": "uuid",
        "external_id": "text",
        "owner__email": "lower",
        "withdrawal__destination": "text",
        "withdrawal__parts__payout__provider_reference": "text",
        "deposit__payin__transaction": "text",
        "deposit__payin__address": "text",
    }
    search_help_text = _("An order id, the client's id, an e-mail, an address or a transaction hash, exactly")
    fieldsets = (
        (
            _("Order"),
            {
                "fields": (
                    "id_full",
                    "type_name",
                    "status_label",
                    "owner_link",
                    "gives",
                    "gets",
                    "fee_shown",
                    "external_id",
                    "callback_url",
                    "comment",
                    "source",
                    "ip",
                    "user_agent",
                    "created",
                    "finished",
                )
            },
        ),
        (_("Notes"), {"fields": ("notes_shown",)}),
        (_("At the provider"), {"fields": ("provider_side",)}),
        (_("Ledger"), {"fields": ("transfers",)}),
        (_("Webhooks and messages"), {"fields": ("deliveries",)}),
        (_("History"), {"fields": ("moves",)}),
        (_("Rules looked at"), {"fields": ("explanation_shown",)}),
    )
    actions_detail = ("note",)
    created = when_column("created_at", _("created"))
    finished = when_column("finished_at", _("finished"))
    type_name = label_column("type", _("type"), {})
    status_label = label_column("status", _("status"), STATUS_TONES)

    @display(description=_("order"), ordering="id")
    def id_short(self, obj: Order) -> SafeString:
        return format_html('<span class="k-mono" title="{}">{}</span>', obj.public_id, short(obj.public_id))

    @display(description=_("order id"))
    def id_full(self, obj: Order) -> SafeString:
        return copyable(obj.public_id)

    @display(description=_("customer"), ordering="owner")
    def owner_link(self, obj: Order) -> SafeString:
        return page_link(obj.owner)

    @display(description=_("gives"), ordering="amount_in")
    def gives(self, obj: Order) -> SafeString:
        return money(obj.amount_in, obj.currency_in)

    @display(description=_("gets"), ordering="amount_out")
    def gets(self, obj: Order) -> SafeString:
        return money(obj.amount_out, obj.currency_out)

    @display(description=_("fee"))
    def fee_shown(self, obj: Order) -> SafeString:
        return money(obj.fee, obj.fee_currency)

    @display(description=_("notes"))
    def notes_shown(self, obj: Order) -> SafeString:
        return notes_list(obj.notes.order_by("-id"))

    @display(description=_("payins and payouts"))
    def provider_side(self, obj: Order) -> SafeString:
        ins = seen(Payin.objects.filter(order_id=obj.public_id), obj).select_related("currency", "provider")
        outs = seen(Payout.objects.filter(order_id=obj.public_id), obj).select_related("currency", "provider")
        rows = [
            (page_link(row), row.provider, money(row.amount, row.currency), row.get_state_display())
            for row in ins
        ]
        rows += [
            (page_link(row), row.provider, money(row.amount, row.currency), row.get_state_display())
            for row in outs
        ]
        return table((_("Transaction"), _("Provider"), _("Amount"), _("State")), rows)

    @display(description=_("transfers"))
    def transfers(self, obj: Order) -> SafeString:
        return transfers_table(order_transfers(obj.public_id))

    @display(description=_("deliveries"))
    def deliveries(self, obj: Order) -> SafeString:
        return deliveries_table(
            seen(Delivery.objects.filter(subject_type="order", subject_id=obj.public_id), obj).order_by(
                "-id"
            )[:_ROWS]
        )

    @display(description=_("order moves"))
    def moves(self, obj: Order) -> SafeString:
        return moves_list(obj.transitions.order_by("id"))

    @display(description=_("rules looked at"))
    def explanation_shown(self, obj: Order) -> SafeString:
        return raw(obj.explanation)

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        order = self.get_object(request, object_id)
        page = None if order is None else _PAGES.get(order.type)
        if page is not None and request.user.has_perm(page[0]):
            return HttpResponseRedirect(reverse(page[1], args=(order.public_id,)))
        return super().change_view(request, object_id, form_url, extra_context)

    def has_note_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        found = None if object_id is None else self.get_object(request, str(object_id))
        return found is not None and request.user.has_perm("order_core.note_order")

    @action(
        description=_("Add a note"),
        icon="edit_note",
        permissions=["note"],
        dialog={"title": _("Add a note"), "form_class": NoteForm, "form_submit_text": _("Keep the note")},
    )
    def note(self, request: HttpRequest, form: NoteForm, object_id: str) -> HttpResponse:
        order = self.row_of(request, object_id)
        attempt(
            request,
            lambda: note_add(
                order_id=order.public_id, text=form.cleaned_data["text"], actor=actor_of(request)
            ),
            _("The note is kept."),
        )
        return back_to(request, page_url(order))


def withdrawal_url(public_id: uuid.UUID) -> str:
    return reverse("admin:withdrawal_order_withdrawaldetail_change", args=(public_id,))
