"""What can be done with any order."""

from __future__ import annotations

import uuid

from django.db import transaction

from kauri.account.selectors import require_permission, require_scope
from kauri.balance.models import SelfCheck
from kauri.balance.services import self_check_run
from kauri.common import clock
from kauri.common.actor import Actor, request_id
from kauri.common.errors import KauriError
from kauri.core.audit import audit
from kauri.order_core import invariants
from kauri.order_core.models import Order, OrderNote


def books_check(*, full: bool) -> SelfCheck:
    """The ledger's self-check, with what must be true between orders and the books."""
    return self_check_run(full=full, more=invariants.LAWS if full else invariants.RECENT)


@transaction.atomic
def note_add(*, order_id: uuid.UUID, text: str, actor: Actor) -> OrderNote:
    """Keep an operator's words on an order."""
    require_permission(actor, "order_core.note_order")
    if not text.strip():
        raise KauriError("validation_error", "an empty note", fields={"text": "required"})
    order = Order.objects.filter(public_id=order_id).first()
    if order is None:
        raise KauriError("not_found")
    require_scope(actor, order)
    return note_keep(order, text.strip(), actor)


def note_keep(order: Order, text: str, actor: Actor) -> OrderNote:
    """The note of an act that is allowed already, in its transaction."""
    note = OrderNote(order=order, text=text, at=clock.now())
    note.stamp(actor, request_id.get())
    note.save(force_insert=True)
    audit(actor, "note_add", object_type="order", object_id=order.public_id, after={"text": note.text})
    return note
