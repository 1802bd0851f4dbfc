"""What guards a customer's account, on their page: sessions, second factor, allowed addresses."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _
from unfold.decorators import action, display
from unfold.enums import ActionVariant

from kauri.account.addresses import white_ips_lift
from kauri.account.models import User
from kauri.account.selectors import cooling_until
from kauri.account.sessions import account_sign_out
from kauri.common.admin import (
    EMPTY,
    ReasonForm,
    actor_of,
    attempt,
    back_to,
    badge,
    page_url,
    table,
    when,
)

_ROWS = 20


class GuardActs:
    """Mixed into the person's page."""

    GUARD = (("second_factor", "cooling"), "sessions_shown", "white_ips_shown")

    @display(description=_("second factor"))
    def second_factor(self, obj: User) -> SafeString:
        return badge(_("on"), "good") if obj.has_factor else badge(_("off"), "warn")

    @display(description=_("security changed"))
    def cooling(self, obj: User) -> SafeString | str:
        if cooling_until(obj) is None:
            return when(obj.security_changed_at)
        return badge(_("lately: money leaves by an operator only"), "warn")

    @display(description=_("sessions"))
    def sessions_shown(self, obj: User) -> SafeString:
        return table(
            (_("Began"), _("Last refreshed"), _("Second factor"), _("Address"), _("Device"), _("Ended")),
            (
                (
                    when(row.started_at),
                    when(row.seen_at),
                    badge(_("passed"), "good") if row.second_factor_id else EMPTY,
                    row.ip or EMPTY,
                    row.user_agent or EMPTY,
                    badge(row.get_end_reason_display()) if row.ended_at else badge(_("lives"), "good"),
                )
                for row in obj.sessions.order_by("-id")[:_ROWS]
            ),
            _("No session yet."),
        )

    @display(description=_("allowed addresses"))
    def white_ips_shown(self, obj: User) -> SafeString:
        return table(
            (_("Address"), _("Confirmed")),
            ((row.ip, when(row.confirmed_at)) for row in obj.white_ips.all()),
            _("The account may be used from anywhere."),
        )

    def customer(self, request: HttpRequest, object_id: Any) -> User | None:
        """The customer of that id, if they are there for this operator."""
        found = None if object_id is None else self.get_object(request, str(object_id))
        return None if found is None or found.is_staff else found

    def has_sign_out_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        return request.user.has_perm("account.secure_user") and self.customer(request, object_id) is not None

    def has_lift_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        customer = self.customer(request, object_id)
        return (
            customer is not None
            and request.user.has_perm("account.secure_user")
            and bool(customer.white_ips.all())
        )

    @action(
        description=_("End the sessions"),
        icon="logout",
        permissions=["sign_out"],
        dialog={
            "title": _("End all sessions"),
            "description": _("The customer has to sign in again everywhere. API keys stay."),
            "form_class": ReasonForm,
            "form_submit_text": _("End the sessions"),
        },
    )
    def sign_out(self, request: HttpRequest, form: ReasonForm, object_id: str) -> HttpResponse:
        return _act(request, form, object_id, account_sign_out, _("The sessions have ended."))

    @action(
        description=_("Lift the address list"),
        icon="public",
        variant=ActionVariant.DANGER,
        permissions=["lift"],
        dialog={
            "title": _("Lift the list of allowed addresses"),
            "description": _("The account may then be used from anywhere. The customer is told by letter."),
            "form_class": ReasonForm,
            "form_submit_text": _("Lift the address list"),
        },
    )
    def lift(self, request: HttpRequest, form: ReasonForm, object_id: str) -> HttpResponse:
        return _act(request, form, object_id, white_ips_lift, _("The address list is empty."))


def _act(request: HttpRequest, form: ReasonForm, object_id: str, service: Any, done: object) -> HttpResponse:
    user = User.objects.get(public_id=object_id)
    reason = form.cleaned_data["reason"]
    attempt(request, lambda: service(user_id=user.pk, reason=reason, actor=actor_of(request)), done)
    return back_to(request, page_url(user))
