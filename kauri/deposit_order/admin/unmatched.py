"""Unmatched money: the queue, and the one page where one person proposes and another decides."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Final

from django import forms
from django.apps import apps
from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _
from unfold.contrib.filters.admin import ChoicesDropdownFilter
from unfold.decorators import action, display
from unfold.enums import ActionVariant
from unfold.forms import BaseDialogForm

from kauri.account.admin import level_badge
from kauri.balance.admin import transfers_table
from kauri.balance.models import Transfer
from kauri.common.admin import (
    EMPTY,
    ReadOnlyAdmin,
    ReasonForm,
    actor_of,
    attempt,
    back_to,
    badge,
    changes,
    copyable,
    label_column,
    link,
    money_column,
    order_column,
    page_link,
    page_url,
    short,
    table,
    when,
    when_column,
)
from kauri.common.ids import ledger_key
from kauri.common.scoped_admin import RelatedDropdownFilter, may_open
from kauri.common.scopes import seen
from kauri.core.admin import PeriodFilter, audit_table
from kauri.deposit_order import unmatched
from kauri.deposit_order.admin.forms import CreditForm, QueueFilter, SendBackForm
from kauri.deposit_order.models import UnmatchedAct, UnmatchedMoney
from kauri.order_core.admin import screening_facts
from kauri.order_core.models import Order
from kauri.payment_provider.admin import PAYIN_TONES
from kauri.payment_provider.models import Payin
from kauri.wallet.models import DepositAddress, PaymentLink

_ROWS: Final = 10
_ACT_TONES: Final = {"pending": "warn", "done": "good", "rejected": "bad", "withdrawn": ""}
Kind = UnmatchedAct.Kind


@admin.register(UnmatchedMoney)
class UnmatchedMoneyAdmin(ReadOnlyAdmin):
    """Who looks needs the right to look at it; who proposes and who decides, a right each."""

    list_display = ("seen", "amount_shown", "fault_label", "state_label", "provider", "to", "waits")
    list_display_links = ("seen", "amount_shown")
    list_select_related = ("provider", "currency")
    list_filter = (
        QueueFilter,
        ("fault", ChoicesDropdownFilter),
        ("currency", RelatedDropdownFilter),
        ("provider", RelatedDropdownFilter),
        ("seen_at", PeriodFilter),
    )
    exact_search: ClassVar[dict[str, str]] = {
        "transaction": "text",
        "address": "text",
        "sender": "text",
        "reference": "text",
        "public_id": "uuid",
    }
    search_help_text = _("A transaction hash, an address, a sender or our reference, exactly")
    fieldsets = (
        (
            _("What came"),
            {
                "fields": (
                    "amount_shown",
                    "state_label",
                    "fault_label",
                    "fault_detail",
                    "provider",
                    "transaction",
                    "seen",
                    "booked",
                    "cost_shown",
                )
            },
        ),
        (_("Where it came from and to"), {"fields": ("sender", "address", "place", "candidates")}),
        (_("Decision"), {"fields": ("proposed", "acts_shown")}),
        (_("Analysis"), {"fields": ("analysis",)}),
        (_("Ledger"), {"fields": ("transfers",)}),
        (_("On record"), {"fields": ("order", "callbacks", "audited")}),
    )
    actions_detail = ("credit", "send_back", "keep", "approve", "reject", "withdraw")
    amount_shown = money_column("amount", "currency", _("amount"))
    cost_shown = money_column("cost", "currency", _("provider's cost"))
    state_label = label_column("state", _("state"), PAYIN_TONES)
    fault_label = label_column("fault", _("why it was not credited"), {})
    seen = when_column("seen_at", _("seen"))
    booked = when_column("booked_at", _("in the books as nobody's"))
    order = order_column()

    def get_queryset(self, request: HttpRequest) -> QuerySet[UnmatchedMoney]:
        rows = super().get_queryset(request).prefetch_related("acts")
        return rows.filter(~Q(fault="") | Q(state__in=[Payin.State.HELD, Payin.State.ALARM])).distinct()

    @display(description=_("address"))
    def to(self, obj: Payin) -> SafeString:
        return copyable(obj.address or obj.reference, short(obj.address or obj.reference))

    @display(description=_("proposed"))
    def waits(self, obj: Payin) -> SafeString:
        act = _waiting(obj)
        return EMPTY if act is None else badge(act.get_kind_display(), "warn")

    @display(description=_("address or link of ours"))
    def place(self, obj: Payin) -> SafeString:
        found = _place(obj)
        return EMPTY if found is None else page_link(found)

    @display(description=_("whose it may be"))
    def candidates(self, obj: Payin) -> SafeString:
        """The owner of the address or link, and who has paid from this sender before."""
        found = _place(obj)
        people = (
            [] if found is None or found.user is None else [(found.user, _("the address or link is theirs"))]
        )
        if obj.sender:
            earlier = (
                seen(Order.objects.filter(deposit__payin__sender=obj.sender), obj)
                .select_related("owner")
                .order_by("owner_id", "-id")
                .distinct("owner_id")[:_ROWS]
            )
            people += [(order.owner, _("paid from this sender before")) for order in earlier]
        return table(
            (_("Customer"), _("Verification"), _("Why")),
            ((page_link(user), level_badge(user), why) for user, why in people),
            _("Nobody is known to have to do with it."),
        )

    @display(description=_("what is proposed"))
    def proposed(self, obj: Payin) -> SafeString:
        act = _waiting(obj)
        if act is None:
            return EMPTY
        return changes({"state": obj.state}, _effect(act))

    @display(description=_("acts"))
    def acts_shown(self, obj: Payin) -> SafeString:
        return table(
            (_("What"), _("State"), _("Proposed"), _("Why"), _("Decided"), _("Words of the decision")),
            (
                (
                    act.get_kind_display(),
                    badge(act.get_state_display(), _ACT_TONES[act.state]),
                    format_html("{}{}", act.proposed_by, when(act.proposed_at)),
                    act.reason,
                    format_html("{}{}", act.decided_by, when(act.decided_at)) if act.decided_at else EMPTY,
                    act.decision_reason or EMPTY,
                )
                for act in obj.acts.all()
            ),
            _("Nothing was proposed yet."),
        )

    @display(description=_("analysis"))
    def analysis(self, obj: Payin) -> SafeString:
        return screening_facts(getattr(obj, "screening", None))

    @display(description=_("transfers"))
    def transfers(self, obj: Payin) -> SafeString:
        keys = [
            ledger_key("payin", obj.public_id, step) for step in ("suspense", "credit", "returned", "kept")
        ]
        found = Transfer.objects.filter(key__in=keys).order_by("id")
        return transfers_table(found.prefetch_related("entries__account__currency"))

    @display(description=_("callbacks"))
    def callbacks(self, obj: Payin) -> SafeString:
        # Callbacks live a floor above: their list is named, not imported.
        if not may_open(apps.get_model("callbacks.inboundcallback")):
            return EMPTY
        url = reverse("admin:callbacks_inboundcallback_changelist")
        return link(f"{url}?provider_code__exact={obj.provider.code}", _("Callbacks of this provider"))

    @display(description=_("audit"))
    def audited(self, obj: Payin) -> SafeString:
        return audit_table(("payin", obj.public_id))

    # Proposing and deciding -----------------------------------------------------------------

    def has_propose_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        row = self._row(request, object_id)
        free = row is not None and row.state == Payin.State.UNMATCHED and row.booked_at is not None
        return free and _waiting(row) is None and request.user.has_perm(unmatched.PROPOSE)

    def has_return_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        row = self._row(request, object_id)
        free = row is not None and row.state in {Payin.State.UNMATCHED, Payin.State.HELD}
        return (
            free
            and row.booked_at is not None
            and _waiting(row) is None
            and request.user.has_perm(unmatched.PROPOSE)
        )

    def has_decide_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        row = self._row(request, object_id)
        act = None if row is None else _waiting(row)
        return (
            act is not None
            and act.proposed_by_id != request.user.pk
            and request.user.has_perm(unmatched.DECIDE)
        )

    def has_withdraw_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        row = self._row(request, object_id)
        act = None if row is None else _waiting(row)
        return act is not None and act.proposed_by_id == request.user.pk

    def _row(self, request: HttpRequest, object_id: Any) -> Any:
        """The row that this request's buttons are about, read once."""
        known = request.__dict__.setdefault("_kauri_money", {})
        if object_id is not None and object_id not in known:
            known[object_id] = self.get_object(request, str(object_id))
        return known.get(object_id)

    @action(
        description=_("Credit to a customer"),
        icon="person_add",
        permissions=["propose"],
        dialog={
            "title": _("Credit to a customer"),
            "description": _("A second person decides. Then it is a deposit like any other."),
            "form_class": CreditForm,
            "form_submit_text": _("Propose"),
        },
    )
    def credit(self, request: HttpRequest, form: CreditForm, object_id: str) -> HttpResponse:
        given = form.cleaned_data
        return self._propose(
            request,
            object_id,
            kind=Kind.CREDIT,
            customer_email=given["customer"],
            with_fee=given["with_fee"],
            reason=given["reason"],
        )

    @action(
        description=_("Sent back"),
        icon="undo",
        permissions=["return"],
        dialog={
            "title": _("It was sent back"),
            "description": _("A second person decides. Then the books say that it left."),
            "form_class": SendBackForm,
            "form_submit_text": _("Propose"),
        },
    )
    def send_back(self, request: HttpRequest, form: SendBackForm, object_id: str) -> HttpResponse:
        given = form.cleaned_data
        return self._propose(
            request, object_id, kind=Kind.SEND_BACK, evidence=given["evidence"], reason=given["reason"]
        )

    @action(
        description=_("Keep as income"),
        icon="savings",
        permissions=["propose"],
        dialog={
            "title": _("Keep as income"),
            "description": _("A second person decides. Then it is the house's."),
            "form_class": ReasonForm,
            "form_submit_text": _("Propose"),
        },
    )
    def keep(self, request: HttpRequest, form: ReasonForm, object_id: str) -> HttpResponse:
        return self._propose(request, object_id, kind=Kind.KEEP, reason=form.cleaned_data["reason"])

    @action(
        description=_("Approve"),
        icon="check",
        variant=ActionVariant.SUCCESS,
        permissions=["decide"],
        dialog={
            "title": _("Approve what is proposed"),
            "description": _("It is done and posted at once."),
            "form_class": ReasonForm,
            "form_submit_text": _("Approve"),
        },
    )
    def approve(self, request: HttpRequest, form: ReasonForm, object_id: str) -> HttpResponse:
        return self._decide(
            request, object_id, unmatched.act_approve, _("Done."), reason=form.cleaned_data["reason"]
        )

    @action(
        description=_("Reject"),
        icon="close",
        variant=ActionVariant.DANGER,
        permissions=["decide"],
        dialog={
            "title": _("Reject what is proposed"),
            "description": _("Nothing moves."),
            "form_class": ReasonForm,
            "form_submit_text": _("Reject"),
        },
    )
    def reject(self, request: HttpRequest, form: ReasonForm, object_id: str) -> HttpResponse:
        return self._decide(
            request,
            object_id,
            unmatched.act_reject,
            _("Rejected: nothing moves."),
            reason=form.cleaned_data["reason"],
        )

    @action(
        description=_("Withdraw"),
        icon="undo",
        permissions=["withdraw"],
        dialog={
            "title": _("Withdraw your proposal"),
            "description": _("Nothing moves, and nobody needs to decide any more."),
            "form_class": BaseDialogForm,
            "form_submit_text": _("Withdraw"),
        },
    )
    def withdraw(self, request: HttpRequest, form: BaseDialogForm, object_id: str) -> HttpResponse:
        del form
        return self._decide(request, object_id, unmatched.act_withdraw, _("Withdrawn: nothing moves."))

    def _propose(self, request: HttpRequest, object_id: str, **given: Any) -> HttpResponse:
        row = self.row_of(request, object_id)
        attempt(
            request,
            lambda: unmatched.act_propose(payin_id=row.public_id, actor=actor_of(request), **given),
            _("Proposed. Nothing has moved yet: a second person decides."),
        )
        return back_to(request, page_url(row))

    def _decide(
        self, request: HttpRequest, object_id: str, service: Callable[..., Any], done: object, **given: str
    ) -> HttpResponse:
        row = self.row_of(request, object_id)
        act = _waiting(row)
        if act is not None:
            attempt(request, lambda: service(act_id=act.public_id, actor=actor_of(request), **given), done)
        return back_to(request, page_url(row))


def _place(payin: Payin) -> DepositAddress | PaymentLink | None:
    if payin.address:
        return (
            seen(DepositAddress.objects.select_related("user"), payin)
            .filter(provider=payin.provider_id, address=payin.address)
            .first()
        )
    try:
        rows = seen(PaymentLink.objects.select_related("user"), payin).filter(provider=payin.provider_id)
        return rows.filter(public_id=payin.reference).first()
    except (ValueError, forms.ValidationError):
        return None


def _waiting(payin: Any) -> UnmatchedAct | None:
    """The act that waits for a decision, of those read with the row."""
    return next((act for act in payin.acts.all() if act.state == UnmatchedAct.State.PENDING), None)


def _effect(act: UnmatchedAct) -> dict[str, Any]:
    """What approving would make of it."""
    after = {Kind.CREDIT: "credited", Kind.SEND_BACK: "returned", Kind.KEEP: "kept"}
    effect: dict[str, Any] = {"state": after[Kind(act.kind)]}
    if act.customer is not None:
        effect |= {"customer": act.customer.email, "with_fee": str(act.with_fee)}
    if act.evidence:
        effect["evidence"] = act.evidence
    return {**effect, "proposed_by": act.proposed_by, "reason": act.reason}
