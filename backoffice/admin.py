"""The person's one page: put together here, since it spans rooms that do not know each other."""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus
from typing import Any, ClassVar

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.utils import flatten_fieldsets
from django.contrib.auth.models import Group
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _
from unfold.decorators import action, display
from unfold.enums import ActionVariant
from unfold.widgets import UnfoldAdminCheckboxSelectMultipleWidget, UnfoldAdminTextInputWidget

from backoffice.customer import CustomerFacts, all_of
from backoffice.roles import RoleAdmin
from kauri.account.admin import PersonAdmin, cases_table, level_badge
from kauri.account.models import User
from kauri.account.operators import (
    CHANGE,
    operator_disable,
    operator_enable,
    operator_roles_set,
    operator_telegram_unassign,
)
from kauri.balance.admin import AsOfMixin, as_of_note
from kauri.balance.models import Entry
from kauri.balance.selectors import customer_balances
from kauri.common.admin import (
    EMPTY,
    ReasonForm,
    actor_of,
    attempt,
    back_to,
    changes,
    copyable,
    list_url,
    money,
    page_link,
    page_url,
    refusal,
    table,
    when,
)
from kauri.common.code_forms import CodeAlwaysForm, code_field
from kauri.common.errors import KauriError
from kauri.common.scopes import seen
from kauri.core.admin import act_words
from kauri.core.audit import audit
from kauri.core.models import AuditEntry
from kauri.notification.admin import deliveries_table
from kauri.notification.models import Delivery
from kauri.order_core.admin import orders_table
from kauri.order_core.models import Order
from kauri.payment_card.admin import cards_table
from kauri.payment_card.models import PaymentCard
from kauri.wallet.models import DepositAddress

#: Both register themselves: who has an account, and what a role may do.
__all__ = ["CustomerAdmin", "RoleAdmin"]

#: The newest of each kind; a link below leads to all of them.
_ROWS = 10


class RolesForm(forms.ModelForm):
    """Whoever gives roles says why, and proves anew that it is them."""

    reason = forms.CharField(
        label=_("Reason"),
        max_length=300,
        widget=UnfoldAdminTextInputWidget(attrs={"autocomplete": "off"}),
        help_text=_("To take a role away is done at once; to give one is proposed to a second person."),
    )
    code = code_field()


class CodedReasonForm(CodeAlwaysForm, ReasonForm):
    field_order = ("reason", "code")


@admin.register(User)
class CustomerAdmin(CustomerFacts, AsOfMixin, PersonAdmin):
    """Everything about one customer; an operator's roles on theirs."""

    CUSTOMER_SETS: ClassVar[Any] = (
        (_("Customer"), {"fields": PersonAdmin.PROFILE}),
        (_("Balances"), {"fields": ("balances",)}),
        (_("Verification"), {"fields": ("level_shown", "cases_shown", "decisions")}),
        (_("Notes"), {"fields": ("notes_shown",)}),
        (_("Orders"), {"fields": ("orders_shown",), "classes": ("tab",)}),
        (_("Ledger"), {"fields": ("ledger_shown",), "classes": ("tab",)}),
        (_("Rules"), {"fields": ("rules_shown",), "classes": ("tab",)}),
        (_("Addresses"), {"fields": ("addresses",), "classes": ("tab",)}),
        (_("Cards"), {"fields": ("cards_shown",), "classes": ("tab",)}),
        (_("Keys and sign-ins"), {"fields": ("keys", "sign_in_list"), "classes": ("tab",)}),
        (_("Security"), {"fields": PersonAdmin.GUARD, "classes": ("tab",)}),
        (_("Webhooks and messages"), {"fields": ("messages_sent",), "classes": ("tab",)}),
        (_("Audit"), {"fields": ("audited",), "classes": ("tab",)}),
    )
    form = RolesForm
    actions_detail = (*PersonAdmin.actions_detail, "note", "untie", "shut_out", "let_in", "read_as_of")
    OPERATOR_SETS: ClassVar[Any] = (
        (_("Operator"), {"fields": ("email", "username", "state", "language", "registered", "last_seen")}),
        (_("Roles"), {"fields": ("groups", "reason", "code")}),
        (_("Seen by the operator"), {"fields": ("limits_shown",)}),
        (_("Telegram"), {"fields": ("telegram",)}),
        (_("Sign-ins"), {"fields": ("sign_in_list",), "classes": ("tab",)}),
        (_("Audit"), {"fields": ("acts",), "classes": ("tab",)}),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[User]:
        people = super().get_queryset(request)
        if request.GET.get("who") != "operators":
            return people
        _of_operators(request)
        return people.prefetch_related("groups")

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> User | None:
        person = super().get_object(request, object_id, from_field)
        if person is not None and person.is_staff:
            _of_operators(request)
        return person

    def get_list_display(self, request: HttpRequest) -> Sequence[str]:
        if request.GET.get("who") == "operators":
            return ("email", "username", "roles", "state", "last_seen")
        return super().get_list_display(request)

    def list_fixed(self, request: HttpRequest) -> dict[str, str]:
        # Operators have columns of their own.
        return {"who": "operators"} if request.GET.get("who") == "operators" else {}

    def get_fieldsets(self, request: HttpRequest, obj: User | None = None) -> Any:
        del request
        return self.OPERATOR_SETS if obj is not None and obj.is_staff else self.CUSTOMER_SETS

    def get_readonly_fields(self, request: HttpRequest, obj: User | None = None) -> Sequence[str]:
        shown = flatten_fieldsets(self.get_fieldsets(request, obj))
        return [name for name in shown if name not in {"groups", "reason", "code"}]

    def has_change_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        # Only an operator's roles are changed on this page, by others; customers through services.
        if obj is None or not obj.is_staff or obj.pk == request.user.pk:
            return False
        return request.user.has_perm(CHANGE) and not request.user.scope.is_limited

    def formfield_for_manytomany(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name == "groups":
            kwargs |= {"queryset": Group.objects.order_by("name"), "label": _("Roles"), "help_text": ""}
            kwargs["widget"] = UnfoldAdminCheckboxSelectMultipleWidget
        return super().formfield_for_manytomany(db_field, request, **kwargs)

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        """Nothing of the account itself is changed here."""

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        """The roles, by the service that asks for the code."""
        given = form.cleaned_data
        try:
            request._kauri_proposal = operator_roles_set(
                operator_id=form.instance.pk,
                roles=[group.pk for group in given["groups"]],
                reason=given["reason"],
                code=given["code"],
                actor=actor_of(request),
            )
        except KauriError as error:
            request._kauri_refused = refusal(error)

    def log_change(self, request: HttpRequest, obj: Any, message: Any) -> Any:
        """The audit has it."""

    def response_change(self, request: HttpRequest, obj: Any) -> HttpResponse:
        why, made = getattr(request, "_kauri_refused", None), getattr(request, "_kauri_proposal", None)
        if why is not None:
            messages.error(request, why)
            return HttpResponseRedirect(request.path)
        if made is None:
            return super().response_change(request, obj)
        messages.success(request, _("Proposed. Nothing has changed yet: a second person decides."))
        return HttpResponseRedirect(page_url(made))

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """Who looked at whose data is on record."""
        response = super().change_view(request, object_id, form_url, extra_context)
        person = self.get_object(request, object_id) if request.method == "GET" else None
        if person is not None and not person.is_staff and response.status_code == HTTPStatus.OK:
            audit(
                actor_of(request),
                "customer_view",
                object_type="user",
                object_id=person.pk,
                label=person.email,
            )
        return response

    def has_untie_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        if not request.user.has_perm(CHANGE) or request.user.scope.is_limited or object_id is None:
            return False
        person = self.get_object(request, str(object_id))
        return person is not None and person.is_staff and person.telegram_id is not None

    @action(
        description=_("Untie from Telegram"),
        icon="link_off",
        variant=ActionVariant.DANGER,
        permissions=["untie"],
        dialog={
            "title": _("Untie the operator from Telegram"),
            "description": _("Nothing is asked or decided there any more. The operator is told by letter."),
            "form_class": CodedReasonForm,
            "form_submit_text": _("Untie from Telegram"),
        },
    )
    def untie(self, request: HttpRequest, form: CodedReasonForm, object_id: str) -> HttpResponse:
        operator = self.row_of(request, object_id)
        given = {name: form.cleaned_data[name] for name in ("reason", "code")}
        attempt(
            request,
            lambda: operator_telegram_unassign(operator_id=operator.pk, actor=actor_of(request), **given),
            _("%(who)s is untied from Telegram.") % {"who": operator.email},
        )
        return back_to(request, page_url(operator))

    def has_shut_out_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        person = self._another_operator(request, object_id)
        return person is not None and person.is_active

    def has_let_in_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        person = self._another_operator(request, object_id)
        return person is not None and not person.is_active

    def _another_operator(self, request: HttpRequest, object_id: Any) -> User | None:
        if not request.user.has_perm(CHANGE) or request.user.scope.is_limited or object_id is None:
            return None
        person = self.get_object(request, str(object_id))
        return person if person is not None and person.is_staff and person.pk != request.user.pk else None

    @action(
        description=_("Shut out"),
        icon="block",
        variant=ActionVariant.DANGER,
        permissions=["shut_out"],
        dialog={
            "title": _("Shut the operator out"),
            "description": _(
                "They are signed out at once everywhere. Letting them in again takes two people."
            ),
            "form_class": CodedReasonForm,
            "form_submit_text": _("Shut out"),
        },
    )
    def shut_out(self, request: HttpRequest, form: CodedReasonForm, object_id: str) -> HttpResponse:
        return self._access(request, form, object_id, operator_disable, _("The operator is shut out."))

    @action(
        description=_("Let in again"),
        icon="lock_open",
        permissions=["let_in"],
        dialog={
            "title": _("Let the operator in again"),
            "description": _("A second person decides."),
            "form_class": CodedReasonForm,
            "form_submit_text": _("Propose it"),
        },
    )
    def let_in(self, request: HttpRequest, form: CodedReasonForm, object_id: str) -> HttpResponse:
        done = _("Proposed. Nothing has changed yet: a second person decides.")
        return self._access(request, form, object_id, operator_enable, done)

    def _access(
        self, request: HttpRequest, form: CodedReasonForm, object_id: str, service: Any, done: object
    ) -> HttpResponse:
        operator = self.row_of(request, object_id)
        given = {name: form.cleaned_data[name] for name in ("reason", "code")}
        attempt(request, lambda: service(operator_id=operator.pk, actor=actor_of(request), **given), done)
        return back_to(request, page_url(operator))

    @display(description=_("level"))
    def level_shown(self, obj: User) -> SafeString:
        return level_badge(obj)

    @display(description=_("verification cases"))
    def cases_shown(self, obj: User) -> SafeString:
        return cases_table(seen(obj.cases.select_related("provider"), obj).order_by("-id")[:_ROWS])

    @display(description=_("balances"))
    def balances(self, obj: Any) -> SafeString:
        rows = [
            found
            for found in customer_balances(obj.pk, obj.as_of)
            if found.total and obj.viewer_scope.has_currency(found.currency.pk)
        ]
        shown = table(
            (_("Currency"), _("Available"), _("Held"), _("Total")),
            (
                (
                    found.currency.code,
                    money(found.available, found.currency),
                    money(found.held, found.currency),
                    money(found.total, found.currency),
                )
                for found in rows
            ),
            _("The customer holds nothing."),
        )
        return as_of_note(obj) + shown + all_of(Entry, _("The customer's entries in the ledger"), q=obj.email)

    @display(description=_("orders"))
    def orders_shown(self, obj: User) -> SafeString:
        orders = seen(obj.orders.select_related("currency_in", "currency_out"), obj).order_by(
            "-created_at", "-id"
        )[:_ROWS]
        return orders_table(orders, _("The customer has no orders.")) + all_of(
            Order, _("All orders of this customer"), q=obj.email
        )

    @display(description=_("cards"))
    def cards_shown(self, obj: User) -> SafeString:
        cards = PaymentCard.objects.filter(customer=obj).order_by("-id")[:_ROWS]
        return cards_table(cards, _("The customer has no cards.")) + all_of(
            PaymentCard, _("All cards of this customer"), q=obj.email
        )

    @display(description=_("deposit addresses"))
    def addresses(self, obj: User) -> SafeString:
        rows = seen(obj.deposit_addresses.select_related("network", "currency"), obj).order_by("-id")[:_ROWS]
        return table(
            (_("Address"), _("Network"), _("Currency"), _("Client's id"), _("Given out")),
            (
                (
                    copyable(row.address),
                    row.network,
                    row.currency,
                    row.external_id or EMPTY,
                    when(row.assigned_at),
                )
                for row in rows
            ),
            _("No address was given to the customer yet."),
        ) + all_of(DepositAddress, _("All addresses of this customer"), q=obj.email)

    @display(description=_("deliveries"))
    def messages_sent(self, obj: User) -> SafeString:
        return deliveries_table(seen(obj.deliveries.all(), obj).order_by("-id")[:_ROWS]) + all_of(
            Delivery, _("All messages of this customer"), q=obj.email
        )

    @display(description=_("audit"))
    def audited(self, obj: User) -> SafeString:
        about = AuditEntry.objects.filter(object_type="user", object_id=str(obj.pk)).exclude(
            verb="customer_view"
        )
        return _audit_table(about.order_by("-id")[:_ROWS]) + all_of(
            AuditEntry, _("Everything on record, views included"), object_type="user", q=obj.pk
        )

    @display(description=_("acts"))
    def acts(self, obj: User) -> SafeString:
        done = AuditEntry.objects.filter(actor_kind="operator", actor_id=str(obj.pk))
        return _audit_table(done.order_by("-id")[:_ROWS]) + all_of(
            AuditEntry, _("All acts of this operator"), q=obj.email
        )


def _of_operators(request: HttpRequest) -> None:
    """Customers and operators are rows of one model: the header and the sidebar name the screen of these."""
    request.header_list = {"title": _("Operators"), "url": list_url(User, who="operators")}  # type: ignore[attr-defined]


def _audit_table(entries: Any) -> SafeString:
    return table(
        (_("When"), _("By"), _("Act"), _("About"), _("Reason"), _("What changed")),
        (
            (
                page_link(row, f"{row.at:%Y-%m-%d %H:%M}"),
                row.actor_label,
                act_words(row.verb),
                row.object_label or row.object_id,
                row.reason or EMPTY,
                changes(row.before, row.after) if row.before or row.after else EMPTY,
            )
            for row in entries
        ),
        _("Nothing on record yet."),
    )
