"""What a held withdrawal waits for before people or providers see it: its customer's code, and analysis."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final

from kauri.account.codes import code_make
from kauri.account.models import User
from kauri.account.selectors import has_second_factor
from kauri.account.services import reached_by, secure_letter
from kauri.common import throttle
from kauri.common.actor import Actor
from kauri.common.errors import KauriError
from kauri.common.money import plain
from kauri.order_core import approvals, machine
from kauri.order_core.models import Order
from kauri.order_core.selectors import cooling_off
from kauri.order_core.states import OrderStatus
from kauri.withdrawal_order import paying
from kauri.withdrawal_order.body import withdrawal_object
from kauri.withdrawal_order.review import Review

SCREEN_TASK: Final = "kauri.withdrawal_order.tasks.withdrawal_screen"
PURPOSE: Final = "withdrawal"
#: After this an order that was not confirmed ends, and what it held is released.
CONFIRM_LIFE: Final = timedelta(minutes=30)
LETTERS: Final = 5
LETTERS_SECONDS: Final = 3600
_ENDS = 6


def confirmed_by(user: User) -> str:
    """What confirms a withdrawal of this account: ``email``, ``telegram``, or ``totp`` where no letter gets to it.

    ``confirmation_unavailable`` where there is nothing.
    """
    way = reached_by(user) or ("totp" if has_second_factor(user) else "")
    if not way:
        raise KauriError("confirmation_unavailable")
    return way


def code_send(order: Order, user: User) -> None:
    """Send the letter with a new code, in the caller's transaction; an account without letters gets none.

    ``rate_limited`` after some letters about one order.
    """
    until = order.withdrawal.confirm_until
    if until is None or confirmed_by(user) == "totp":
        return
    if throttle.hit(f"withdrawal_code:{order.public_id}", LETTERS, LETTERS_SECONDS).exceeded:
        raise KauriError("rate_limited")
    secure_letter(
        user,
        "withdrawal_code",
        {
            "code": code_make(user, PURPOSE, order.public_id, until),
            "amount": plain(order.amount_out),
            "currency": order.currency_out.code,
            "destination": shortened(order.withdrawal.shown_destination),
            "ip": str(order.ip or "–"),
            "until": f"{until:%Y-%m-%d %H:%M} UTC",
        },
    )


def proceed(order: Order, actor: Actor, more: Review) -> None:
    """Send a held, locked order on: to people where a rule says so, else on its way out.

    Nothing happens while it waits for a code or for analysis. ``more`` is what was found since the
    order was judged; what may have changed about the account meanwhile is looked at anew.
    """
    review = _with_news(order, more)
    if order.withdrawal.waits:
        return
    if review.rules:
        machine.transition(
            order, OrderStatus.WAITING_FOR_OPERATOR_CONFIRMATION, actor=actor, body=withdrawal_object
        )
        approvals.request(order, rules=review.rules, needed=review.needed)
    else:
        paying.start(order, actor)


def stop_waiting(order: Order) -> None:
    """An order that ended waits for nothing any more."""
    detail = order.withdrawal
    if detail.waits:
        detail.confirm_until = detail.screen_due_at = None
        detail.save(update_fields=["confirm_until", "screen_due_at"])


def shortened(destination: str) -> str:
    """Both ends of a destination: enough to know it again, by a letter that others may read."""
    return (
        destination if len(destination) <= 2 * _ENDS + 1 else f"{destination[:_ENDS]}…{destination[-_ENDS:]}"
    )


def explained(review: Review) -> dict[str, Any]:
    """What the order keeps of a review, beside the policy's judgement."""
    return {"rules": review.rules, "approvals_needed": review.needed}


def _with_news(order: Order, more: Review) -> Review:
    """The order's review with what is new, kept on the order where there is any."""
    kept = Review(order.explanation["rules"], order.explanation["approvals_needed"])
    owner = order.owner
    news = [*more.rules, *cooling_off(owner)]
    if not owner.is_active:
        text = "The account was disabled while the order waited"
        news.append({"rule": "account_disabled", "text": text, "value": owner.disabled_reason, "limit": ""})
    known = {rule["rule"] for rule in kept.rules if "review_rule" not in rule}
    news = [rule for rule in news if rule["rule"] not in known]
    if not news:
        return kept
    review = kept.and_also(Review(news, max(more.needed, 1)))
    order.explanation = {**order.explanation, **explained(review)}
    order.save(update_fields=["explanation"])
    return review
