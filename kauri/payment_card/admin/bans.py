"""The ban list: numbers and issuers that nothing is paid to."""

from __future__ import annotations

from typing import Any, ClassVar

from django.contrib import admin, messages
from django.contrib.admin import SimpleListFilter
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _
from unfold.contrib.filters.admin import ChoicesDropdownFilter
from unfold.decorators import action, display
from unfold.enums import ActionVariant

from kauri.common.admin import (
    EMPTY,
    ReadOnlyAdmin,
    ReasonForm,
    actor_of,
    attempt,
    back_to,
    badge,
    label_column,
    list_url,
    page_url,
    when_column,
)
from kauri.core.admin import PeriodFilter, audit_table
from kauri.payment_card import bans
from kauri.payment_card.admin.parts import BanForm, cards_table
from kauri.payment_card.models import CardBan
from kauri.payment_card.numbers import has_number
from kauri.payment_card.selectors import cards_met

_ROWS = 50


class InForceFilter(SimpleListFilter):
    title = _("in force")
    parameter_name = "in_force"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        del request, model_admin
        return [("yes", _("In force")), ("no", _("Lifted"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[CardBan]) -> QuerySet[CardBan]:
        del request
        if self.value() not in ("yes", "no"):
            return queryset
        return queryset.filter(lifted_at__isnull=self.value() == "yes")


@admin.register(CardBan)
class CardBanAdmin(ReadOnlyAdmin):
    list_display = ("what", "kind_label", "in_force", "reason", "banned_by", "banned")
    list_display_links = ("what",)
    list_filter = (InForceFilter, ("kind", ChoicesDropdownFilter), ("banned_at", PeriodFilter))
    exact_search: ClassVar[dict[str, str]] = {"prefix": "text", "mask": "text"}
    search_help_text = _("The first digits of an issuer, or a mask, exactly")
    public_lookup = "pk"
    fieldsets = (
        (
            _("What is banned"),
            {"fields": (("what", "kind_label"), ("in_force", "banned"), "banned_by", "reason")},
        ),
        (_("Lifted"), {"fields": (("lifted", "lifted_by_shown"), "lift_reason_shown")}),
        (_("Cards of customers that it meets"), {"fields": ("met",)}),
        (_("On record"), {"fields": ("audited",)}),
    )
    actions_list = ("ban",)
    actions_detail = ("lift",)
    kind_label = label_column("kind", _("what is banned"), {"issuer": "warn"})
    banned = when_column("banned_at", _("banned"))
    lifted = when_column("lifted_at", _("lifted"))

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """A whole number has no business in an address, which logs and histories keep."""
        if has_number(request.GET.get("q", "")):
            messages.warning(request, _("A whole number does not belong into the search."))
            return HttpResponseRedirect(list_url(CardBan))
        return super().changelist_view(request, extra_context)

    @display(description=_("card"))
    def what(self, obj: CardBan) -> str:
        return str(obj)

    @display(description=_("state"))
    def in_force(self, obj: CardBan) -> SafeString:
        return badge(_("in force"), "bad") if obj.lifted_at is None else badge(_("lifted"))

    @display(description=_("lifted by"))
    def lifted_by_shown(self, obj: CardBan) -> str | SafeString:
        return obj.lifted_by or EMPTY

    @display(description=_("why it was lifted"))
    def lift_reason_shown(self, obj: CardBan) -> str | SafeString:
        return obj.lift_reason or EMPTY

    @display(description=_("cards"))
    def met(self, obj: CardBan) -> SafeString:
        return cards_table(cards_met(obj).order_by("-id")[:_ROWS], _("No customer has such a card."))

    @display(description=_("audit"))
    def audited(self, obj: CardBan) -> SafeString:
        return audit_table(("card_ban", obj.pk))

    def has_ban_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm(bans.BAN)

    def has_lift_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        if not request.user.has_perm(bans.BAN):
            return False
        found = self.get_object(request, str(object_id))
        return found is not None and found.lifted_at is None and found.banned_by_id != request.user.pk

    @action(
        description=_("Ban a card"),
        icon="add",
        variant=ActionVariant.DANGER,
        permissions=["ban"],
        dialog={
            "title": _("Ban a card"),
            "description": _("From now on nobody adds it, and nothing is paid to it."),
            "form_class": BanForm,
            "form_submit_text": _("Ban"),
        },
    )
    def ban(self, request: HttpRequest, form: BanForm) -> HttpResponse:
        given = form.cleaned_data
        attempt(
            request,
            lambda: bans.card_ban(number=given["number"], reason=given["reason"], actor=actor_of(request)),
            _("Banned: nobody adds it, and nothing is paid to it."),
        )
        return back_to(request, list_url(CardBan, in_force="yes"))

    @action(
        description=_("Lift the ban"),
        icon="lock_open",
        variant=ActionVariant.SUCCESS,
        permissions=["lift"],
        dialog={
            "title": _("Lift the ban"),
            "description": _("Such cards can be added and paid to again. Whoever banned does not lift."),
            "form_class": ReasonForm,
            "form_submit_text": _("Lift the ban"),
        },
    )
    def lift(self, request: HttpRequest, form: ReasonForm, object_id: str) -> HttpResponse:
        ban = self.row_of(request, object_id)
        attempt(
            request,
            lambda: bans.card_unban(
                ban_id=ban.pk, reason=form.cleaned_data["reason"], actor=actor_of(request)
            ),
            _("The ban is lifted."),
        )
        return back_to(request, page_url(ban))
