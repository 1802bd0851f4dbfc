"""The desk's first work: the queue of withdrawals, and the one page to decide on one."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any, ClassVar

from django.contrib import admin, messages
from django.contrib.admin import SimpleListFilter
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _
from unfold.decorators import display

from kauri.account.admin import decisions_table, level_badge, sign_ins_table
from kauri.balance.admin import transfers_table
from kauri.common import clock
from kauri.common.admin import (
    EMPTY,
    ReadOnlyAdmin,
    actor_of,
    age,
    badge,
    copyable,
    list_url,
    money,
    page_link,
    page_url,
    short,
    when,
)
from kauri.common.errors import KauriError
from kauri.common.scoped_admin import RelatedDropdownFilter
from kauri.common.scopes import narrow
from kauri.common.search import searched
from kauri.core.admin import PeriodFilter
from kauri.core.models import AuditEntry
from kauri.notification.admin import deliveries_table
from kauri.order_core import holding, risk
from kauri.order_core.admin import (
    limit_rows,
    moves_list,
    notes_list,
    orders_table,
    rule_text,
    status_badge,
    withdrawal_url,
)
from kauri.order_core.models import Approval, Order
from kauri.order_core.selectors import happened
from kauri.payment_provider.admin import payout_facts
from kauri.withdrawal_order import selectors
from kauri.withdrawal_order.admin import bulk
from kauri.withdrawal_order.admin.acts import ACTS, DONE_WITH, NOTE, REJECT, dialogs, lost
from kauri.withdrawal_order.admin.address_book import review_facts
from kauri.withdrawal_order.admin.signals import signals
from kauri.withdrawal_order.models import WithdrawalDetail
from kauri.withdrawal_order.selectors import Decision


class QueueFilter(SimpleListFilter):
    """Who waits, who waits too long, whose work it is."""

    title = _("queue")
    parameter_name = "queue"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        del request, model_admin
        return [
            ("waiting", _("Waits for approval")),
            ("overdue", _("Waits too long")),
            ("mine", _("Taken by me")),
            ("held", _("On hold")),
            ("held_long", _("On hold for too long")),
        ]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if not self.value():
            return queryset
        pending = queryset.filter(order__approval__state=Approval.State.PENDING)
        if self.value() == "held":
            return pending.filter(order__approval__held_at__isnull=False)
        if self.value() == "held_long":
            return pending.filter(holding.too_long("order__approval__"))
        waiting = pending.filter(order__approval__held_at__isnull=True)
        if self.value() == "overdue":
            return waiting.filter(order__approval__created_at__lt=clock.now() - selectors.OVERDUE_AFTER)
        return waiting.filter(order__approval__taken_by=request.user) if self.value() == "mine" else waiting


@admin.register(WithdrawalDetail)
class WithdrawalAdmin(ReadOnlyAdmin):
    """Lists lead to the page of decision; every act there is a POST that calls a service."""

    list_display = ("amount", "customer", "to", "why", "waits", "status")
    actions = ("approve_selected",)
    list_filter = (
        QueueFilter,
        ("order__currency_out", RelatedDropdownFilter),
        ("provider", RelatedDropdownFilter),
        ("order__created_at", PeriodFilter),
    )
    exact_search: ClassVar[dict[str, str]] = {
        "order__public_id": "uuid",
        "destination": "text",
        "order__owner__email": "lower",
        "order__external_id": "text",
        "parts__payout__provider_reference": "text",
    }
    search_help_text = _(
        "An order id, the client's id, an e-mail, a destination or a transaction hash, exactly"
    )
    public_lookup = "order__public_id"

    @admin.action(description=_("Approve the chosen ones…"), permissions=["approve"])
    def approve_selected(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse | None:
        return bulk.approve(self, request, queryset)

    def has_approve_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm(selectors.APPROVE)

    @display(description=_("amount"), ordering="order__amount_out")
    def amount(self, obj: WithdrawalDetail) -> SafeString:
        return money(obj.order.amount_out, obj.order.currency_out)

    @display(description=_("customer"))
    def customer(self, obj: WithdrawalDetail) -> str:
        return obj.order.owner.email

    @display(description=_("destination"))
    def to(self, obj: WithdrawalDetail) -> SafeString:
        return copyable(obj.shown_destination, short(obj.shown_destination))

    @display(description=_("why it is here"))
    def why(self, obj: WithdrawalDetail) -> Any:
        approval = getattr(obj.order, "approval", None)
        return rule_text(approval.rules[0]) if approval is not None and approval.rules else EMPTY

    @display(description=_("came"), ordering="order__created_at")
    def waits(self, obj: WithdrawalDetail) -> SafeString:
        approval = getattr(obj.order, "approval", None)
        return when(approval.created_at if approval is not None else obj.order.created_at)

    @display(description=_("status"))
    def status(self, obj: WithdrawalDetail) -> SafeString:
        """Where it stands, and whose it is while it waits."""
        approval = getattr(obj.order, "approval", None)
        whose = EMPTY
        if approval is not None and approval.held_by is not None:
            whose = badge(_("On hold"), "warn")
        elif approval is not None and approval.taken_by is not None:
            whose = badge(approval.taken_by.email, "info")
        return (
            status_badge(obj.order)
            if whose is EMPTY
            else format_html("{}<br>{}", status_badge(obj.order), whose)
        )

    def get_ordering(self, request: HttpRequest) -> Sequence[str]:
        # A queue is worked from its head; a list of the past is read from its end.
        queue = request.GET.get("queue", "")
        if queue.startswith("held"):
            return ("order__approval__held_at",)
        return ("order__approval__created_at",) if queue else ("-order_id",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[WithdrawalDetail]:
        return narrow(selectors.details(), request.user.scope)

    def get_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        return [
            path("next/", wrap(self.next_view), name="withdrawal_next"),
            path("<uuid:order_id>/state/", wrap(self.state_view), name="withdrawal_state"),
            path("<uuid:order_id>/do/<slug:verb>/", wrap(self.act_view), name="withdrawal_act"),
            *super().get_urls(),
        ]

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        del form_url, extra_context
        self._may_look(request)
        detail = self.get_object(request, object_id)
        if detail is None:
            return self._get_obj_does_not_exist_redirect(request, self.opts, object_id)
        found = selectors.decision(detail, request.user.scope)
        context = {
            **self.admin_site.each_context(request),
            "title": _("Withdrawal"),
            "subtitle": short(found.order.public_id),
            "opts": self.opts,
            "original": found.detail,
            "is_fullwidth": "1",
            **_page(found),
            **_standing(request, found.order, found.approval, found.has_voted(request.user.pk)),
            **dialogs(request.user),
        }
        request.current_app = self.admin_site.name
        return TemplateResponse(request, "admin/withdrawal_order/decision.html", context)

    def state_view(self, request: HttpRequest, order_id: uuid.UUID) -> HttpResponse:
        """Who has it now: asked for every few seconds by an open page."""
        self._may_look(request)
        approval = selectors.waiting_approval(order_id)
        if approval is None or self.get_object(request, str(order_id)) is None:
            raise Http404
        context = _standing(request, approval.order, approval, voted=False)
        return TemplateResponse(request, "admin/withdrawal_order/standing.html", context)

    def next_view(self, request: HttpRequest) -> HttpResponse:
        self._may_look(request)
        after = searched(request.GET.get("after", ""), "uuid")
        following = selectors.next_waiting(request.user.pk, after, request.user.scope)
        if following is None:
            messages.info(request, _("Nothing waits for you: the queue is empty or taken by others."))
            return HttpResponseRedirect(list_url(WithdrawalDetail, queue="waiting"))
        return HttpResponseRedirect(withdrawal_url(following))

    def act_view(self, request: HttpRequest, order_id: uuid.UUID, verb: str) -> HttpResponse:
        """A verb of :data:`ACTS`: permission, service, words."""
        self._may_look(request)
        if (act := ACTS.get(verb)) is None:
            raise Http404
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        permission, asked, run = act
        if not request.user.has_perm(permission):
            raise PermissionDenied
        form = asked(request.POST)
        if not form.is_valid():
            for name, faults in form.errors.items():
                messages.error(request, f"{form.fields[name].label}: {' '.join(faults)}")
            return HttpResponseRedirect(withdrawal_url(order_id))
        try:
            said = run(actor_of(request), order_id, form)
        except KauriError as error:
            messages.error(request, lost(error, order_id))
            return HttpResponseRedirect(withdrawal_url(order_id))
        messages.success(request, str(said))
        user = request.user
        following = selectors.next_waiting(user.pk, order_id, user.scope) if verb in DONE_WITH else None
        return HttpResponseRedirect(withdrawal_url(following or order_id))

    def _may_look(self, request: HttpRequest) -> None:
        if not self.has_view_permission(request):
            raise PermissionDenied


def _standing(request: HttpRequest, order: Order, approval: Approval | None, voted: bool) -> dict[str, Any]:
    """Where the order stands for this operator, and which buttons work."""
    user = request.user
    waiting = approval is not None and approval.state == Approval.State.PENDING
    taken_by = approval.taken_by if waiting and approval is not None else None
    other = taken_by is not None and taken_by.pk != user.pk
    obstacle = selectors.obstacle(order, approval, user.pk, voted) if waiting and approval else ""
    free = waiting and not obstacle
    held = waiting and approval is not None and approval.held_at is not None
    is_approver = user.has_perm(selectors.APPROVE)
    against = risk.obstacle(order, user.pk) if free and is_approver else ""
    return {
        "order_id": order.public_id,
        "status": status_badge(order),
        "waiting": waiting,
        "obstacle": obstacle or against,
        "taken_by_me": taken_by is not None and not other,
        "taken_by_other": taken_by if other else None,
        "happened": happened(approval) if approval is not None and not waiting else "",
        "needs_code": free and risk.needs_code(order, user.pk),
        "may_approve": free and not against and is_approver,
        "may_reject": free and user.has_perm(REJECT),
        "may_take": waiting and not held and is_approver,
        "may_hand": waiting and not held and not other and is_approver,
        "may_hold": waiting and not held and not other and is_approver,
        "may_unhold": held and is_approver,
        "held": approval if held else None,
        "may_note": user.has_perm(NOTE),
    }


def _page(found: Decision) -> dict[str, Any]:
    """The page's facts, ready to be read."""
    order, detail, known = found.order, found.detail, found.destination
    sent, given = order.currency_out, order.currency_in
    balance = found.balance
    return {
        "found": found,
        "order": order,
        "detail": detail,
        "owner": order.owner,
        "owner_url": page_url(order.owner),
        "signals": signals(found),
        "rules": [
            {**rule, "title": rule_text(rule)} for rule in (found.approval.rules if found.approval else [])
        ],
        "needed": found.approval.needed if found.approval else 0,
        "waits": age(found.approval.created_at) if found.approval else "",
        "sent": money(order.amount_out, sent),
        "fee": money(order.fee, order.fee_currency),
        "given": money(order.amount_in, given),
        "destination": copyable(detail.shown_destination),
        "others": [(page_link(user), times) for user, times in known.others],
        **review_facts(found),
        "available": money(balance.available, given) if balance else EMPTY,
        "held_amount": money(balance.held, given) if balance else EMPTY,
        "totals": [(total.days, total.count, money(total.amount, sent)) for total in found.totals],
        "limits": limit_rows(order),
        "level": level_badge(order.owner),
        "registered": when(order.owner.created_at),
        "created": when(order.created_at),
        "decisions": decisions_table(found.verifications),
        "sign_ins": sign_ins_table(found.origin.sign_ins),
        "last_orders": orders_table(found.last_orders),
        "all_orders": list_url(Order, q=order.owner.email),
        "transfers": transfers_table(found.transfers),
        "deliveries": deliveries_table(found.deliveries),
        "notes": notes_list(found.notes),
        "moves": moves_list(found.moves),
        "audit_url": list_url(AuditEntry, object_type="order", q=order.public_id),
        "payouts": [payout_facts(part.payout) for part in found.parts],
    }
