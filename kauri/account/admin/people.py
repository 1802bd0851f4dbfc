"""People: customers and operators, their keys and sign-ins.

The person's page is put together in ``kauri/order_core/admin.py``: the lowest floor that sees
balances and orders. What belongs to the account itself is here.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

from django import forms
from django.contrib import admin
from django.contrib.admin import SimpleListFilter
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _
from unfold.contrib.filters.admin import ChoicesDropdownFilter
from unfold.decorators import action, display
from unfold.enums import ActionVariant
from unfold.widgets import UnfoldAdminSelectWidget

from kauri.account.admin.guard import GuardActs
from kauri.account.admin.limits import LimitActs
from kauri.account.models import ApiKey, CustomerGroup, SignIn, User, VerificationDecision
from kauri.account.selectors import with_second_factor
from kauri.account.services import account_disable, account_enable, customer_verify
from kauri.common.admin import (
    EMPTY,
    ReadOnlyAdmin,
    ReasonForm,
    actor_of,
    attempt,
    back_to,
    badge,
    copyable,
    link,
    list_url,
    page_link,
    page_url,
    table,
    when,
    when_column,
)
from kauri.common.models import choice
from kauri.common.scoped_admin import RelatedDropdownFilter, may_open
from kauri.common.search import searched
from kauri.core.admin import NoPopups, PeriodFilter, SettingsAdmin

LEVELS = (
    (0, _("Level 0 – not verified")),
    (1, _("Level 1 – basic")),
    (2, _("Level 2 – full")),
    (3, _("Level 3 – enhanced")),
)
_ROWS = 20
#: The newest, of what has a list to lead to.
_NEWEST = 10


class VerifyForm(ReasonForm):
    """The level, and why."""

    level = forms.TypedChoiceField(
        label=_("Verification level"), choices=LEVELS, coerce=int, widget=UnfoldAdminSelectWidget
    )
    field_order = ("level", "reason")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        user_id = searched(str(self.object_id), "uuid")
        user = User.objects.filter(public_id=user_id).first() if isinstance(user_id, uuid.UUID) else None
        if user is not None:
            self.fields["level"].initial = user.verification_level


class LevelFilter(SimpleListFilter):
    """The levels that there are, not those that some row has: to know these is to read the table."""

    title = _("verification level")
    parameter_name = "verification_level"
    field = "verification_level"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        del request, model_admin
        return [(str(level), title) for level, title in LEVELS]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        del request
        level = self.value() or ""
        return queryset.filter(**{self.field: int(level)}) if level.isdecimal() else queryset


class WhoFilter(SimpleListFilter):
    """Customers unless operators are asked for."""

    title = _("who")
    parameter_name = "who"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        del model_admin
        return [("operators", _("Operators"))] if sees_operators(request) else []

    def choices(self, changelist: Any) -> Any:
        yield {
            "selected": self.value() is None,
            "query_string": changelist.get_query_string(remove=[self.parameter_name]),
            "display": _("Customers"),
        }
        for value, title in self.lookup_choices:
            yield {
                "selected": self.value() == value,
                "query_string": changelist.get_query_string({self.parameter_name: value}),
                "display": title,
            }

    def queryset(self, request: HttpRequest, queryset: QuerySet[User]) -> QuerySet[User]:
        return queryset.filter(is_staff=self.value() == "operators" and sees_operators(request))


def sees_operators(request: HttpRequest) -> bool:
    return request.user.has_perm("auth.view_group")


class PersonAdmin(GuardActs, LimitActs, NoPopups):
    """A person's account: profile, verification, keys, sign-ins; operators with their roles."""

    list_display = ("email", "username", "level", "group", "state", "language", "registered")
    list_select_related = ("group",)
    list_filter = (
        WhoFilter,
        LevelFilter,
        "is_active",
        ("account_type", ChoicesDropdownFilter),
        ("group", RelatedDropdownFilter),
        ("created_at", PeriodFilter),
    )
    exact_search: ClassVar[dict[str, str]] = {"email": "lower", "public_id": "uuid", "username": "text"}
    search_fields = ("email",)
    search_help_text = _("An e-mail, a name or an id, exactly")
    actions_detail = ("verify", "disable", "enable", "sign_out", "lift", "limit")

    registered = when_column("created_at", _("registered"))

    PROFILE: ClassVar[Sequence[Any]] = (
        ("email", "username"),
        ("id_shown", "state"),
        ("number", "telegram"),
        ("account_type", "group"),
        ("email_confirmed", "registered"),
        ("language", "has_webhook_secret"),
        "callback_url",
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[User]:
        people = super().get_queryset(request)
        return people if sees_operators(request) else people.filter(is_staff=False)

    def page_rows(self, request: HttpRequest) -> QuerySet[User]:
        return with_second_factor(
            super().page_rows(request).select_related("group").prefetch_related("white_ips")
        )

    def has_add_permission(self, request: HttpRequest) -> bool:
        # Customers register themselves; operators are made by a command that only the host can run.
        del request
        return False

    @display(description=_("verification"), ordering="verification_level")
    def level(self, obj: User) -> SafeString:
        return level_badge(obj)

    @display(description=_("account"))
    def state(self, obj: User) -> SafeString:
        if obj.is_active:
            return badge(_("active"), "good")
        return badge(_("disabled: %(reason)s") % {"reason": obj.disabled_reason or "–"}, "bad")

    @display(description=_("customer id"))
    def id_shown(self, obj: User) -> SafeString:
        return copyable(obj.public_id)

    @display(description=_("account number"))
    def number(self, obj: User) -> SafeString:
        return copyable(obj.number)

    @display(description=_("Telegram"))
    def telegram(self, obj: User) -> str:
        name = f"@{obj.telegram_username}" if obj.telegram_username else ""
        return f"{name} {obj.telegram_id or ''}".strip() or "–"

    @display(description=_("e-mail confirmed"))
    def email_confirmed(self, obj: User) -> SafeString:
        return when(obj.email_verified_at) if obj.email_verified_at else badge(_("not confirmed"), "warn")

    @display(description=_("last back office sign-in"))
    def last_seen(self, obj: User) -> SafeString:
        return when(obj.last_login)

    @display(description=_("webhook secret"))
    def has_webhook_secret(self, obj: User) -> SafeString:
        return badge(_("set"), "good") if obj.webhook_secret else badge(_("none"))

    @display(description=_("roles"))
    def roles(self, obj: User) -> str:
        return ", ".join(group.name for group in obj.groups.all()) or "–"

    @display(description=_("decisions"))
    def decisions(self, obj: User) -> SafeString:
        return decisions_table(obj.verification_decisions.order_by("-id")[:_ROWS])

    @display(description=_("API keys"))
    def keys(self, obj: User) -> SafeString:
        return table(
            (_("Name"), _("Key"), _("State"), _("Scopes"), _("Addresses"), _("Last used")),
            (
                (
                    page_link(row, row.name),
                    copyable(row.key),
                    choice(row, "state"),
                    ", ".join(row.scopes),
                    ", ".join(row.ips) or _("any"),
                    when(row.last_used_at),
                )
                for row in obj.api_keys.order_by("-id")[:_ROWS]
            ),
            _("The customer has no API keys."),
        )

    @display(description=_("sign-ins"))
    def sign_in_list(self, obj: User) -> SafeString:
        shown = sign_ins_table(obj.sign_ins.order_by("-id")[:_NEWEST])
        if not may_open(SignIn):
            return shown
        return shown + link(list_url(SignIn, q=obj.email), _("All sign-ins of this account"))

    def has_verify_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        return request.user.has_perm("account.verify_user") and self.customer(request, object_id) is not None

    def has_disable_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        customer = self.customer(request, object_id)
        return customer is not None and customer.is_active and request.user.has_perm("account.disable_user")

    def has_enable_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        customer = self.customer(request, object_id)
        return (
            customer is not None and not customer.is_active and request.user.has_perm("account.disable_user")
        )

    @action(
        description=_("Verify"),
        icon="verified_user",
        variant=ActionVariant.PRIMARY,
        permissions=["verify"],
        dialog={
            "title": _("Set the verification level"),
            "description": _("The decision, both levels and your words are kept for ever."),
            "form_class": VerifyForm,
            "form_submit_text": _("Set the level"),
        },
    )
    def verify(self, request: HttpRequest, form: VerifyForm, object_id: str) -> HttpResponse:
        user = User.objects.get(public_id=object_id)
        given = form.cleaned_data
        attempt(
            request,
            lambda: customer_verify(
                user_id=user.pk, level=given["level"], reason=given["reason"], actor=actor_of(request)
            ),
            _("%(who)s is now at level %(level)s.") % {"who": user.email, "level": given["level"]},
        )
        return back_to(request, page_url(user))

    @action(
        description=_("Disable the account"),
        icon="block",
        variant=ActionVariant.DANGER,
        permissions=["disable"],
        dialog={
            "title": _("Disable the account"),
            "description": _("Sessions and API keys stop at once. The money stays where it is."),
            "form_class": ReasonForm,
            "form_submit_text": _("Disable the account"),
        },
    )
    def disable(self, request: HttpRequest, form: ReasonForm, object_id: str) -> HttpResponse:
        return self._switch(request, form, object_id, account_disable, _("The account is disabled."))

    @action(
        description=_("Enable the account"),
        icon="lock_open",
        variant=ActionVariant.SUCCESS,
        permissions=["enable"],
        dialog={
            "title": _("Enable the account"),
            "description": _("The customer may sign in and order again."),
            "form_class": ReasonForm,
            "form_submit_text": _("Enable the account"),
        },
    )
    def enable(self, request: HttpRequest, form: ReasonForm, object_id: str) -> HttpResponse:
        return self._switch(request, form, object_id, account_enable, _("The account works again."))

    def _switch(
        self, request: HttpRequest, form: ReasonForm, object_id: str, service: Any, done: object
    ) -> HttpResponse:
        user = User.objects.get(public_id=object_id)
        reason = form.cleaned_data["reason"]
        attempt(request, lambda: service(user_id=user.pk, reason=reason, actor=actor_of(request)), done)
        return back_to(request, page_url(user))


def outcome(row: SignIn) -> SafeString:
    return badge(_("signed in"), "good") if row.succeeded else badge(_("refused"), "bad")


def level_badge(user: User) -> SafeString:
    tone = "good" if user.verification_level else "warn"
    return badge(dict(LEVELS).get(user.verification_level, user.verification_level), tone)


def decisions_table(decisions: Iterable[VerificationDecision]) -> SafeString:
    return table(
        (_("When"), _("From"), _("To"), _("By"), _("Reason")),
        ((when(row.at), row.from_level, row.to_level, row.actor_label, row.reason) for row in decisions),
        _("No decision yet."),
    )


def sign_ins_table(sign_ins: Iterable[SignIn]) -> SafeString:
    return table(
        (_("When"), _("Door"), _("Result"), _("Address"), _("Device")),
        (
            (when(row.at), choice(row, "door"), outcome(row), row.ip or EMPTY, row.user_agent or EMPTY)
            for row in sign_ins
        ),
        _("Nobody has signed in yet."),
    )


@admin.register(ApiKey)
class ApiKeyAdmin(ReadOnlyAdmin):
    """Keys without their secrets: a secret is shown once, to its owner."""

    list_display = ("name", "user", "key_shown", "state", "signature_version", "created", "used")
    list_select_related = ("user",)
    list_filter = (("state", ChoicesDropdownFilter), ("signature_version", ChoicesDropdownFilter))
    exact_search: ClassVar[dict[str, str]] = {"key": "text", "user__email": "lower", "public_id": "uuid"}
    search_help_text = _("A key or the customer's e-mail, exactly")
    fields = (
        "name",
        "user",
        "key_shown",
        "state",
        "scopes",
        "ips",
        "signature_version",
        "window_ms",
        "decimals_as_strings",
        "created",
        "activated",
        "used",
        "revoked",
    )
    created = when_column("created_at", _("created"))
    activated = when_column("activated_at", _("activated"))
    used = when_column("last_used_at", _("last used"))
    revoked = when_column("revoked_at", _("revoked"))

    @display(description=_("key"))
    def key_shown(self, obj: ApiKey) -> SafeString:
        return copyable(obj.key)


@admin.register(SignIn)
class SignInAdmin(ReadOnlyAdmin):
    list_display = ("seen", "email", "door", "result", "ip", "user_agent")
    list_filter = (("door", ChoicesDropdownFilter), "succeeded", ("at", PeriodFilter))
    exact_search: ClassVar[dict[str, str]] = {"email": "lower", "ip": "address"}
    search_help_text = _("An e-mail or a network address, exactly")
    fields = ("seen", "email", "user", "door", "result", "ip", "user_agent")
    public_lookup = "pk"
    seen = when_column("at", _("when"))

    @display(description=_("result"), ordering="succeeded")
    def result(self, obj: SignIn) -> SafeString:
        return outcome(obj)


@admin.register(CustomerGroup)
class CustomerGroupAdmin(SettingsAdmin):
    list_display = ("code", "title")
    fields = ("code", "title", "change_reason")

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Sequence[str]:
        del request
        return ("code",) if obj is not None else ()
