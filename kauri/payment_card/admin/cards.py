"""Customers' cards: whose, how they stand, who else has the same; never their numbers."""

from __future__ import annotations

from typing import Any, ClassVar

from django.contrib import admin, messages
from django.contrib.admin import SimpleListFilter
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _
from unfold.contrib.filters.admin import ChoicesDropdownFilter
from unfold.decorators import action, display
from unfold.enums import ActionVariant

from kauri.common import clock
from kauri.common.admin import (
    EMPTY,
    ReadOnlyAdmin,
    ReasonForm,
    actor_of,
    attempt,
    back_to,
    badge,
    copyable,
    list_url,
    page_link,
    page_url,
    refusal,
    table,
    when,
    when_column,
)
from kauri.common.errors import KauriError
from kauri.common.scopes import seen
from kauri.core.admin import PeriodFilter, audit_table
from kauri.payment_card import bans, services
from kauri.payment_card.admin.parts import FindForm, cards_table, state_badge
from kauri.payment_card.models import CardBan, PaymentCard
from kauri.payment_card.numbers import has_number
from kauri.payment_card.selectors import bans_of, with_bans

_ROWS = 20


class StandingFilter(SimpleListFilter):
    """By what keeps a card from being paid to."""

    title = _("state")
    parameter_name = "standing"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        del request, model_admin
        return [
            ("works", _("Paid to")),
            ("off", _("Switched off by the customer")),
            ("stopped", _("Stopped by an operator")),
            ("banned", _("Banned")),
            ("removed", _("Removed")),
        ]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        del request
        now = clock.now()
        good = (
            Q(expiry_year__isnull=True)
            | Q(expiry_year__gt=now.year)
            | Q(expiry_year=now.year, expiry_month__gte=now.month)
        )
        there = queryset.filter(removed_at__isnull=True)
        kinds = {
            "works": there.filter(good, is_enabled=True, stopped_at__isnull=True, is_banned=False),
            "off": there.filter(is_enabled=False),
            "stopped": there.filter(stopped_at__isnull=False),
            "banned": there.filter(is_banned=True),
            "removed": queryset.filter(removed_at__isnull=False),
        }
        return kinds.get(self.value() or "", queryset)


@admin.register(PaymentCard)
class PaymentCardAdmin(ReadOnlyAdmin):
    list_display = ("card", "scheme", "owner_name", "customer_shown", "state", "expires", "added")
    list_display_links = ("card",)
    list_select_related = ("customer",)
    list_filter = (
        StandingFilter,
        ("scheme", ChoicesDropdownFilter),
        ("created_at", PeriodFilter),
    )
    exact_search: ClassVar[dict[str, str]] = {
        "last4": "text",
        "token": "text",
        "customer__email": "lower",
    }
    search_help_text = _("The last four digits, a token or a customer's e-mail, exactly")
    public_lookup = "pk"
    fieldsets = (
        (
            _("Card"),
            {
                "fields": (
                    ("card", "state"),
                    ("scheme", "expires"),
                    ("owner_name", "customer_shown"),
                    "token_shown",
                )
            },
        ),
        (
            _("Switches"),
            {"fields": (("customers_switch", "stopped"), ("stopped_by_shown", "stop_reason_shown"))},
        ),
        (_("Bans of this number"), {"fields": ("bans_shown",)}),
        (_("The same number with others"), {"fields": ("others",)}),
        (_("On record"), {"fields": (("added", "removed"), "audited")}),
    )
    actions_list = ("find",)
    actions_detail = ("stop", "release", "ban")
    added = when_column("created_at", _("added"))
    removed = when_column("removed_at", _("removed"))
    stopped = when_column("stopped_at", _("stopped"))

    def get_queryset(self, request: HttpRequest) -> QuerySet[PaymentCard]:
        return with_bans(super().get_queryset(request))

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """A whole number has no business in an address, which logs and histories keep."""
        if has_number(request.GET.get("q", "")):
            messages.warning(request, _("A whole number is looked up with “Find a number”, not here."))
            return HttpResponseRedirect(list_url(PaymentCard))
        return super().changelist_view(request, extra_context)

    @display(description=_("card"))
    def card(self, obj: PaymentCard) -> str:
        return obj.mask

    @display(description=_("state"))
    def state(self, obj: PaymentCard) -> SafeString:
        return state_badge(obj)

    @display(description=_("customer"))
    def customer_shown(self, obj: PaymentCard) -> SafeString:
        return page_link(obj.customer)

    @display(description=_("good until"))
    def expires(self, obj: PaymentCard) -> str | SafeString:
        return obj.expiry or EMPTY

    @display(description=_("token"))
    def token_shown(self, obj: PaymentCard) -> SafeString:
        return copyable(obj.token)

    @display(description=_("the customer's switch"))
    def customers_switch(self, obj: PaymentCard) -> SafeString:
        return badge(_("on"), "good") if obj.is_enabled else badge(_("off"), "warn")

    @display(description=_("stopped by"))
    def stopped_by_shown(self, obj: PaymentCard) -> str | SafeString:
        return obj.stopped_by or EMPTY

    @display(description=_("why it was stopped"))
    def stop_reason_shown(self, obj: PaymentCard) -> str | SafeString:
        return obj.stop_reason or EMPTY

    @display(description=_("bans"))
    def bans_shown(self, obj: PaymentCard) -> SafeString:
        return table(
            (_("What"), _("Banned"), _("By"), _("Reason"), _("Lifted"), _("Why it was lifted")),
            (
                (
                    page_link(ban),
                    when(ban.banned_at),
                    ban.banned_by,
                    ban.reason,
                    when(ban.lifted_at),
                    ban.lift_reason or EMPTY,
                )
                for ban in bans_of(obj)[:_ROWS]
            ),
            _("It was never banned."),
        )

    @display(description=_("cards"))
    def others(self, obj: PaymentCard) -> SafeString:
        rows = PaymentCard.objects.filter(fingerprint=obj.fingerprint).exclude(pk=obj.pk).order_by("-id")
        return cards_table(seen(rows, obj)[:_ROWS], _("Nobody else has added this number."))

    @display(description=_("audit"))
    def audited(self, obj: PaymentCard) -> SafeString:
        return audit_table(("payment_card", obj.token))

    # Acts ------------------------------------------------------------------------------------

    def has_find_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm(bans.FIND)

    def has_stop_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        card = self._card(request, object_id)
        return card is not None and card.stopped_at is None and request.user.has_perm(services.STOP)

    def has_release_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        card = self._card(request, object_id)
        return card is not None and card.stopped_at is not None and request.user.has_perm(services.STOP)

    def has_ban_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        if not request.user.has_perm(bans.BAN):
            return False
        found = self.get_object(request, str(object_id))
        in_force = CardBan.objects.filter(lifted_at__isnull=True)
        return found is not None and not in_force.filter(fingerprint=found.fingerprint).exists()

    def _card(self, request: HttpRequest, object_id: Any) -> PaymentCard | None:
        """The card that this request's buttons are about, read once; a removed one has none."""
        known = request.__dict__.setdefault("_kauri_cards", {})
        if object_id not in known:
            known[object_id] = self.get_object(request, str(object_id))
        found = known[object_id]
        return found if found is not None and found.removed_at is None else None

    @action(
        description=_("Find a number"),
        icon="search",
        permissions=["find"],
        dialog={
            "title": _("Find a number"),
            "description": _("Whose cards have it. That you asked is on record, by the number's mask."),
            "form_class": FindForm,
            "form_submit_text": _("Find"),
        },
    )
    def find(self, request: HttpRequest, form: FindForm) -> HttpResponse:
        try:
            found = list(bans.cards_find(number=form.cleaned_data["number"], actor=actor_of(request))[:2])
        except KauriError as error:
            messages.error(request, refusal(error))
            return back_to(request, list_url(PaymentCard))
        if not found:
            messages.info(request, _("Nobody has added this number."))
            return back_to(request, list_url(PaymentCard))
        several = list_url(PaymentCard, fingerprint__exact=found[0].fingerprint)
        return back_to(request, page_url(found[0]) if len(found) == 1 else several)

    @action(
        description=_("Stop"),
        icon="block",
        variant=ActionVariant.DANGER,
        permissions=["stop"],
        dialog={
            "title": _("Stop this card"),
            "description": _("Nothing more is paid to it for this customer. They see that it is stopped."),
            "form_class": ReasonForm,
            "form_submit_text": _("Stop"),
        },
    )
    def stop(self, request: HttpRequest, form: ReasonForm, object_id: str) -> HttpResponse:
        return self._do(request, form, object_id, services.card_stop, _("The card is stopped."))

    @action(
        description=_("Release"),
        icon="play_arrow",
        variant=ActionVariant.SUCCESS,
        permissions=["release"],
        dialog={
            "title": _("Release this card"),
            "description": _("It is paid to again, unless the customer has switched it off."),
            "form_class": ReasonForm,
            "form_submit_text": _("Release"),
        },
    )
    def release(self, request: HttpRequest, form: ReasonForm, object_id: str) -> HttpResponse:
        return self._do(request, form, object_id, services.card_release, _("The card is released."))

    @action(
        description=_("Ban the number"),
        icon="credit_card_off",
        variant=ActionVariant.DANGER,
        permissions=["ban"],
        dialog={
            "title": _("Ban the number"),
            "description": _(
                "Nobody adds it any more, and nothing is paid to it. Another person may lift it."
            ),
            "form_class": ReasonForm,
            "form_submit_text": _("Ban the number"),
        },
    )
    def ban(self, request: HttpRequest, form: ReasonForm, object_id: str) -> HttpResponse:
        return self._do(request, form, object_id, bans.card_ban_known, _("The number is banned."))

    def _do(
        self, request: HttpRequest, form: ReasonForm, object_id: str, service: Any, done: object
    ) -> HttpResponse:
        card = self.row_of(request, object_id)
        reason = form.cleaned_data["reason"]
        attempt(request, lambda: service(card_id=card.pk, reason=reason, actor=actor_of(request)), done)
        return back_to(request, page_url(card))
