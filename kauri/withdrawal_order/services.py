"""Money that goes out: held, decided by people where a rule says so, paid, captured or released."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from django.db import transaction
from django.db.models import QuerySet

from kauri.account.models import User
from kauri.account.selectors import require_permission
from kauri.common.actor import Actor
from kauri.common.effects import Effect, EffectKind
from kauri.common.errors import KauriError
from kauri.common.locks import lock
from kauri.common.money import parse_amount
from kauri.common.tasks import enqueue
from kauri.core.audit import audit
from kauri.core.models import Currency, Provider
from kauri.order_core import approvals, machine, policies
from kauri.order_core.models import Approval, ApprovalVote, Order
from kauri.order_core.states import FINAL, OrderStatus, OrderType
from kauri.payment_provider import routing
from kauri.payment_provider import services as payouts
from kauri.payment_provider.gateway import Direction, Event, PayoutStatus, Rejected
from kauri.payment_provider.models import Payout
from kauri.withdrawal_order import postings
from kauri.withdrawal_order.body import withdrawal_object
from kauri.withdrawal_order.models import WithdrawalDetail

STEP_TASK = "kauri.withdrawal_order.tasks.payout_advance"


@dataclass(frozen=True, slots=True)
class WithdrawalRequest:
    """What a customer asks for. ``amount`` is what shall arrive; the fee is taken on top."""

    user_id: int
    currency: str
    amount: str | int | Decimal
    destination: str
    network: str = ""
    external_id: str = ""
    callback_url: str = ""
    comment: str = ""
    additional_info: dict[str, Any] = field(default_factory=dict)
    ip: str = ""
    user_agent: str = ""
    totp_code: str = ""
    source: Order.Source = Order.Source.API


@transaction.atomic
def withdrawal_create(*, request: WithdrawalRequest, actor: Actor) -> Order:
    """Check, hold, and either send to the operators or on its way.

    Raises ``validation_error``, ``invalid_amount``, ``invalid_destination``, ``currency_disabled``,
    ``operation_disabled``, ``verification_required``, the limits' and the one-time code's, ``insufficient_funds``,
    ``conflict`` (external_id used), ``provider_unavailable``. Nothing is left behind then.
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
    provider, gateway, network = routing.route(currency, Direction.OUT, request.network)
    try:
        destination = gateway.validate_destination(currency.code, request.destination)
    except Rejected as exc:
        raise KauriError("invalid_destination", str(exc), fields={"wallet_to": str(exc)}) from None
    judgement = policies.judge(OrderType.WITHDRAWAL, currency, user, amount)
    policies.require_code(judgement, user, request.totp_code)
    if (
        request.external_id
        and Order.objects.filter(
            owner=user, type=OrderType.WITHDRAWAL, external_id=request.external_id
        ).exists()
    ):
        raise KauriError("conflict", "this external_id names another withdrawal")
    rules = judgement.rules + _destination_rules(user, destination)
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
        explanation={**judgement.as_json(), "rules": rules},
    )
    order.withdrawal = WithdrawalDetail(
        order=order, destination=destination, network=network, provider=provider
    )
    machine.start(order, actor=actor, body=withdrawal_object)
    WithdrawalDetail.objects.create(order=order, destination=destination, network=network, provider=provider)
    if rules:
        machine.transition(
            order, OrderStatus.WAITING_FOR_OPERATOR_CONFIRMATION, actor=actor, body=withdrawal_object
        )
        approvals.request(order, rules=rules, needed=judgement.policy["approvals_needed"] or 1)
    else:
        _start_payout(order, actor)
    postings.hold(order, actor=actor)
    return order


def withdrawal_repeat(
    *,
    order_id: uuid.UUID,
    amount: str | int | Decimal | None,
    user_id: int,
    actor: Actor,
    ip: str = "",
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
        destination=detail.destination,
        network=detail.network.code if detail.network else "",
        callback_url=before.callback_url,
        comment=before.comment,
        additional_info=before.additional_info,
        ip=ip,
        user_agent=user_agent,
        totp_code=totp_code,
    )
    return withdrawal_create(request=request, actor=actor)


@transaction.atomic
def withdrawal_cancel(*, order_id: uuid.UUID, user_id: int, actor: Actor) -> Order:
    """The customer takes a withdrawal back that still waits for people: all of the hold is released.

    A cancelled one stays as it is. Raises ``not_found``, ``wrong_state`` (on its way, or ended otherwise).
    """
    order = lock(_own(user_id).filter(public_id=order_id)).first()
    if order is None:
        raise KauriError("not_found")
    if order.status == OrderStatus.CANCELLED:
        return order
    if order.status != OrderStatus.WAITING_FOR_OPERATOR_CONFIRMATION:
        # From here on its payout may be anywhere.
        raise KauriError("wrong_state", "this withdrawal can't be taken back any more")
    approvals.withdraw(order)
    machine.transition(
        order,
        OrderStatus.CANCELLED,
        actor=actor,
        body=withdrawal_object,
        reason="taken back by the customer",
    )
    audit(
        actor,
        "withdrawal_cancel",
        object_type="order",
        object_id=order.public_id,
        label=str(order.owner),
        before={"status": OrderStatus.WAITING_FOR_OPERATOR_CONFIRMATION.value},
        after={"status": order.status},
    )
    postings.release(order, None, actor=actor, reason="taken back by the customer")
    return order


def withdrawal_approve(*, order_id: uuid.UUID, actor: Actor, reason: str = "") -> Order:
    """An operator's yes. The last one needed sends the money on its way.

    Raises ``forbidden``, ``wrong_state`` (decided already, or taken by another operator).
    """
    return _decide(order_id, actor, ApprovalVote.Decision.APPROVE, reason, _approved)


def withdrawal_reject(*, order_id: uuid.UUID, actor: Actor, reason: str) -> Order:
    """An operator's no: the hold is released and the order ends CANCELLED. A reason is required."""
    if not reason.strip():
        raise KauriError("validation_error", fields={"reason": "required"})
    return _decide(order_id, actor, ApprovalVote.Decision.REJECT, reason.strip(), _rejected)


@transaction.atomic
def withdrawal_take(*, order_id: uuid.UUID, actor: Actor) -> Order:
    """Tell the other operators that this one is being looked at."""
    require_permission(actor, "withdrawal_order.approve_withdrawaldetail")
    order = _locked(order_id)
    approvals.take(order, actor=actor)
    audit(actor, "withdrawal_take", object_type="order", object_id=order.public_id)
    return order


@transaction.atomic
def withdrawal_untake(*, order_id: uuid.UUID, actor: Actor) -> Order:
    """Give it back to the queue."""
    require_permission(actor, "withdrawal_order.approve_withdrawaldetail")
    order = _locked(order_id)
    approvals.untake(order, actor=actor)
    audit(actor, "withdrawal_untake", object_type="order", object_id=order.public_id)
    return order


def payout_advance(payout_id: int) -> None:
    """One step of a payout, and the order's settlement when the step was the last.

    Claim, commit; call out with no transaction open; record and settle in one transaction. Killed
    anywhere, the next run finds the row and goes on from what it says.
    """
    payout = payouts.payout_claim(payout_id)
    if payout is None:
        return
    if _is_held(payout):
        outcome = payouts.held("the customer froze the account")
    else:
        beside = [one for one in payouts.payout_companions(payout) if not _is_held(one)]
        outcome = payouts.payout_step(payout, beside)
    payout_settle(payout, outcome, actor=routing.provider_actor(payout.provider))


def payout_settle(payout: Payout, outcome: payouts.Outcome, *, actor: Actor) -> None:
    """Write a payout's outcome and, when final, capture or release the order with it."""
    with transaction.atomic():
        order = _locked(payout.order_id)
        before = payout.state
        row = payouts.payout_record(payout, outcome)
        order.withdrawal.payout = row  # what clients are told is the payout as it stands now
        if OrderStatus(order.status) in FINAL:
            return
        if row.state == Payout.State.CONFIRMED:
            machine.transition(order, OrderStatus.CLOSED, actor=actor, body=withdrawal_object)
            postings.capture(order, row, actor=actor)
        elif row.state == Payout.State.FAILED:
            machine.transition(
                order, OrderStatus.ERROR, actor=actor, body=withdrawal_object, reason=row.last_error
            )
            postings.release(order, row, actor=actor, reason="payout failed")
        elif row.state != before:
            enqueue(STEP_TASK, row.pk)


def payout_event(event: Event, provider: Provider) -> Effect:
    """A gateway's trusted word about a payout. ``conflict`` when amount or currency differ from ours."""
    try:
        payout = Payout.objects.select_related("provider", "currency").get(
            public_id=uuid.UUID(event.reference), provider=provider
        )
    except (ValueError, Payout.DoesNotExist):
        return Effect(EffectKind.NOTHING, "no payout of ours has this reference")
    final = {Payout.State.CONFIRMED: PayoutStatus.FAILED, Payout.State.FAILED: PayoutStatus.CONFIRMED}
    if payout.state in final:
        if event.status is final[Payout.State(payout.state)]:
            raise KauriError("conflict", f"this payout is final already: {payout.state}")
        return Effect(EffectKind.REPEATED, "this payout is final already")
    if event.currency != payout.currency.code or event.amount != payout.amount:
        raise KauriError("conflict", "amount or currency differ from the payout's")
    if event.status not in {PayoutStatus.CONFIRMED, PayoutStatus.FAILED}:
        return Effect(EffectKind.NOTHING, f"the payout is {event.status.value}")
    if payout.state == Payout.State.NEW:
        raise KauriError("conflict", "this payout was not sent yet")
    answer = {"callback": event.status.value, "provider_reference": event.provider_reference}
    payout_settle(payout, payouts.told(event.status, answer), actor=routing.provider_actor(provider))
    return Effect(EffectKind.DONE, f"payout {event.status.value}")


def payouts_sweep() -> int:
    """Enqueue again every payout that is due: covers lost, doubled and killed tasks."""
    due = payouts.due_payouts()
    for pk in due:
        enqueue(STEP_TASK, pk)
    return len(due)


def _decide(
    order_id: uuid.UUID,
    actor: Actor,
    decision: ApprovalVote.Decision,
    reason: str,
    then: Callable[[Order, Actor, str], None],
) -> Order:
    permission = "approve" if decision is ApprovalVote.Decision.APPROVE else "reject"
    with transaction.atomic():
        require_permission(actor, f"withdrawal_order.{permission}_withdrawaldetail")
        order = _locked(order_id)
        approval = approvals.vote(order, actor=actor, decision=decision, reason=reason)
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
    _start_payout(order, actor)


def _rejected(order: Order, actor: Actor, reason: str) -> None:
    machine.transition(
        order, OrderStatus.CANCELLED_BY_OPERATOR, actor=actor, body=withdrawal_object, reason=reason
    )
    machine.transition(order, OrderStatus.CANCELLED, actor=actor, body=withdrawal_object, reason=reason)
    postings.release(order, None, actor=actor, reason=reason)


def _start_payout(order: Order, actor: Actor) -> None:
    detail = order.withdrawal
    payout = payouts.payout_create(
        order_id=order.public_id,
        provider=detail.provider,
        currency=order.currency_out,
        amount=order.amount_out,
        destination=detail.destination,
    )
    WithdrawalDetail.objects.filter(pk=order.pk).update(payout=payout)
    detail.payout = payout
    machine.transition(order, OrderStatus.PAYMENT_IN_PROGRESS, actor=actor, body=withdrawal_object)
    enqueue(STEP_TASK, payout.pk)


def _destination_rules(user: User, destination: str) -> list[dict[str, Any]]:
    known = WithdrawalDetail.objects.filter(
        order__owner=user, destination=destination, order__status=OrderStatus.CLOSED
    ).exists()
    if known:
        return []
    return [
        {
            "rule": "new_destination",
            "text": "The customer has never been paid at this destination",
            "value": destination,
            "limit": "",
        }
    ]


def _is_held(payout: Payout) -> bool:
    """Whether nothing of it was sent yet, and its customer says that the account is in wrong hands."""
    unsent = payout.state in {Payout.State.NEW, Payout.State.PREPARED}
    return unsent and Order.objects.filter(public_id=payout.order_id, owner__frozen_at__isnull=False).exists()


def _locked(order_id: uuid.UUID) -> Order:
    order = lock(_orders().filter(public_id=order_id, type=OrderType.WITHDRAWAL)).first()
    if order is None:
        raise KauriError("not_found")
    return order


def _own(user_id: int) -> QuerySet[Order]:
    return _orders().filter(owner_id=user_id, type=OrderType.WITHDRAWAL)


def _orders() -> QuerySet[Order]:
    return Order.objects.select_related(
        "owner",
        "currency_in",
        "currency_out",
        "fee_currency",
        "withdrawal__provider",
        "withdrawal__network",
        "withdrawal__payout",
    )
