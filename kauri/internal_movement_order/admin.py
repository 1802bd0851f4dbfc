"""Internal movements: the list, and the page where an operator decides on one."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Collection, Sequence
from typing import Any, ClassVar

from django.contrib import admin, messages
from django.contrib.admin import SimpleListFilter
from django.db.models import BooleanField, Case, Exists, OuterRef, QuerySet, When
from django.http import HttpRequest, HttpResponse
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _
from unfold.decorators import action, display
from unfold.enums import ActionVariant
from unfold.forms import BaseDialogForm

from kauri.account.admin import level_badge
from kauri.account.models import User
from kauri.balance.admin import transfers_table
from kauri.balance.selectors import customer_balances, order_transfers
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
from kauri.common.code_forms import CodeAgainForm
from kauri.common.paging import AFTER, BEFORE
from kauri.common.scoped_admin import RelatedDropdownFilter
from kauri.common.scopes import narrow, seen
from kauri.common.search import searched
from kauri.core.admin import PeriodFilter
from kauri.core.admin.proposals import ApproveForm
from kauri.internal_movement_order import services
from kauri.internal_movement_order.models import MovementDetail
from kauri.notification.admin import deliveries_table
from kauri.notification.models import Delivery
from kauri.order_core import risk
from kauri.order_core.admin import (
    limit_rows,
    moves_list,
    notes_list,
    rule_text,
    status_badge,
)
from kauri.order_core.models import Approval, Order
from kauri.order_core.states import OrderType

_ROWS = 20


class MovementApproveForm(CodeAgainForm, ApproveForm):
    field_order = ("reason", "code")


class QueueFilter(SimpleListFilter):
    title = _("queue")
    parameter_name = "queue"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        del request, model_admin
        return [("waiting", _("Waits for approval")), ("mine", _("Taken by me"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if not self.value():
            return queryset
        waiting = queryset.filter(order__approval__state=Approval.State.PENDING)
        return waiting.filter(order__approval__taken_by=request.user) if self.value() == "mine" else waiting


class MovementPeriodFilter(PeriodFilter):
    """By the day of the order: the index of orders by date knows their type, so others are never looked at."""

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        found = super().queryset(request, queryset)
        return found.filter(order__type=OrderType.INTERNAL_MOVEMENT) if any(self.bounds()) else found


def _is_to(groups: Collection[int]) -> Case:
    """That the recipient is of these groups: what the limit of the view says too, in a form that the database looks up in one
    set of customers, while the newest movements go by, where few of them are to any of these."""
    theirs = User.objects.filter(pk=OuterRef("recipient"), group__in=groups)
    return Case(When(Exists(theirs), then=True), default=False, output_field=BooleanField())


@admin.register(MovementDetail)
class MovementAdmin(ReadOnlyAdmin):
    list_display = ("amount", "sender", "receiver", "why", "came", "status", "taken")
    list_display_links = ("amount",)
    list_filter = (
        QueueFilter,
        ("order__currency_out", RelatedDropdownFilter),
        ("order__created_at", MovementPeriodFilter),
    )
    exact_search: ClassVar[dict[str, str]] = {
        "order__public_id": "uuid",
        "order__external_id": "text",
        "order__owner__email": "lower",
        "recipient__email": "lower",
    }
    search_help_text = _("An order id, the client's id or an e-mail of either side, exactly")
    public_lookup = "order__public_id"
    fieldsets = (
        (
            _("Movement"),
            {
                "fields": (
                    "id_full",
                    "status",
                    "why_all",
                    "taken",
                    "amount",
                    "gives",
                    "fee",
                    "fee_payer",
                    "message",
                    "came",
                )
            },
        ),
        (_("Sender"), {"fields": ("sender", "sender_facts", "limits")}),
        (_("Recipient"), {"fields": ("receiver", "receiver_facts", "named")}),
        (_("Notes"), {"fields": ("notes",)}),
        (_("Ledger"), {"fields": ("transfers",)}),
        (_("Webhooks and messages"), {"fields": ("deliveries",)}),
        (_("History"), {"fields": ("moves",)}),
    )
    actions_detail = ("approve", "reject", "take", "untake")

    def get_queryset(self, request: HttpRequest) -> QuerySet[MovementDetail]:
        rows, groups = super().get_queryset(request), request.user.scope.groups
        if groups is not None and not set(request.GET) - {AFTER, BEFORE}:
            rows = rows.filter(_is_to(groups))
        return rows.select_related(
            "recipient",
            "order__owner",
            "order__currency_in",
            "order__currency_out",
            "order__fee_currency",
            "order__approval__taken_by",
        )

    def get_ordering(self, request: HttpRequest) -> Sequence[str]:
        return ("order__approval__created_at",) if request.GET.get("queue") else ("-order_id",)

    @display(description=_("recipient gets"), ordering="order__amount_out")
    def amount(self, obj: MovementDetail) -> SafeString:
        return money(obj.order.amount_out, obj.order.currency_out)

    @display(description=_("sender gives"))
    def gives(self, obj: MovementDetail) -> SafeString:
        return money(obj.order.amount_in, obj.order.currency_in)

    @display(description=_("fee"))
    def fee(self, obj: MovementDetail) -> SafeString:
        return money(obj.order.fee, obj.order.fee_currency)

    @display(description=_("sender"))
    def sender(self, obj: MovementDetail) -> SafeString:
        return page_link(obj.order.owner)

    @display(description=_("recipient"))
    def receiver(self, obj: MovementDetail) -> SafeString:
        return page_link(obj.recipient)

    @display(description=_("named as"))
    def named(self, obj: MovementDetail) -> str:
        return f"{obj.get_addressed_by_display()}: {obj.addressed_to}"

    @display(description=_("order id"))
    def id_full(self, obj: MovementDetail) -> SafeString:
        return copyable(obj.order.public_id, short(obj.order.public_id))

    @display(description=_("status"))
    def status(self, obj: MovementDetail) -> SafeString:
        return status_badge(obj.order)

    @display(description=_("came"), ordering="order__created_at")
    def came(self, obj: MovementDetail) -> SafeString:
        return when(obj.order.created_at)

    @display(description=_("why it is here"))
    def why(self, obj: MovementDetail) -> Any:
        approval = _approval(obj)
        return rule_text(approval.rules[0]) if approval is not None and approval.rules else EMPTY

    @display(description=_("why it is here"))
    def why_all(self, obj: MovementDetail) -> SafeString:
        approval = _approval(obj)
        rules = approval.rules if approval is not None else []
        return table(
            (_("Rule"), _("Value"), _("Bound")),
            ((rule_text(rule), rule.get("value", ""), rule.get("limit", "")) for rule in rules),
            _("No rule sent it to an operator."),
        )

    @display(description=_("taken by"))
    def taken(self, obj: MovementDetail) -> SafeString:
        approval = _approval(obj)
        if approval is None or approval.taken_by is None:
            return EMPTY
        return badge(approval.taken_by.email, "info")

    @display(description=_("what is known of them"))
    def sender_facts(self, obj: MovementDetail) -> SafeString:
        return _facts(obj, obj.order.owner)

    @display(description=_("what is known of them"))
    def receiver_facts(self, obj: MovementDetail) -> SafeString:
        return _facts(obj, obj.recipient)

    @display(description=_("limits"))
    def limits(self, obj: MovementDetail) -> SafeString:
        return table(
            (_("Limit"), _("Used"), _("Bound")),
            ((row["title"], row["value"], row["bound"]) for row in limit_rows(obj.order)),
        )

    @display(description=_("notes"))
    def notes(self, obj: MovementDetail) -> SafeString:
        return notes_list(obj.order.notes.order_by("-id"))

    @display(description=_("transfers"))
    def transfers(self, obj: MovementDetail) -> SafeString:
        return transfers_table(order_transfers(obj.order.public_id))

    @display(description=_("deliveries"))
    def deliveries(self, obj: MovementDetail) -> SafeString:
        rows = seen(Delivery.objects.filter(subject_type="order", subject_id=obj.order.public_id), obj)
        return deliveries_table(rows.order_by("-id")[:_ROWS])

    @display(description=_("order moves"))
    def moves(self, obj: MovementDetail) -> SafeString:
        return moves_list(obj.order.transitions.order_by("id"))

    def has_approve_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        return self._may(request, object_id, services.APPROVE) and not self._against(request, object_id)

    def has_reject_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        return self._may(request, object_id, services.REJECT)

    def has_take_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        return self._may(request, object_id, services.APPROVE, is_taken=False)

    def has_untake_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        return self._may(request, object_id, services.APPROVE, is_taken=True)

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """A button that is not there has its reason on the page."""
        if self._may(request, object_id, services.APPROVE) and (why := self._against(request, object_id)):
            messages.warning(request, why)
        return super().change_view(request, object_id, form_url, extra_context)

    def _against(self, request: HttpRequest, object_id: Any) -> str:
        """Why this operator can't approve it; asked for once a request."""
        known: dict[str, str] = request.__dict__.setdefault("_kauri_against", {})
        if str(object_id) not in known:
            order = Order.objects.select_related("currency_out").get(public_id=object_id)
            known[str(object_id)] = risk.obstacle(order, request.user.pk)
        return known[str(object_id)]

    def _may(
        self, request: HttpRequest, object_id: Any, permission: str, is_taken: bool | None = None
    ) -> bool:
        public_id = searched(str(object_id), "uuid")
        if not isinstance(public_id, uuid.UUID) or not request.user.has_perm(permission):
            return False
        waiting = narrow(
            Approval.objects.filter(order__public_id=public_id, state=Approval.State.PENDING),
            request.user.scope,
        )
        if is_taken is not None:
            waiting = waiting.filter(taken_by__isnull=not is_taken)
        return waiting.exists()

    @action(
        description=_("Approve"),
        icon="check",
        variant=ActionVariant.SUCCESS,
        permissions=["approve"],
        dialog={
            "title": _("Approve the movement"),
            "description": _("The money reaches the recipient at once."),
            "form_class": MovementApproveForm,
            "form_submit_text": _("Approve the movement"),
        },
    )
    def approve(self, request: HttpRequest, form: MovementApproveForm, object_id: str) -> HttpResponse:
        given = {name: form.cleaned_data[name] for name in ("reason", "code")}
        return self._act(request, object_id, services.movement_approve, _("Approved."), **given)

    @action(
        description=_("Reject"),
        icon="close",
        variant=ActionVariant.DANGER,
        permissions=["reject"],
        dialog={
            "title": _("Reject the movement"),
            "description": _("The money goes back to the sender's balance."),
            "form_class": ReasonForm,
            "form_submit_text": _("Reject the movement"),
        },
    )
    def reject(self, request: HttpRequest, form: ReasonForm, object_id: str) -> HttpResponse:
        given = {"reason": form.cleaned_data["reason"]}
        return self._act(request, object_id, services.movement_reject, _("Rejected."), **given)

    @action(
        description=_("Take"),
        icon="front_hand",
        permissions=["take"],
        dialog={"title": _("Take it"), "form_class": BaseDialogForm, "form_submit_text": _("Take it")},
    )
    def take(self, request: HttpRequest, form: BaseDialogForm, object_id: str) -> HttpResponse:
        del form
        return self._act(
            request, object_id, services.movement_take, _("It is yours now: the others see your name.")
        )

    @action(
        description=_("Give it back"),
        icon="undo",
        permissions=["untake"],
        dialog={
            "title": _("Give it back"),
            "form_class": BaseDialogForm,
            "form_submit_text": _("Give it back"),
        },
    )
    def untake(self, request: HttpRequest, form: BaseDialogForm, object_id: str) -> HttpResponse:
        del form
        return self._act(request, object_id, services.movement_untake, _("It is back in the queue."))

    def _act(
        self, request: HttpRequest, object_id: str, service: Callable[..., Any], done: object, **given: str
    ) -> HttpResponse:
        detail = self.row_of(request, object_id)
        attempt(
            request,
            lambda: service(order_id=detail.order.public_id, actor=actor_of(request), **given),
            done,
        )
        return back_to(request, page_url(detail))


def _approval(obj: MovementDetail) -> Approval | None:
    return getattr(obj.order, "approval", None)


def _facts(obj: MovementDetail, user: Any) -> SafeString:
    held = {row.currency.pk: row for row in customer_balances(user.pk)}[obj.order.currency_in_id]
    return table(
        (_("Account"), _("Verification"), _("Registered"), _("Available"), _("Held")),
        [
            (
                badge(_("active"), "good") if user.is_active else badge(_("disabled"), "bad"),
                level_badge(user),
                when(user.created_at),
                money(held.available, held.currency),
                money(held.held, held.currency),
            )
        ],
    )
