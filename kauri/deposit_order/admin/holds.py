"""Deposits, and the one page to decide on what analysis holds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Final

from django.contrib import admin
from django.contrib.admin import SimpleListFilter
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _
from unfold.decorators import action, display
from unfold.enums import ActionVariant

from kauri.account.admin import level_badge
from kauri.balance.admin import transfers_table
from kauri.balance.selectors import order_transfers
from kauri.common.admin import (
    EMPTY,
    ReadOnlyAdmin,
    ReasonForm,
    actor_of,
    attempt,
    back_to,
    badge,
    copyable,
    money,
    page_link,
    page_url,
    short,
    table,
    when,
)
from kauri.common.scoped_admin import RelatedDropdownFilter
from kauri.core.admin import PeriodFilter
from kauri.deposit_order import holds
from kauri.deposit_order.models import DepositDetail
from kauri.order_core.admin import moves_list, notes_list, orders_table, screening_facts, status_badge
from kauri.payment_provider.models import Payin

_ROWS: Final = 10


class HoldFilter(SimpleListFilter):
    title = _("queue")
    parameter_name = "queue"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        del request, model_admin
        return [("held", _("On hold")), ("frozen", _("Frozen"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        del request
        outcome = {"held": "hold", "frozen": "freeze"}.get(self.value() or "")
        if outcome is None:
            return queryset
        return queryset.filter(payin__state=Payin.State.HELD, payin__screening__outcome=outcome)


@admin.register(DepositDetail)
class DepositAdmin(ReadOnlyAdmin):
    """Deposits; one that analysis holds is decided on here."""

    list_display = ("created", "amount_shown", "customer", "status", "from_sender", "outcome")
    list_display_links = ("created", "amount_shown")
    list_select_related = (
        "order__owner",
        "order__currency_in",
        "payin__screening",
        "payin__currency",
    )
    list_filter = (
        HoldFilter,
        ("order__currency_in", RelatedDropdownFilter),
        ("payin__provider", RelatedDropdownFilter),
        ("order__created_at", PeriodFilter),
    )
    exact_search: ClassVar[dict[str, str]] = {
        "order__public_id": "uuid",
        "order__owner__email": "lower",
        "payin__transaction": "text",
        "payin__address": "text",
    }
    search_help_text = _("An order id, an e-mail, a transaction hash or an address, exactly")
    public_lookup = "order__public_id"
    fieldsets = (
        (
            _("Deposit"),
            {
                "fields": (
                    "amount_shown",
                    "credited_amount",
                    "fee_shown",
                    "cost_shown",
                    "profit",
                    "status",
                    "customer",
                    "convert_to",
                    "created",
                )
            },
        ),
        (_("Analysis"), {"fields": ("analysis", "decisions")}),
        (_("On the chain"), {"fields": ("payin_link", "from_sender", "address", "confirmations_needed")}),
        (_("Last orders of this customer"), {"fields": ("last_orders",)}),
        (_("Ledger"), {"fields": ("transfers",)}),
        (_("History"), {"fields": ("moves", "notes")}),
    )
    actions_detail = ("credit", "freeze")

    def get_ordering(self, request: HttpRequest) -> Sequence[str]:
        return ("order_id",) if request.GET.get("queue") else ("-order_id",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[DepositDetail]:
        return (
            super()
            .get_queryset(request)
            .select_related(
                "order__owner",
                "order__currency_in",
                "order__currency_out",
                "order__fee_currency",
                "payin__currency",
                "payin__screening__provider",
                "convert_to",
            )
        )

    @display(description=_("came"), ordering="order__created_at")
    def created(self, obj: DepositDetail) -> SafeString:
        return when(obj.order.created_at)

    @display(description=_("amount"))
    def amount_shown(self, obj: DepositDetail) -> SafeString:
        return money(obj.order.amount_in, obj.order.currency_in)

    @display(description=_("to the balance"))
    def credited_amount(self, obj: DepositDetail) -> SafeString:
        return money(obj.order.amount_out, obj.order.currency_out)

    @display(description=_("fee"))
    def fee_shown(self, obj: DepositDetail) -> SafeString:
        return money(obj.order.fee, obj.order.fee_currency)

    @display(description=_("provider's cost"))
    def cost_shown(self, obj: DepositDetail) -> SafeString:
        return money(obj.payin.cost, obj.payin.currency)

    @display(description=_("profit"))
    def profit(self, obj: DepositDetail) -> SafeString:
        return money(obj.order.fee - obj.payin.cost, obj.payin.currency, sign=True)

    @display(description=_("customer"))
    def customer(self, obj: DepositDetail) -> SafeString:
        return format_html("{} {}", page_link(obj.order.owner), level_badge(obj.order.owner))

    @display(description=_("status"))
    def status(self, obj: DepositDetail) -> SafeString:
        return status_badge(obj.order)

    @display(description=_("sender"))
    def from_sender(self, obj: DepositDetail) -> SafeString:
        return copyable(obj.payin.sender, short(obj.payin.sender))

    @display(description=_("address"))
    def address(self, obj: DepositDetail) -> SafeString:
        return copyable(obj.payin.address)

    @display(description=_("payin"))
    def payin_link(self, obj: DepositDetail) -> SafeString:
        return page_link(obj.payin)

    @display(description=_("analysis"))
    def outcome(self, obj: DepositDetail) -> SafeString:
        found = getattr(obj.payin, "screening", None)
        return EMPTY if found is None else badge(found.get_outcome_display() or found.get_state_display())

    @display(description=_("analysis"))
    def analysis(self, obj: DepositDetail) -> SafeString:
        return screening_facts(getattr(obj.payin, "screening", None))

    @display(description=_("decisions"))
    def decisions(self, obj: DepositDetail) -> SafeString:
        found = getattr(obj.payin, "screening", None)
        rows = [] if found is None else found.decisions.all()
        return table(
            (_("When"), _("By"), _("Outcome"), _("Reason")),
            ((when(row.at), row.actor_label, row.get_outcome_display(), row.reason) for row in rows),
            _("Nobody has decided yet."),
        )

    @display(description=_("orders"))
    def last_orders(self, obj: DepositDetail) -> SafeString:
        rows = obj.order.owner.orders.select_related("currency_in", "currency_out").exclude(pk=obj.order_id)
        return orders_table(rows.order_by("-id")[:_ROWS])

    @display(description=_("transfers"))
    def transfers(self, obj: DepositDetail) -> SafeString:
        return transfers_table(order_transfers(obj.order.public_id))

    @display(description=_("order moves"))
    def moves(self, obj: DepositDetail) -> SafeString:
        return moves_list(obj.order.transitions.order_by("id"))

    @display(description=_("notes"))
    def notes(self, obj: DepositDetail) -> SafeString:
        return notes_list(obj.order.notes.order_by("-id"))

    def has_hold_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        row = None if object_id is None else self.get_object(request, str(object_id))
        return row is not None and row.payin.state == Payin.State.HELD and request.user.has_perm(holds.DECIDE)

    @action(
        description=_("Credit the customer"),
        icon="check",
        variant=ActionVariant.SUCCESS,
        permissions=["hold"],
        dialog={
            "title": _("Credit the customer"),
            "description": _("The money goes to the customer's balance at once."),
            "form_class": ReasonForm,
            "form_submit_text": _("Credit the customer"),
        },
    )
    def credit(self, request: HttpRequest, form: ReasonForm, object_id: str) -> HttpResponse:
        return self._act(request, object_id, holds.hold_credit, _("Credited."), form)

    @action(
        description=_("Freeze"),
        icon="ac_unit",
        variant=ActionVariant.DANGER,
        permissions=["hold"],
        dialog={
            "title": _("Freeze the deposit"),
            "description": _("It stays blocked, and its money stands in the books as nobody's."),
            "form_class": ReasonForm,
            "form_submit_text": _("Freeze"),
        },
    )
    def freeze(self, request: HttpRequest, form: ReasonForm, object_id: str) -> HttpResponse:
        return self._act(request, object_id, holds.hold_freeze, _("Frozen."), form)

    def _act(
        self,
        request: HttpRequest,
        object_id: str,
        service: Callable[..., Any],
        done: object,
        form: ReasonForm,
    ) -> HttpResponse:
        row = self.row_of(request, object_id)
        attempt(
            request,
            lambda: service(
                order_id=row.order.public_id, actor=actor_of(request), reason=form.cleaned_data["reason"]
            ),
            done,
        )
        return back_to(request, page_url(row))
