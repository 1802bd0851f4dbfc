"""People's decisions on orders: taken, voted, counted. Nobody decides on what is their own."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from kauri.account.models import User
from kauri.account.second_factor import operator_code
from kauri.common import clock
from kauri.common.actor import Actor, request_id
from kauri.common.errors import KauriError
from kauri.common.locks import lock
from kauri.common.money import plain
from kauri.core.outbox import emit
from kauri.order_core import risk
from kauri.order_core.models import Approval, ApprovalVote, DecisionAsk, Order


def request(order: Order, *, rules: list[dict[str, Any]], needed: int) -> Approval:
    """Put the order into the operators' queue and tell them."""
    approval = Approval.objects.create(order=order, rules=rules, needed=needed)
    emit(
        "approval.waiting",
        subject_type="order",
        subject_id=order.public_id,
        payload={
            "order_id": str(order.public_id),
            "type": order.type,
            "amount": plain(order.amount_out),
            "currency": order.currency_out.code,
            "customer": order.owner.email,
            "rules": [rule["text"] for rule in rules],
        },
    )
    return approval


def vote(
    order: Order, *, actor: Actor, decision: ApprovalVote.Decision, reason: str, code: str = ""
) -> Approval:
    """Record one operator's decision on a locked order; returns the approval as it stands after.

    Who decides by another way than the page (:attr:`Actor.via`) gives a code, whatever the order is worth.
    Raises ``forbidden`` (own order, or already voted), ``wrong_state`` (decided, or taken by
    somebody else); for an approval also ``edited_today``, ``approval_limit_exceeded``,
    ``rate_unavailable`` where the operator's limit can't be compared, and ``totp_required`` and
    ``totp_invalid`` where it asks for a code.
    """
    approval = _waiting(order, "somebody has already decided on this order")
    if not actor.is_operator or actor.id == str(order.owner_id):
        raise KauriError("forbidden", "nobody decides on their own order")
    if approval.held_at is not None:
        raise KauriError("wrong_state", "this order is on hold")
    if approval.taken_by_id is not None and str(approval.taken_by_id) != actor.id:
        raise KauriError("wrong_state", "another operator has taken this order")
    if approval.votes.filter(actor_kind=actor.kind.value, actor_id=actor.id).exists():
        raise KauriError("forbidden", "one operator decides once")
    row = ApprovalVote(approval=approval, decision=decision, reason=reason, at=clock.now())
    if decision is ApprovalVote.Decision.APPROVE:
        _weigh(order, approval, row, actor, code)
    elif actor.via:
        operator_code(actor, code)
    row.stamp(actor, request_id.get())
    row.save(force_insert=True)
    if decision is ApprovalVote.Decision.REJECT:
        approval.state = Approval.State.REJECTED
    elif approval.votes.filter(decision=ApprovalVote.Decision.APPROVE).count() >= approval.needed:
        approval.state = Approval.State.APPROVED
    # A second approval comes from another person: hand the order back to the queue.
    approval.taken_by = None
    approval.taken_at = None
    if approval.state != Approval.State.PENDING:
        approval.decided_at = clock.now()
    approval.save()
    tell_asked(order, approval)
    return approval


def as_shown(order: Order, *own: str) -> str:
    """What people decide on, as one text: another one when anything of it has changed.

    ``own``: what the order's type adds, such as where the money goes.
    """
    approval = Approval.objects.filter(order=order).first()
    facts = [
        str(order.public_id),
        order.status,
        order.currency_in.code,
        plain(order.amount_in),
        order.currency_out.code,
        plain(order.amount_out),
        plain(order.fee),
        *own,
        [] if approval is None else approval.rules,
    ]
    return hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()


def require_as_shown(seen: str, shown: str) -> None:
    """``changed_meanwhile`` unless what an operator saw (``''``: they look at it now) is how it stands."""
    if seen and seen != shown:
        raise KauriError("changed_meanwhile")


def tell_asked(order: Order, approval: Approval) -> None:
    """Whoever was asked elsewhere (:mod:`kauri.order_core.asking`) is told how it stands now."""
    if DecisionAsk.objects.filter(approval=approval).exists():
        emit(
            "approval.moved",
            subject_type="order",
            subject_id=order.public_id,
            payload={"order_id": str(order.public_id), "approval": approval.state},
        )


def _weigh(order: Order, approval: Approval, vote: ApprovalVote, actor: Actor, code: str) -> None:
    """Hold an approval against the operator's limits; one that is picked needs one more person."""
    # What one operator approves at once is counted one by one.
    operator_id = int(actor.id)
    lock(User.objects.filter(pk=operator_id)).get()
    limits = risk.limits_of(operator_id)
    vote.usd = risk.check(order, operator_id, limits)
    if actor.via or risk.asks_code(vote.usd, limits):
        operator_code(actor, code)
    if not approval.second_look and risk.is_picked(approval, limits):
        vote.picked = approval.second_look = True
        approval.needed += 1


def withdraw(order: Order) -> None:
    """The customer no longer wants what waits: nobody decides on it any more. On a locked order.

    Raises ``wrong_state`` (decided already).
    """
    approval = _waiting(order, "somebody has already decided on this order")
    approval.state = Approval.State.WITHDRAWN
    approval.taken_by = None
    approval.taken_at = None
    _off_hold(approval)
    approval.decided_at = clock.now()
    approval.save()
    tell_asked(order, approval)


def take(order: Order, *, actor: Actor) -> Approval:
    """Mark a waiting order as being looked at by ``actor``. ``wrong_state``: decided, on hold, another's."""
    return hand(order, to=int(actor.id), actor=actor)


def hand(order: Order, *, to: int, actor: Actor) -> Approval:
    """Mark a waiting order as being looked at by the operator ``to``; what another has is not ours to hand."""
    approval = _waiting(order)
    if approval.held_at is not None:
        raise KauriError("wrong_state", "this order is on hold")
    if approval.taken_by_id is not None and str(approval.taken_by_id) != actor.id:
        raise KauriError("wrong_state", "another operator has taken this order")
    approval.taken_by_id = to
    approval.taken_at = clock.now()
    approval.save(update_fields=["taken_by", "taken_at"])
    tell_asked(order, approval)
    return approval


def untake(order: Order, *, actor: Actor) -> Approval:
    """Give a taken order back to the queue; anyone who may decide may do so."""
    approval = _waiting(order)
    if not actor.is_operator:
        raise KauriError("forbidden")
    approval.taken_by = None
    approval.taken_at = None
    approval.save(update_fields=["taken_by", "taken_at"])
    tell_asked(order, approval)
    return approval


def hold(order: Order, *, reason: str, actor: Actor) -> Approval:
    """Put a waiting order aside: out of the queue, decided by nobody, until it is put back.

    Raises ``wrong_state``: decided, on hold already, or taken by another operator.
    """
    approval = _waiting(order)
    if approval.held_at is not None:
        raise KauriError("wrong_state", "this order is on hold already")
    if approval.taken_by_id is not None and str(approval.taken_by_id) != actor.id:
        raise KauriError("wrong_state", "another operator has taken this order")
    approval.taken_by = None
    approval.taken_at = None
    approval.held_by_id = int(actor.id)
    approval.held_at = clock.now()
    approval.held_reason = reason
    approval.save()
    tell_asked(order, approval)
    return approval


def unhold(order: Order) -> Approval:
    """Put an order that was on hold back into the queue, at its old place."""
    approval = _waiting(order)
    if approval.held_at is None:
        raise KauriError("wrong_state", "this order is not on hold")
    _off_hold(approval)
    approval.save(update_fields=["held_by", "held_at", "held_reason", "held_told_to"])
    emit(
        "approval.back",
        subject_type="order",
        subject_id=order.public_id,
        payload={"order_id": str(order.public_id)},
    )
    return approval


def _waiting(order: Order, otherwise: str = "this order no longer waits") -> Approval:
    """The order's approval, locked, while it waits."""
    approval = lock(Approval.objects.filter(order=order)).first()
    if approval is None or approval.state != Approval.State.PENDING:
        raise KauriError("wrong_state", otherwise)
    return approval


def _off_hold(approval: Approval) -> None:
    approval.held_by = None
    approval.held_at = None
    approval.held_reason = ""
    approval.held_told_to = None
