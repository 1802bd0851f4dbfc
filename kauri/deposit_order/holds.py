"""Deposits that analysis holds: a person credits them or freezes them, and says why."""

from __future__ import annotations

import uuid
from typing import Final

from django.db import transaction
from django.db.models import QuerySet

from kauri.account.selectors import require_permission, require_scope
from kauri.common.actor import Actor
from kauri.common.errors import KauriError
from kauri.common.locks import lock
from kauri.core.audit import audit
from kauri.deposit_order.crediting import credit, orders
from kauri.deposit_order.models import DepositDetail, UnmatchedAct
from kauri.order_core import screening
from kauri.order_core.models import Order, Screening
from kauri.order_core.models.screening import Outcome
from kauri.order_core.states import OrderStatus
from kauri.payment_provider.models import Payin

DECIDE: Final = "deposit_order.decide_hold"


def queue() -> QuerySet[DepositDetail]:
    """Deposits on hold that nobody has decided on. Frozen ones are decided."""
    return DepositDetail.objects.filter(payin__state=Payin.State.HELD, payin__screening__outcome=Outcome.HOLD)


@transaction.atomic
def hold_credit(*, order_id: uuid.UUID, reason: str, actor: Actor) -> Order:
    """Credit a deposit that is held, or frozen by somebody else.

    Raises ``forbidden``, ``not_found``, ``wrong_state`` (it waits for nobody, or is about to be sent
    back), ``validation_error``.
    """
    order, payin, row = _decidable(order_id, reason, actor)
    last = row.decisions.last()
    if (
        row.outcome == Outcome.FREEZE
        and last is not None
        and (last.actor_kind, last.actor_id)
        == (
            actor.kind.value,
            actor.id,
        )
    ):
        raise KauriError("forbidden", "who froze it does not let it go")
    before = row.outcome
    screening.decide(row, Outcome.PASS, actor=actor, reason=reason.strip())
    _record(order, "deposit_hold_credit", actor, reason, before, Outcome.PASS)
    credit(order, payin, actor=actor, reason=reason.strip())
    return order


@transaction.atomic
def hold_freeze(*, order_id: uuid.UUID, reason: str, actor: Actor) -> Order:
    """Freeze a held deposit: it stays blocked, its money in the books as nobody's. Raises as the other."""
    order, _payin, row = _decidable(order_id, reason, actor)
    if row.outcome == Outcome.FREEZE:
        raise KauriError("wrong_state", "it is frozen already")
    before = row.outcome
    screening.decide(row, Outcome.FREEZE, actor=actor, reason=reason.strip())
    _record(order, "deposit_hold_freeze", actor, reason, before, Outcome.FREEZE)
    return order


def _decidable(order_id: uuid.UUID, reason: str, actor: Actor) -> tuple[Order, Payin, Screening]:
    require_permission(actor, DECIDE)
    if not reason.strip():
        raise KauriError("validation_error", fields={"reason": "required"})
    order = lock(orders().filter(public_id=order_id, deposit__isnull=False)).first()
    if order is None:
        raise KauriError("not_found")
    require_scope(actor, order)
    payin = lock(Payin.objects.select_related("currency", "provider").filter(pk=order.deposit.payin_id)).get()
    if order.status != OrderStatus.BLOCKED or payin.state != Payin.State.HELD:
        raise KauriError("wrong_state", "this deposit waits for no decision")
    if UnmatchedAct.objects.filter(payin=payin, state=UnmatchedAct.State.PENDING).exists():
        raise KauriError("wrong_state", "somebody proposes to send it back: decide on that first")
    return order, payin, lock(Screening.objects.filter(payin=payin)).get()


def _record(order: Order, verb: str, actor: Actor, reason: str, before: str, after: Outcome) -> None:
    audit(
        actor,
        verb,
        object_type="order",
        object_id=order.public_id,
        label=order.owner.email,
        before={"analysis": before},
        after={"analysis": after.value},
        reason=reason.strip(),
    )
