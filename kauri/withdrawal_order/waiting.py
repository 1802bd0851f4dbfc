"""What operators do with a withdrawal that waits for them, short of deciding: take, hand on, put aside, ask."""

from __future__ import annotations

import uuid
from typing import Any

from django.db import transaction

from kauri.account.models import User
from kauri.account.selectors import require_permission, require_scope
from kauri.account.services import reached_by, secure_letter
from kauri.common.actor import Actor
from kauri.common.errors import KauriError
from kauri.common.money import plain
from kauri.core.audit import audit
from kauri.core.outbox import emit
from kauri.order_core import approvals
from kauri.order_core.models import Order
from kauri.order_core.services import note_keep
from kauri.withdrawal_order import paying
from kauri.withdrawal_order.selectors import APPROVE, can_decide


@transaction.atomic
def withdrawal_take(*, order_id: uuid.UUID, actor: Actor) -> Order:
    """Tell the other operators that this one is being looked at."""
    order = _locked(order_id, actor)
    approvals.take(order, actor=actor)
    _kept(actor, "take", order)
    return order


@transaction.atomic
def withdrawal_untake(*, order_id: uuid.UUID, actor: Actor) -> Order:
    """Give it back to the queue."""
    order = _locked(order_id, actor)
    approvals.untake(order, actor=actor)
    _kept(actor, "untake", order)
    return order


@transaction.atomic
def withdrawal_hand(*, order_id: uuid.UUID, to: uuid.UUID, actor: Actor, words: str = "") -> Order:
    """Give it to another operator, who is told: it waits under their name.

    ``to`` is their public id. Raises ``validation_error`` where they can't decide on it (no such operator,
    no right, outside their limits, their own order, voted already) and ``wrong_state``.
    """
    order = _locked(order_id, actor)
    other = User.objects.filter(public_id=to).first()
    if other is None or str(other.pk) == actor.id or not can_decide(other, order):
        raise KauriError("validation_error", fields={"to": "this operator can't decide on it"})
    approvals.hand(order, to=other.pk, actor=actor)
    words = words.strip()
    _kept(actor, "hand", order, after={"to": other.email}, reason=words)
    emit(
        "approval.handed",
        subject_type="order",
        subject_id=order.public_id,
        payload={
            "order_id": str(order.public_id),
            "amount": plain(order.amount_out),
            "currency": order.currency_out.code,
            "customer": order.owner.email,
            "by": actor.label,
            "to": other.email,
            "words": words,
        },
    )
    return order


@transaction.atomic
def withdrawal_hold(*, order_id: uuid.UUID, reason: str, actor: Actor) -> Order:
    """Put it aside, for a reason that the others read; the customer's money stays held."""
    order = _locked(order_id, actor)
    said = _required(reason, "reason")
    approvals.hold(order, reason=said, actor=actor)
    _kept(actor, "hold", order, reason=said)
    return order


@transaction.atomic
def withdrawal_unhold(*, order_id: uuid.UUID, actor: Actor) -> Order:
    """Put it back into the queue, at its old place."""
    order = _locked(order_id, actor)
    approvals.unhold(order)
    _kept(actor, "unhold", order)
    return order


@transaction.atomic
def withdrawal_ask(*, order_id: uuid.UUID, question: str, actor: Actor) -> Order:
    """Ask the customer by a letter; the question is kept as a note, and the order put aside until an answer.

    Raises ``wrong_state`` for a customer to whom no letter gets, and the errors of :func:`withdrawal_hold`.
    """
    order = _locked(order_id, actor)
    said = _required(question, "question")
    if not reached_by(order.owner):
        raise KauriError("wrong_state", "no letter gets to this customer")
    approvals.hold(order, reason=f"Asked the customer: {said}"[:300], actor=actor)
    note_keep(order, f"Asked the customer: {said}", actor)
    secure_letter(
        order.owner,
        "withdrawal_question",
        {
            "question": said,
            "amount": plain(order.amount_out),
            "currency": order.currency_out.code,
            "order": str(order.public_id),
        },
    )
    _kept(actor, "ask", order, reason=said)
    return order


def _locked(order_id: uuid.UUID, actor: Actor) -> Order:
    require_permission(actor, APPROVE)
    order = paying.locked(order_id)
    require_scope(actor, order)
    return order


def _required(text: str, name: str) -> str:
    if not text.strip():
        raise KauriError("validation_error", fields={name: "required"})
    return text.strip()


def _kept(
    actor: Actor, act: str, order: Order, *, after: dict[str, Any] | None = None, reason: str = ""
) -> None:
    audit(
        actor,
        f"withdrawal_{act}",
        object_type="order",
        object_id=order.public_id,
        label=str(order.owner),
        after=after,
        reason=reason,
    )
