"""Money that goes out: held, decided by people where a rule says so, then paid (``paying.py``) or given back."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final

from django.db import transaction
from django.db.models import QuerySet

from kauri.account.models import User
from kauri.account.second_factor import code_again
from kauri.account.selectors import require_permission, require_scope
from kauri.common import clock
from kauri.common.actor import Actor
from kauri.common.errors import KauriError
from kauri.common.locks import lock
from kauri.common.money import parse_amount
from kauri.common.tasks import enqueue
from kauri.core.audit import audit
from kauri.core.models import Currency
from kauri.order_core import approvals, machine, policies, screening
from kauri.order_core.models import Approval, ApprovalVote, Order
from kauri.order_core.states import FINAL, OrderStatus, OrderType
from kauri.payment_provider import routing
from kauri.withdrawal_order import destinations, paying, postings, review, steps
from kauri.withdrawal_order.body import withdrawal_object, withdrawal_shown
from kauri.withdrawal_order.known import usable_destination, whitelist
from kauri.withdrawal_order.models import WithdrawalDetail, WithdrawalPart
from kauri.withdrawal_order.selectors import orders

#: Nothing was sent of a withdrawal that stands here.
_WAITING: Final = frozenset(
    {
        OrderStatus.NEW,
        OrderStatus.WAITING_FOR_CONFIRMATION,
        OrderStatus.WAITING_FOR_OPERATOR_CONFIRMATION,
    }
)


@dataclass(frozen=True, slots=True)
class WithdrawalRequest:
    """What a customer asks for. ``amount`` is what shall arrive; the fee is taken on top."""

    user_id: int
    currency: str
    amount: str | int | Decimal
    destination: str = field(repr=False)  # it may be a card's number
    network: str = ""
    external_id: str = ""
    callback_url: str = ""
    comment: str = ""
    additional_info: dict[str, Any] = field(default_factory=dict)
    ip: str = ""
    country: str = ""
    user_agent: str = ""
    totp_code: str = ""
    source: Order.Source = Order.Source.API


@transaction.atomic
def withdrawal_create(*, request: WithdrawalRequest, actor: Actor) -> Order:
    """Check, hold, and either wait for the customer's code or analysis, send to the operators, or on its way.

    Raises ``validation_error``, ``invalid_amount``, ``invalid_destination``, ``destination_not_allowed``,
    ``currency_disabled``, ``operation_disabled``, ``verification_required``, the limits' and the one-time
    code's, ``confirmation_unavailable``, ``insufficient_funds``, ``conflict`` (external_id used),
    ``provider_unavailable``, ``rate_limited`` (letters). Nothing is left behind then.
    """
    currency = Currency.objects.filter(code=request.currency).first()
    if currency is None:
        raise KauriError("validation_error", fields={"currency": "unknown currency"})
    amount = parse_amount(request.amount, currency.scale)
    policies.require_open(OrderType.WITHDRAWAL, currency)
    # The customer's row is the turnstile: daily totals are compared one request at a time.
    user = lock(User.objects.filter(pk=request.user_id)).get()
    if not user.is_active:
        raise KauriError("account_disabled")
    wanted = destinations.target(user.pk, request.destination)
    plan = destinations.planned(currency, amount, request.network, wanted)
    _require_allowed(user, currency, plan)
    judgement = policies.judge(OrderType.WITHDRAWAL, currency, user, amount)
    policies.require_code(judgement, user, request.totp_code)
    if judgement.needs_email:
        steps.confirmed_by(user)
    _require_new_name(user, request.external_id)
    is_screened = screening.policy_of(currency, amount) is not None
    found = _review(request, user, judgement, plan, mask=wanted.mask, is_screened=is_screened)
    order = Order(
        type=OrderType.WITHDRAWAL,
        owner=user,
        currency_in=currency,
        amount_in=amount + judgement.fee,
        currency_out=currency,
        amount_out=amount,
        fee=judgement.fee,
        fee_currency=currency,
        external_id=request.external_id,
        callback_url=request.callback_url,
        comment=request.comment[:500],
        additional_info=request.additional_info,
        source=request.source,
        ip=request.ip or None,
        user_agent=request.user_agent[:300],
        explanation={**judgement.as_json(), **steps.explained(found)},
    )
    now = clock.now()
    detail = WithdrawalDetail(
        destination=plan.destination,
        card_mask=wanted.mask,
        sealed_number=wanted.sealed,
        network=plan.network,
        provider=plan.provider,
        country=request.country,
        confirm_until=now + steps.CONFIRM_LIFE if judgement.needs_email else None,
        screen_due_at=now if is_screened else None,
    )
    machine.start(
        order, actor=actor, body=withdrawal_object, detail=lambda saved: _detail_save(saved, detail)
    )
    if judgement.needs_email:
        machine.transition(order, OrderStatus.WAITING_FOR_CONFIRMATION, actor=actor, body=withdrawal_object)
        steps.code_send(order, user)
    if is_screened:
        enqueue(steps.SCREEN_TASK, order.pk)
    steps.proceed(order, actor, review.NOTHING)
    postings.hold(order, actor=actor)
    return order


def withdrawal_repeat(
    *,
    order_id: uuid.UUID,
    amount: str | int | Decimal | None,
    user_id: int,
    actor: Actor,
    ip: str = "",
    country: str = "",
    user_agent: str = "",
    totp_code: str = "",
) -> Order:
    """The same withdrawal again, of the same or another amount: judged anew, as any other.

    Errors as :func:`withdrawal_create`'s, and ``not_found``, ``wrong_state`` (the first has not ended yet).
    """
    before = _own(user_id).filter(public_id=order_id).first()
    if before is None:
        raise KauriError("not_found")
    if before.status not in FINAL:
        raise KauriError("wrong_state", "this withdrawal has not ended yet")
    detail = before.withdrawal
    request = WithdrawalRequest(
        user_id=user_id,
        currency=before.currency_out.code,
        amount=before.amount_out if amount is None else amount,
        destination=detail.sealed_number or detail.destination,
        network=detail.network.code if detail.network else "",
        callback_url=before.callback_url,
        comment=before.comment,
        additional_info=before.additional_info,
        ip=ip,
        country=country,
        user_agent=user_agent,
        totp_code=totp_code,
    )
    return withdrawal_create(request=request, actor=actor)


@transaction.atomic
def withdrawal_cancel(*, order_id: uuid.UUID, user_id: int, actor: Actor) -> Order:
    """The customer takes a withdrawal back of which nothing was sent: all of the hold is released.

    A cancelled one stays as it is. Raises ``not_found``, ``wrong_state`` (on its way, or ended otherwise).
    """
    order = lock(_own(user_id).filter(public_id=order_id)).first()
    if order is None:
        raise KauriError("not_found")
    before, reason = order.status, "taken back by the customer"
    if before == OrderStatus.CANCELLED:
        return order
    parts: list[WithdrawalPart] = []
    if before == OrderStatus.PAYMENT_IN_PROGRESS:
        parts = paying.take_back(order, actor=actor, reason=reason)
    elif before in _WAITING:
        if before == OrderStatus.WAITING_FOR_OPERATOR_CONFIRMATION:
            approvals.withdraw(order)
        machine.transition(order, OrderStatus.CANCELLED, actor=actor, body=withdrawal_object, reason=reason)
        steps.stop_waiting(order)
    else:
        raise KauriError("wrong_state", "this withdrawal can't be taken back any more")
    audit(
        actor,
        "withdrawal_cancel",
        object_type="order",
        object_id=order.public_id,
        label=str(order.owner),
        before={"status": before},
        after={"status": order.status},
    )
    postings.release(order, parts, actor=actor, reason=reason)
    return order


def withdrawal_approve(
    *, order_id: uuid.UUID, actor: Actor, reason: str = "", code: str = "", seen: str = ""
) -> Order:
    """An operator's yes. The last one needed sends the money on its way.

    ``seen``: what they were shown (:func:`kauri.withdrawal_order.body.withdrawal_shown`). Raises ``forbidden``,
    ``wrong_state`` (decided already, or taken by another operator), ``changed_meanwhile``, and what
    :func:`kauri.order_core.approvals.vote` does.
    """
    return _decide(order_id, actor, ApprovalVote.Decision.APPROVE, reason, _approved, code, seen)


def withdrawal_reject(
    *, order_id: uuid.UUID, actor: Actor, reason: str, code: str = "", seen: str = ""
) -> Order:
    """An operator's no: the hold is released and the order ends CANCELLED. A reason is required."""
    if not reason.strip():
        raise KauriError("validation_error", fields={"reason": "required"})
    return _decide(order_id, actor, ApprovalVote.Decision.REJECT, reason.strip(), _rejected, code, seen)


def _decide(
    order_id: uuid.UUID,
    actor: Actor,
    decision: ApprovalVote.Decision,
    reason: str,
    then: Callable[[Order, Actor, str], None],
    code: str,
    seen: str,
) -> Order:
    permission = "approve" if decision is ApprovalVote.Decision.APPROVE else "reject"
    guard = code_again(actor, code, f"withdrawal_{permission}", object_type="order", object_id=order_id)
    with guard, transaction.atomic():
        require_permission(actor, f"withdrawal_order.{permission}_withdrawaldetail")
        order = paying.locked(order_id)
        require_scope(actor, order)
        approvals.require_as_shown(seen, withdrawal_shown(order) if seen else "")
        approval = approvals.vote(order, actor=actor, decision=decision, reason=reason, code=code)
        audit(
            actor,
            f"withdrawal_{permission}",
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
    machine.transition(
        order, OrderStatus.CONFIRMED_BY_OPERATOR, actor=actor, body=withdrawal_object, reason=reason
    )
    paying.start(order, actor)


def _rejected(order: Order, actor: Actor, reason: str) -> None:
    machine.transition(
        order, OrderStatus.CANCELLED_BY_OPERATOR, actor=actor, body=withdrawal_object, reason=reason
    )
    machine.transition(order, OrderStatus.CANCELLED, actor=actor, body=withdrawal_object, reason=reason)
    postings.release(order, [], actor=actor, reason=reason)


def _require_new_name(user: User, external_id: str) -> None:
    named = Order.objects.filter(owner=user, type=OrderType.WITHDRAWAL, external_id=external_id)
    if external_id and named.exists():
        raise KauriError("conflict", "this external_id names another withdrawal")


def _require_allowed(user: User, currency: Currency, plan: routing.Plan) -> None:
    """Whose money goes to saved addresses only is paid nowhere else."""
    now = clock.now()
    is_on, _until = whitelist(user.pk, now)
    if is_on and usable_destination(user.pk, currency, plan.network, plan.destination, now) is None:
        raise KauriError("destination_not_allowed")


def _review(
    request: WithdrawalRequest,
    user: User,
    judgement: policies.Judgement,
    plan: routing.Plan,
    *,
    mask: str,
    is_screened: bool,
) -> review.Review:
    """What the policy and the review rules ask for; what only analysis can tell comes with its answer."""
    case = review.Case(
        user=user,
        currency=judgement.policy.currency,
        amount=judgement.amount,
        destination=plan.destination,
        shown=mask or plan.destination,
        network=plan.network,
        country=request.country,
        at=clock.now(),
    )
    found = review.Review(judgement.rules, judgement.policy["approvals_needed"] or 1)
    return found.and_also(review.reviewed(case, is_screened=is_screened))


def _detail_save(order: Order, detail: WithdrawalDetail) -> None:
    detail.order = order
    detail.save(force_insert=True)
    order.withdrawal = detail


def _own(user_id: int) -> QuerySet[Order]:
    return orders().filter(owner_id=user_id)
