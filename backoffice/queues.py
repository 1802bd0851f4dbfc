"""The desk's queues: how long each is, since when its head waits, and what waits for too long."""

from __future__ import annotations

from dataclasses import dataclass

from django.conf import settings
from django.http import HttpRequest
from django.urls import reverse
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from kauri.account.cases import queue as cases
from kauri.account.models import VerificationCase
from kauri.common.admin import age, list_url
from kauri.order_core.holding import hold_state
from kauri.order_core.states import OrderType
from kauri.withdrawal_order.models import WithdrawalDetail
from kauri.withdrawal_order.selectors import queue_state


@dataclass(frozen=True, slots=True)
class Card:
    """One kind of work: how much, where its rows are, what is wrong with it."""

    title: str | Promise
    icon: str
    count: int
    url: str
    empty: str | Promise
    note: str = ""
    alarm: str = ""
    alarm_url: str = ""
    next_url: str = ""


def approvals(request: HttpRequest) -> Card:
    state = queue_state(request.user.scope)
    decides = request.user.has_perm("withdrawal_order.approve_withdrawaldetail")
    overdue = ngettext(
        "%(count)s waits longer than 30 minutes", "%(count)s wait longer than 30 minutes", state.overdue
    ) % {"count": state.overdue}
    return Card(
        title=_("Withdrawals to approve"),
        icon="approval",
        count=state.count,
        url=list_url(WithdrawalDetail, queue="waiting"),
        empty=_("Nobody waits for a decision."),
        note=str(_("the oldest came %(age)s")) % {"age": age(state.oldest)} if state.oldest else "",
        alarm=overdue if state.overdue else "",
        alarm_url=list_url(WithdrawalDetail, queue="overdue"),
        next_url=reverse("admin:withdrawal_next") if state.count and decides else "",
    )


def verification(request: HttpRequest) -> Card:
    state = cases.queue_state(request.user.scope)
    overdue = ngettext("%(count)s waits longer than a day", "%(count)s wait longer than a day", state.overdue)
    return Card(
        title=_("Verification queue"),
        icon="verified_user",
        count=state.count,
        url=list_url(VerificationCase, queue="waiting"),
        empty=_("Nobody waits for verification."),
        note=str(_("the oldest came %(age)s")) % {"age": age(state.oldest)} if state.oldest else "",
        alarm=overdue % {"count": state.overdue} if state.overdue else "",
        alarm_url=list_url(VerificationCase, queue="overdue"),
        next_url=reverse("admin:verification_next")
        if state.count and request.user.has_perm("account.verify_user")
        else "",
    )


def on_hold(request: HttpRequest) -> Card:
    """Withdrawals that somebody has put aside; a hold that lasts too long is one that was forgotten."""
    state = hold_state(OrderType.WITHDRAWAL, request.user.scope)
    overdue = ngettext(
        "%(count)s is on hold for more than %(hours)s hours",
        "%(count)s are on hold for more than %(hours)s hours",
        state.overdue,
    ) % {"count": state.overdue, "hours": settings.KAURI.hold_alarm_hours}
    return Card(
        title=_("Withdrawals on hold"),
        icon="pause_circle",
        count=state.count,
        url=list_url(WithdrawalDetail, queue="held"),
        empty=_("Nothing is on hold."),
        note=str(_("the oldest was put aside %(age)s")) % {"age": age(state.oldest)} if state.oldest else "",
        alarm=overdue if state.overdue else "",
        alarm_url=list_url(WithdrawalDetail, queue="held_long"),
    )
