"""Payments that hang: the queue, the facts on one page, and closing them by hand with two people."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any, ClassVar, Final

from django import forms
from django.contrib import admin
from django.contrib.admin import SimpleListFilter
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _
from unfold.contrib.filters.admin import ChoicesDropdownFilter
from unfold.decorators import action, display
from unfold.forms import BaseDialogForm
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget, UnfoldBooleanSwitchWidget

from kauri.common import clock
from kauri.common.actor import Actor
from kauri.common.admin import (
    EMPTY,
    actor_of,
    attempt,
    back_to,
    badge,
    label_column,
    link,
    list_url,
    money,
    order_column,
    order_link,
    page_link,
    page_url,
    short,
    table,
    when,
    when_column,
)
from kauri.common.scoped_admin import RelatedDropdownFilter
from kauri.common.two_people import ProposalForm, TwoPeopleAdmin
from kauri.core.admin import audit_table
from kauri.payment_provider.admin import SendingAdmin
from kauri.payment_provider.models import Payout
from kauri.payment_provider.services import payout_ask
from kauri.withdrawal_order import closing
from kauri.withdrawal_order.models import Closing, HangingPayout
from kauri.withdrawal_order.selectors import hanging

_TONES: Final = {"pending": "warn", "done": "good", "rejected": "bad", "withdrawn": ""}
_ROWS: Final = 10


class QueueFilter(SimpleListFilter):
    """What waits for people, and what they ended."""

    title = _("queue")
    parameter_name = "queue"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        del request, model_admin
        return [
            ("waiting", _("Waits for people")),
            ("proposed", _("Waits for a second person")),
            ("done", _("Closed by hand")),
        ]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        del request
        if self.value() == "waiting":
            return queryset.filter(hanging(clock.now()))
        by_order = {"proposed": Closing.State.PENDING, "done": Closing.State.DONE}
        state = by_order.get(self.value() or "")
        if state is not None:
            closings = Closing.objects.filter(state=state)
            return queryset.filter(order_id__in=closings.values("order__public_id"))
        return queryset


@admin.register(HangingPayout)
class HangingPayoutAdmin(SendingAdmin):
    """What we asked, what the provider says, and what people decided."""

    list_display = ("since", "amount_shown", "state_label", "provider", "to", "attempts", "error")
    list_display_links = ("since", "amount_shown")
    list_select_related = ("provider", "currency")
    list_filter = (
        QueueFilter,
        ("currency", RelatedDropdownFilter),
        ("provider", RelatedDropdownFilter),
    )
    exact_search: ClassVar[dict[str, str]] = {
        "provider_reference": "text",
        "destination": "text",
        "order_id": "uuid",
        "public_id": "uuid",
    }
    search_help_text = _("The provider's id or hash, a destination or an order id, exactly")
    fieldsets = (
        (
            _("What we asked for"),
            {"fields": ("amount_shown", "state_label", "provider", "destination_full", "order", "customer")},
        ),
        (
            _("What is known"),
            {
                "fields": (
                    "reference_full",
                    "confirmations",
                    "error",
                    "answer_shown",
                    "unknown",
                    "created",
                    "sent",
                    "attempts",
                    "next_try",
                    "provider_health",
                )
            },
        ),
        (_("Decision"), {"fields": ("close_by_hand", "closings_shown")}),
        (_("On record"), {"fields": ("payout_page", "audited")}),
    )
    actions_detail = ("ask_again",)
    order = order_column()
    since = when_column("created_at", _("since"))
    unknown = when_column("unknown_since", _("unknown since"))

    def get_queryset(self, request: HttpRequest) -> QuerySet[HangingPayout]:
        rows = super().get_queryset(request).select_related("provider", "currency")
        closed = Closing.objects.exclude(state=Closing.State.WITHDRAWN).values("order__public_id")
        every = HangingPayout.objects.order_by()
        # Each half by its own index, then united: one condition of both would read every payout.
        halves = (
            every.filter(hanging(clock.now())).values("pk"),
            every.filter(order_id__in=closed).values("pk"),
        )
        return rows.filter(pk__in=halves[0].union(halves[1]))

    @display(description=_("customer"))
    def customer(self, obj: Payout) -> SafeString:
        part = getattr(obj, "part", None)
        return EMPTY if part is None else page_link(part.detail.order.owner)

    @display(description=_("last error"))
    def error(self, obj: Payout) -> SafeString:
        # Words, not a badge: they are long, and a badge would be cut.
        return (
            format_html('<span class="k-bad-text k-wrap">{}</span>', obj.last_error)
            if obj.last_error
            else EMPTY
        )

    @display(description=_("the provider's health"))
    def provider_health(self, obj: Payout) -> SafeString:
        tone = {"ok": "good", "bad": "bad"}.get(obj.provider.health, "")
        return format_html(
            "{} {}", badge(obj.provider.get_health_display(), tone), obj.provider.health_detail
        )

    @display(description=_("close it by hand"))
    def close_by_hand(self, obj: Payout) -> SafeString:
        if obj.state not in Payout.OPEN_STATES:
            return format_html("<p>{}</p>", _("It has ended: there is nothing to close."))
        if _closings(obj).filter(state=Closing.State.PENDING).exists():
            return format_html("<p>{}</p>", _("A closing waits for a second person: see below."))
        url = reverse("admin:withdrawal_order_closing_add")
        return link(f"{url}?payout={obj.public_id}", _("Say how it ended, with a paper"))

    @display(description=_("closings"))
    def closings_shown(self, obj: Payout) -> SafeString:
        return table(
            (_("What"), _("State"), _("Proposed"), _("Why"), _("Decided"), _("Words of the decision")),
            (
                (
                    link(page_url(row), row.get_outcome_display()),
                    badge(row.get_state_display(), _TONES[row.state]),
                    format_html("{}{}", row.proposed_by, when(row.proposed_at)),
                    row.reason,
                    format_html("{}{}", row.decided_by, when(row.decided_at)) if row.decided_at else EMPTY,
                    row.decision_reason or EMPTY,
                )
                for row in _closings(obj)
            ),
            _("Nothing was proposed yet."),
        )

    @display(description=_("payout"))
    def payout_page(self, obj: Payout) -> SafeString:
        return link(
            reverse("admin:payment_provider_payout_change", args=(obj.public_id,)), short(obj.public_id)
        )

    @display(description=_("audit"))
    def audited(self, obj: Payout) -> SafeString:
        return audit_table(("order", obj.order_id), ("payout", obj.public_id))

    def has_ask_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        if not request.user.has_perm("payment_provider.ask_payout") or object_id is None:
            return False
        row = self.get_object(request, str(object_id))
        return row is not None and row.state in Payout.OPEN_STATES

    @action(
        description=_("Ask the provider now"),
        icon="refresh",
        permissions=["ask"],
        dialog={
            "title": _("Ask the provider now"),
            "description": _("Nothing is sent again that may have been paid: it is looked up."),
            "form_class": BaseDialogForm,
            "form_submit_text": _("Ask"),
        },
    )
    def ask_again(self, request: HttpRequest, form: BaseDialogForm, object_id: str) -> HttpResponse:
        del form
        row = self.row_of(request, object_id)
        attempt(
            request,
            lambda: payout_ask(payout_id=row.public_id, actor=actor_of(request)),
            _("It is asked within seconds."),
        )
        return back_to(request, page_url(row))


class ClosingForm(ProposalForm):
    """How a payout ended: which, what happened, and its name at the provider."""

    payout = forms.UUIDField(
        label=_("Payout"),
        widget=UnfoldAdminTextInputWidget(attrs={"autocomplete": "off"}),
        help_text=_("Its id, as the page of the payment that hangs gives it."),
    )
    outcome = forms.ChoiceField(
        label=_("What happened"), choices=Closing.Outcome.choices, widget=UnfoldAdminSelectWidget
    )
    reference = forms.CharField(
        label=_("Provider's id"),
        required=False,
        max_length=128,
        widget=UnfoldAdminTextInputWidget(attrs={"autocomplete": "off"}),
        help_text=_("Of what was paid. Nothing else has one."),
    )
    whole_order = forms.BooleanField(
        label=_("Every open payout of the order"), required=False, widget=UnfoldBooleanSwitchWidget
    )

    class Meta:
        model = Closing
        fields: ClassVar[list[str]] = []


def _propose(form: Any, actor: Actor) -> Closing:
    given = form.cleaned_data
    return closing.closing_propose(
        payout_id=uuid.UUID(str(given["payout"])),
        outcome=Closing.Outcome(given["outcome"]),
        reference=given["reference"],
        whole_order=given["whole_order"],
        reason=given["reason"],
        document=form.paper(),
        actor=actor,
    )


@admin.register(Closing)
class ClosingAdmin(TwoPeopleAdmin):
    list_display = (
        "number",
        "outcome_label",
        "amount",
        "state_label",
        "proposed_by",
        "proposed",
        "decided_by",
    )
    list_display_links = ("number", "outcome_label")
    list_select_related = ("order__currency_out", "payout__currency")
    list_filter = (("state", ChoicesDropdownFilter), ("outcome", ChoicesDropdownFilter))
    exact_search: ClassVar[dict[str, str]] = {
        "public_id": "uuid",
        "order__public_id": "uuid",
        "payout__public_id": "uuid",
        "reference": "text",
        "proposed_by": "lower",
    }
    search_help_text = _("A closing's, order's or payout's id, the provider's id or an e-mail, exactly")
    fieldsets = (
        (
            None,
            {
                "fields": (
                    "outcome_label",
                    "amount",
                    "the_order",
                    "the_payout",
                    "reference",
                    "reason",
                    "document_link",
                    "checksum",
                )
            },
        ),
        (_("Proposed"), {"fields": ("proposed_by", "proposed")}),
        (_("Decision"), {"fields": ("state_label", "decided_by", "decided", "decision_reason")}),
    )
    propose_permission = closing.PROPOSE
    decide_permission = closing.DECIDE
    services: ClassVar[dict[str, Callable[..., Any]]] = {
        "propose": _propose,
        "document": closing.document_of,
        "approve": lambda row_id, **given: closing.closing_approve(closing_id=row_id, **given),
        "reject": lambda row_id, **given: closing.closing_reject(closing_id=row_id, **given),
        "withdraw": lambda row_id, **given: closing.closing_withdraw(closing_id=row_id, **given),
    }
    proposal_form = ClosingForm
    proposal_fieldsets = (
        (_("Which"), {"fields": ("payout", "whole_order")}),
        (_("How it ended"), {"fields": ("outcome", "reference")}),
        (_("Why"), {"fields": ("reason", "document")}),
    )
    outcome_label = label_column("outcome", _("what happened"), {"paid": "good", "not_paid": "bad"})
    state_label = label_column("state", _("state"), _TONES)

    @display(description=_("amount"))
    def amount(self, obj: Closing) -> SafeString:
        if obj.payout is not None:
            return money(obj.payout.amount, obj.payout.currency)
        return money(obj.order.amount_out, obj.order.currency_out)

    @display(description=_("order"))
    def the_order(self, obj: Closing) -> SafeString:
        return order_link(obj.order.public_id)

    @display(description=_("payment that hangs"))
    def the_payout(self, obj: Closing) -> SafeString:
        if obj.payout is None:
            url = list_url(HangingPayout, q=obj.order.public_id)
            return link(url, _("every open payout of the order"))
        url = reverse("admin:withdrawal_order_hangingpayout_change", args=(obj.payout.public_id,))
        return link(url, short(obj.payout.public_id))


def _closings(payout: Payout) -> QuerySet[Closing]:
    """Closings of the payout's order: its own, and those of every open payout."""
    of_order = Closing.objects.filter(order__public_id=payout.for_order)
    return of_order.filter(Q(payout=payout.pk) | Q(payout__isnull=True)).order_by("-id")
