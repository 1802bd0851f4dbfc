"""The customer's own word on a withdrawal: the code of a letter, sent back in time."""

from __future__ import annotations

import uuid
from typing import Final

from django.db import transaction

from kauri.account.codes import code_use
from kauri.account.models import User
from kauri.account.second_factor import totp_prove
from kauri.common import clock
from kauri.common.actor import SYSTEM, Actor
from kauri.common.errors import KauriError
from kauri.common.locks import lock
from kauri.common.tasks import enqueue
from kauri.core.audit import audit
from kauri.order_core import machine
from kauri.order_core.models import Order
from kauri.order_core.states import OrderStatus
from kauri.withdrawal_order import paying, postings, steps
from kauri.withdrawal_order.body import withdrawal_object
from kauri.withdrawal_order.models import WithdrawalDetail
from kauri.withdrawal_order.review import NOTHING
from kauri.withdrawal_order.selectors import orders

EXPIRE_TASK: Final = "kauri.withdrawal_order.tasks.confirmation_expire"
_BATCH: Final = 100


def withdrawal_confirm(
    *, order_id: uuid.UUID, code: str, totp_code: str, user_id: int, actor: Actor
) -> Order:
    """Confirm a withdrawal that waits for its customer: it goes on to the operators, or out.

    One that was confirmed before stays as it is. Not to be called inside a transaction: a wrong code
    is counted though it is refused. Raises ``not_found``, ``wrong_state`` (it waits for no code, or no
    longer), ``wrong_code``, ``account_disabled``, ``rate_limited``; where no letter reaches the account
    ``totp_required`` and ``totp_invalid``.
    """
    user = User.objects.get(pk=user_id)
    order = _own(user_id, order_id)
    is_proven = False
    if order.withdrawal.confirmed_at is None and steps.confirmed_by(user) == "totp":
        if not totp_code:
            raise KauriError("totp_required")
        _require_waiting(order)
        totp_prove(user, totp_code)
        is_proven = True
    with transaction.atomic():
        user = lock(User.objects.filter(pk=user_id)).get()
        order = paying.locked(order_id)
        detail = order.withdrawal
        if detail.confirmed_at is not None:
            return order
        if not user.is_active:
            raise KauriError("account_disabled")
        _require_waiting(order)
        good = is_proven or code_use(user, steps.PURPOSE, order.public_id, code)
        if good:
            detail.confirm_until, detail.confirmed_at = None, clock.now()
            detail.save(update_fields=["confirm_until", "confirmed_at"])
            audit(
                actor, "withdrawal_confirm", object_type="order", object_id=order.public_id, label=str(user)
            )
            steps.proceed(order, actor, NOTHING)
    if not good:
        raise KauriError("wrong_code")
    return order


@transaction.atomic
def withdrawal_confirm_resend(*, order_id: uuid.UUID, user_id: int) -> Order:
    """Send another letter: its code replaces the one before. The time to confirm stays what it was.

    Raises ``not_found``, ``wrong_state``, ``rate_limited``, ``confirmation_unavailable``.
    """
    user = lock(User.objects.filter(pk=user_id)).get()
    _own(user_id, order_id)
    order = paying.locked(order_id)
    _require_waiting(order)
    steps.code_send(order, user)
    return order


def confirmations_sweep() -> int:
    """Enqueue what nobody confirmed in time, each by itself: one that can't end holds up no other."""
    late = WithdrawalDetail.objects.filter(confirm_until__lte=clock.now()).order_by("confirm_until")
    ids = list(late.values_list("pk", flat=True)[:_BATCH])
    for pk in ids:
        enqueue(EXPIRE_TASK, pk)
    return len(ids)


@transaction.atomic
def confirmation_expire(detail_pk: int) -> bool:
    """End a withdrawal that nobody confirmed in time; False when it waits for nobody, or not that long yet."""
    order = paying.locked(Order.objects.values_list("public_id", flat=True).get(pk=detail_pk))
    until = order.withdrawal.confirm_until
    if until is None or until > clock.now() or order.status != OrderStatus.WAITING_FOR_CONFIRMATION:
        return False
    reason = "not confirmed in time"
    machine.transition(order, OrderStatus.EXPIRED, actor=SYSTEM, body=withdrawal_object, reason=reason)
    steps.stop_waiting(order)
    postings.release(order, [], actor=SYSTEM, reason=reason)
    return True


def _own(user_id: int, order_id: uuid.UUID) -> Order:
    order = orders().filter(owner_id=user_id, public_id=order_id).first()
    if order is None:
        raise KauriError("not_found")
    return order


def _require_waiting(order: Order) -> None:
    until = order.withdrawal.confirm_until
    if order.status != OrderStatus.WAITING_FOR_CONFIRMATION or until is None:
        raise KauriError("wrong_state", "this withdrawal waits for no code")
    if until <= clock.now():
        raise KauriError("wrong_state", "the time to confirm this withdrawal is over")
