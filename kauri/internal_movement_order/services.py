"""Money from one customer to another: at once, or after an operator's yes where a rule says so."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal

from django.db import transaction
from django.db.models import QuerySet

from kauri.account.models import User
from kauri.account.second_factor import code_again
from kauri.account.selectors import recipient, require_permission, require_scope
from kauri.common.actor import Actor
from kauri.common.errors import KauriError
from kauri.common.locks import lock
from kauri.common.money import parse_amount
from kauri.core.audit import audit
from kauri.core.models import Currency
from kauri.core.outbox import Event, emit_all
from kauri.core.services import currency_by_code
from kauri.internal_movement_order import postings
from kauri.internal_movement_order.body import movement_object, movement_shown, received_object
from kauri.internal_movement_order.models import MovementDetail
from kauri.order_core import approvals, machine, policies
from kauri.order_core.models import Approval, ApprovalVote, Order, Policy
from kauri.order_core.states import FINAL, OrderStatus, OrderType

APPROVE = "internal_movement_order.approve_movementdetail"
REJECT = "internal_movement_order.reject_movementdetail"


@dataclass(frozen=True, slots=True)
class MovementRequest:
    """What a customer asks for. ``amount``: what arrives if the sender pays the fee, what leaves if not."""

    user_id: int
    currency: str
    amount: str | int | Decimal
    addressed_by: MovementDetail.AddressedBy
    addressed_to: str
    message: str = ""
    comment: str = ""
    external_id: str = ""
    callback_url: str = ""
    ip: str = ""
    user_agent: str = ""
    totp_code: str = ""
    source: Order.Source = Order.Source.API


def movement_create(*, request: MovementRequest, actor: Actor) -> Order:
    """Check, and move at once or hold for an operator.

    Raises ``validation_error``, ``invalid_amount``, ``recipient_not_found`` (unknown, disabled or
    oneself: one answer), ``currency_disabled``, ``operation_disabled``, the limits' and the one-time code's,
    ``insufficient_funds``, ``conflict`` (external_id used). Nothing is left behind then.
    """
    found = recipient(request.addressed_by, request.addressed_to)
    if found is None or found.pk == request.user_id:
        raise KauriError("recipient_not_found")
    return _create(request, found, actor)


def movement_repeat(
    *,
    order_id: uuid.UUID,
    amount: str | int | Decimal | None,
    request_ip: str,
    user_id: int,
    actor: Actor,
    totp_code: str = "",
) -> Order:
    """The same movement again, of the same or another amount. Errors as :func:`movement_create`'s, and
    ``not_found``, ``wrong_state`` (the first one has not ended yet)."""
    before = _orders().filter(public_id=order_id, owner_id=user_id, type=OrderType.INTERNAL_MOVEMENT).first()
    if before is None:
        raise KauriError("not_found")
    if before.status not in FINAL:
        raise KauriError("wrong_state", "this movement has not ended yet")
    detail = before.movement
    asked = before.amount_out if detail.fee_payer == Policy.FeePayer.SENDER else before.amount_in
    request = MovementRequest(
        user_id=user_id,
        currency=before.currency_in.code,
        amount=asked if amount is None else amount,
        addressed_by=MovementDetail.AddressedBy(detail.addressed_by),
        addressed_to=detail.addressed_to,
        message=detail.message,
        comment=before.comment,
        callback_url=before.callback_url,
        ip=request_ip,
        totp_code=totp_code,
    )
    # To the same account, whoever its name belongs to by now.
    return _create(request, detail.recipient, actor)


@transaction.atomic
def _create(request: MovementRequest, receiver: User, actor: Actor) -> Order:
    currency = currency_by_code(request.currency)
    amount = parse_amount(request.amount, currency.scale)
    policies.require_open(OrderType.INTERNAL_MOVEMENT, currency)
    # The sender's row is the turnstile of their daily totals. The recipient's, which was read just before,
    # is not locked: to receive, nothing of it is counted.
    sender = lock(User.objects.filter(pk=request.user_id).select_related("group")).get()
    if not sender.is_active:
        raise KauriError("account_disabled")
    if not receiver.is_active:
        raise KauriError("recipient_not_found")
    rows = policies.rows_for(OrderType.INTERNAL_MOVEMENT, currency, sender, receiver)
    judgement = policies.judge(OrderType.INTERNAL_MOVEMENT, currency, sender, amount, rows)
    policies.require_code(judgement, sender, request.totp_code)
    if policies.resolve(OrderType.INTERNAL_MOVEMENT, currency, receiver, rows)["enabled"] is False:
        raise KauriError("operation_disabled", "the recipient can't receive movements")
    if request.external_id and _is_used(sender, request.external_id):
        raise KauriError("conflict", "this external_id names another movement")
    payer = Policy.FeePayer(judgement.policy["fee_payer"] or Policy.FeePayer.SENDER)
    leaves, arrives = _split(amount, judgement.fee, payer)
    order = _order(request, sender, receiver, currency, judgement)
    order.amount_in, order.amount_out = leaves, arrives
    detail = MovementDetail(
        recipient=receiver,
        addressed_by=request.addressed_by,
        addressed_to=request.addressed_to,
        message=request.message[:500],
        fee_payer=payer,
    )
    order.movement = detail
    machine.start(
        order,
        actor=actor,
        body=movement_object,
        through=[OrderStatus.WAITING_FOR_OPERATOR_CONFIRMATION if judgement.rules else OrderStatus.CLOSED],
        also=[] if judgement.rules else [_received],
    )
    detail.order = order
    detail.save(force_insert=True)
    if judgement.rules:
        approvals.request(order, rules=judgement.rules, needed=judgement.policy["approvals_needed"] or 1)
        postings.hold(order, actor=actor)
    else:
        postings.move(order, actor=actor)
    return order


def movement_approve(
    *, order_id: uuid.UUID, actor: Actor, reason: str = "", code: str = "", seen: str = ""
) -> Order:
    """An operator's yes. The last one needed moves the money.

    ``seen``: what they were shown (:func:`kauri.internal_movement_order.body.movement_shown`). Raises
    ``forbidden``, ``wrong_state`` (decided already, or taken by another operator), ``changed_meanwhile``,
    ``account_disabled`` (the recipient can't receive any more: reject it), and what
    :func:`kauri.order_core.approvals.vote` does.
    """
    return _decide(order_id, actor, ApprovalVote.Decision.APPROVE, reason, _approved, code, seen)


def movement_reject(
    *, order_id: uuid.UUID, actor: Actor, reason: str, code: str = "", seen: str = ""
) -> Order:
    """An operator's no: the hold is released and the order ends CANCELLED. A reason is required."""
    if not reason.strip():
        raise KauriError("validation_error", fields={"reason": "required"})
    return _decide(order_id, actor, ApprovalVote.Decision.REJECT, reason.strip(), _rejected, code, seen)


@transaction.atomic
def movement_take(*, order_id: uuid.UUID, actor: Actor) -> Order:
    """Tell the other operators that this one is being looked at."""
    require_permission(actor, APPROVE)
    order = _locked(order_id)
    require_scope(actor, order)
    approvals.take(order, actor=actor)
    audit(actor, "movement_take", object_type="order", object_id=order.public_id)
    return order


@transaction.atomic
def movement_untake(*, order_id: uuid.UUID, actor: Actor) -> Order:
    """Give it back to the queue."""
    require_permission(actor, APPROVE)
    order = _locked(order_id)
    require_scope(actor, order)
    approvals.untake(order, actor=actor)
    audit(actor, "movement_untake", object_type="order", object_id=order.public_id)
    return order


def _is_used(sender: User, external_id: str) -> bool:
    return Order.objects.filter(
        owner=sender, type=OrderType.INTERNAL_MOVEMENT, external_id=external_id
    ).exists()


def _split(amount: Decimal, fee: Decimal, payer: Policy.FeePayer) -> tuple[Decimal, Decimal]:
    """(what leaves the sender, what reaches the recipient)."""
    if payer is Policy.FeePayer.SENDER:
        return amount + fee, amount
    if fee >= amount:
        raise KauriError("below_minimum", "the fee would take all of it")
    return amount, amount - fee


def _order(
    request: MovementRequest,
    sender: User,
    receiver: User,
    currency: Currency,
    judgement: policies.Judgement,
) -> Order:
    return Order(
        type=OrderType.INTERNAL_MOVEMENT,
        sub_type="CROSS_ACCOUNT",
        owner=sender,
        counterparty=receiver,
        currency_in=currency,
        currency_out=currency,
        fee=judgement.fee,
        fee_currency=currency,
        external_id=request.external_id,
        callback_url=request.callback_url,
        comment=request.comment[:500],
        source=request.source,
        ip=request.ip or None,
        user_agent=request.user_agent[:300],
        explanation=judgement.as_json(),
    )


def _decide(
    order_id: uuid.UUID,
    actor: Actor,
    decision: ApprovalVote.Decision,
    reason: str,
    then: Callable[[Order, Actor, str], None],
    code: str,
    seen: str,
) -> Order:
    guard = code_again(actor, code, f"movement_{decision.value}", object_type="order", object_id=order_id)
    with guard, transaction.atomic():
        require_permission(actor, APPROVE if decision is ApprovalVote.Decision.APPROVE else REJECT)
        order = _locked(order_id)
        require_scope(actor, order.movement)
        if actor.id == str(order.movement.recipient_id):
            raise KauriError("forbidden", "nobody decides on money that comes to them")
        approvals.require_as_shown(seen, movement_shown(order) if seen else "")
        approval = approvals.vote(order, actor=actor, decision=decision, reason=reason, code=code)
        audit(
            actor,
            f"movement_{decision.value}",
            object_type="order",
            object_id=order.public_id,
            label=str(order.owner),
            before={"status": order.status},
            after={"decision": decision.value, "approval": approval.state},
            reason=reason,
        )
        if approval.state != Approval.State.PENDING:
            then(order, actor, reason)
        return order


def _approved(order: Order, actor: Actor, reason: str) -> None:
    if not order.movement.recipient.is_active:
        raise KauriError("account_disabled", "the recipient can't receive any more: reject it")
    machine.transition(
        order, OrderStatus.CONFIRMED_BY_OPERATOR, actor=actor, body=movement_object, reason=reason
    )
    _close(order, actor)
    postings.capture(order, actor=actor)


def _rejected(order: Order, actor: Actor, reason: str) -> None:
    machine.transition(
        order, OrderStatus.CANCELLED_BY_OPERATOR, actor=actor, body=movement_object, reason=reason
    )
    machine.transition(order, OrderStatus.CANCELLED, actor=actor, body=movement_object, reason=reason)
    postings.release(order, actor=actor, reason=reason)


def _close(order: Order, actor: Actor) -> None:
    """Done: the sender is told by the machine, the recipient here."""
    machine.transition(order, OrderStatus.CLOSED, actor=actor, body=movement_object)
    emit_all([_received(order)])


def _received(order: Order) -> Event:
    recipient = order.movement.recipient
    return Event(
        "internal_movement.received",
        subject_type="order",
        subject_id=order.public_id,
        payload=received_object(order),
        owner_id=recipient.pk,
        callback_url=recipient.callback_url,
    )


def _locked(order_id: uuid.UUID) -> Order:
    order = lock(_orders().filter(public_id=order_id, type=OrderType.INTERNAL_MOVEMENT)).first()
    if order is None:
        raise KauriError("not_found")
    return order


def _orders() -> QuerySet[Order]:
    return Order.objects.select_related(
        "owner", "currency_in", "currency_out", "fee_currency", "movement__recipient"
    )
