"""Several withdrawals approved at once: only where each of them is one that this operator may approve with one click."""

from __future__ import annotations

from typing import Any, Final

from django.contrib import messages
from django.contrib.admin import ModelAdmin
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from kauri.common.admin import actor_of, money, refusal, short
from kauri.common.errors import KauriError
from kauri.common.money import plain
from kauri.order_core import risk
from kauri.order_core.models import Approval
from kauri.withdrawal_order import selectors, services
from kauri.withdrawal_order.models import WithdrawalDetail

#: As many as one can look through.
MOST: Final = 50


def approve(admin: ModelAdmin[Any], request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse | None:
    """Show what is chosen; approve it when asked to, each by the service that one page uses."""
    if len(queryset[: MOST + 1]) > MOST:
        words = _("At most %(most)s at once. Nothing was approved.")
        messages.error(request, words % {"most": MOST})
        return None
    # What another decided or put aside meanwhile is in the list's filter no more: it is shown all the same.
    ids = request.POST.getlist(ACTION_CHECKBOX_NAME)
    chosen = list(
        admin.get_queryset(request).filter(pk__in=ids).order_by("order__approval__created_at", "order_id")
    )
    rows = [(detail, _obstacle(detail, request)) for detail in chosen]
    if request.POST.get("confirmed") and not any(why for _detail, why in rows):
        _run(request, chosen)
        return None
    context = {
        **admin.admin_site.each_context(request),
        "title": _("Approve these withdrawals?"),
        "opts": admin.opts,
        "rows": [
            {
                "pk": detail.pk,
                "amount": money(detail.order.amount_out, detail.order.currency_out),
                "customer": detail.order.owner.email,
                "to": short(detail.shown_destination),
                "obstacle": why,
            }
            for detail, why in rows
        ],
        "blocked": any(why for _detail, why in rows),
        "checkbox": ACTION_CHECKBOX_NAME,
    }
    request.current_app = admin.admin_site.name
    return TemplateResponse(request, "admin/withdrawal_order/bulk.html", context)


def _obstacle(detail: WithdrawalDetail, request: HttpRequest) -> str:
    """Why this one is not approved in a row with others; empty when it is. The service decides."""
    order, operator_id = detail.order, request.user.pk
    approval: Approval | None = getattr(order, "approval", None)
    if approval is None or approval.state != Approval.State.PENDING:
        return _("It does not wait for a decision.")
    voted = approval.votes.filter(actor_kind="operator", actor_id=str(operator_id)).exists()
    return (
        selectors.obstacle(order, approval, operator_id, voted)
        or risk.obstacle(order, operator_id)
        or (
            _("It asks for your one-time code: open its page.") if risk.needs_code(order, operator_id) else ""
        )
    )


def _run(request: HttpRequest, chosen: list[WithdrawalDetail]) -> None:
    done = 0
    for detail in chosen:
        try:
            services.withdrawal_approve(
                order_id=detail.order.public_id, actor=actor_of(request), reason=_REASON
            )
        except KauriError as error:
            what = f"{plain(detail.order.amount_out)} {detail.order.currency_out} → {short(detail.shown_destination)}"
            messages.error(request, f"{what}: {refusal(error)}")
        else:
            done += 1
    if done:
        words = ngettext(
            "Your approval counts for %(count)s withdrawal.",
            "Your approval counts for %(count)s withdrawals.",
            done,
        )
        messages.success(request, words % {"count": done})


#: In English, as all of history.
_REASON: Final = "one of several approved at once"
