"""Ending by hand what a provider never ended: one person proposes with a paper, another's yes does it."""

from __future__ import annotations

import uuid
from typing import Final

from django.db import transaction

from kauri.account.selectors import require_permission, require_scope
from kauri.common import clock, documents
from kauri.common.actor import Actor
from kauri.common.documents import Document
from kauri.common.errors import KauriError
from kauri.common.locks import lock
from kauri.common.money import ZERO, plain
from kauri.core.audit import audit
from kauri.core.outbox import emit
from kauri.order_core.models import Order
from kauri.payment_provider import routing
from kauri.payment_provider import services as payouts
from kauri.payment_provider.gateway import PayoutStatus
from kauri.payment_provider.models import Payout
from kauri.withdrawal_order import paying
from kauri.withdrawal_order.models import Closing
from kauri.withdrawal_order.selectors import parts_of

PROPOSE: Final = "withdrawal_order.propose_closing"
DECIDE: Final = "withdrawal_order.decide_closing"
FOLDER: Final = "closings"
_LONGEST: Final = 128
Outcome = Closing.Outcome


@transaction.atomic
def closing_propose(
    *,
    payout_id: uuid.UUID,
    outcome: Closing.Outcome,
    reason: str,
    document: Document,
    actor: Actor,
    reference: str = "",
    whole_order: bool = False,
) -> Closing:
    """Propose how a payout ended, or with ``whole_order`` how every open payout of its order did.

    ``reference`` names what was paid at the provider. Raises ``forbidden``, ``not_found``,
    ``wrong_state`` (ended already; never sent, so not paid; or on a chain, where it is cancelled instead),
    ``conflict`` (another closing waits, or this reference paid something else), ``validation_error``.
    """
    require_permission(actor, PROPOSE)
    payout, order = _locked(payout_id)
    require_scope(actor, order, payout)
    if not reason.strip():
        raise KauriError("validation_error", fields={"reason": "required"})
    scope = _scope(order, None if whole_order else payout)
    for one in scope:
        _must_be_closable(one, outcome)
    named = reference.strip()
    if outcome is Outcome.PAID and not whole_order:
        _check_reference(payout, named)
    elif named:
        raise KauriError("validation_error", fields={"reference": "only one paid payout has one"})
    if Closing.objects.filter(order=order, state=Closing.State.PENDING).exists():
        raise KauriError("conflict", "another closing of this order waits for a decision")
    row = Closing.objects.create(
        order=order,
        payout=None if whole_order else payout,
        outcome=outcome,
        reference=named,
        reason=reason.strip(),
        document_name=document.title,
        document_sha256=documents.keep(FOLDER, document),
        proposed_by_id=int(actor.id),
        proposed_by=actor.label,
    )
    _record(row, "closing_propose", actor, row.reason)
    emit(
        "closing.waiting",
        subject_type="order",
        subject_id=order.public_id,
        payload={
            "order_id": str(order.public_id),
            "by": actor.label,
            "what": outcome.value,
            "amount": plain(sum((one.amount for one in scope), ZERO)),
            "currency": order.currency_out.code,
            "reason": row.reason,
        },
    )
    return row


@transaction.atomic
def closing_approve(*, closing_id: uuid.UUID, actor: Actor, reason: str = "") -> Closing:
    """The second person's yes: the payouts end as proposed, and the books with them, in one transaction.

    Raises ``forbidden`` (no permission, one's own proposal or one's own money), ``wrong_state`` (decided
    already, the provider has answered meanwhile, or a worker is asking it just now). Nothing moves then.
    """
    require_permission(actor, DECIDE)
    row, order = _decidable(closing_id, actor)
    scope = _scope(order, row.payout)
    now = clock.now()
    for one in scope:
        _must_be_closable(one, Outcome(row.outcome))
        if one.lease_until is not None and one.lease_until > now:
            raise KauriError("wrong_state", "the provider is being asked just now: try again in a minute")
    _decide(row, actor, Closing.State.DONE, reason)
    _record(row, "closing_approve", actor, reason)
    status = PayoutStatus.CONFIRMED if row.outcome == Outcome.PAID else PayoutStatus.FAILED
    answer = {"closed_by_hand": str(row.public_id), "by": row.proposed_by, "approved_by": actor.label}
    for one in scope:
        said = payouts.told(status, answer, reference=row.reference, reason=f"closed by hand: {row.reason}")
        paying.payout_settle(one, said, actor=actor, fails_over=False)
    return row


@transaction.atomic
def closing_reject(*, closing_id: uuid.UUID, actor: Actor, reason: str) -> Closing:
    """The second person's no, with words."""
    require_permission(actor, DECIDE)
    if not reason.strip():
        raise KauriError("validation_error", fields={"reason": "required"})
    row, _order = _decidable(closing_id, actor)
    _decide(row, actor, Closing.State.REJECTED, reason.strip())
    _record(row, "closing_reject", actor, reason.strip())
    return row


@transaction.atomic
def closing_withdraw(*, closing_id: uuid.UUID, actor: Actor) -> Closing:
    """Its maker takes it back while it waits."""
    row, _order = _waiting(closing_id, actor)
    if str(row.proposed_by_id) != actor.id:
        raise KauriError("forbidden", "only its maker withdraws it")
    row.state = Closing.State.WITHDRAWN
    row.save(update_fields=["state"])
    _record(row, "closing_withdraw", actor, "")
    return row


def document_of(row: Closing, *, actor: Actor) -> tuple[bytes, str]:
    """The paper and its content type, for a page; every look is audited. ``not_found``, ``forbidden``."""
    require_permission(actor, "withdrawal_order.view_hangingpayout")
    require_scope(actor, row)
    found = documents.read(FOLDER, row.document_sha256)
    _record(row, "closing_document_view", actor, "")
    return found


def _scope(order: Order, payout: Payout | None) -> list[Payout]:
    """The payouts that a closing is about: this one, or every open one of the order."""
    open_ones = [
        part.payout for part in parts_of(order.withdrawal) if part.payout.state in Payout.OPEN_STATES
    ]
    found = [one for one in open_ones if payout is None or one.pk == payout.pk]
    if not found:
        raise KauriError("wrong_state", "the provider has given it an end already")
    return found


def _must_be_closable(payout: Payout, outcome: Closing.Outcome) -> None:
    if outcome is Outcome.PAID:
        if payout.state in {Payout.State.NEW, Payout.State.PREPARED}:
            raise KauriError("wrong_state", "this payout was never sent")
        return
    if payout.state != Payout.State.NEW and routing.gateway_for(payout.provider).replaces:
        # Signed bytes stay good for whoever has them: only the chain can make them worthless.
        raise KauriError("wrong_state", "a payout on a chain is cancelled there, not by hand")


def _check_reference(payout: Payout, reference: str) -> None:
    if not reference or len(reference) > _LONGEST:
        raise KauriError("validation_error", fields={"reference": "the provider's id of it is needed"})
    others = Payout.objects.filter(provider=payout.provider, provider_reference=reference)
    if others.exclude(pk=payout.pk).exists():
        raise KauriError("conflict", "this id belongs to another payout")


def _locked(payout_id: uuid.UUID) -> tuple[Payout, Order]:
    """A payout and its order, the order locked first."""
    found = Payout.objects.filter(public_id=payout_id, order_id__isnull=False).first()
    if found is None:
        raise KauriError("not_found")
    order = paying.locked(found.for_order)
    return lock(Payout.objects.select_related("provider", "currency").filter(pk=found.pk)).get(), order


def _waiting(closing_id: uuid.UUID, actor: Actor) -> tuple[Closing, Order]:
    found = Closing.objects.select_related("order").filter(public_id=closing_id).first()
    if found is None:
        raise KauriError("not_found")
    require_scope(actor, found)
    order = paying.locked(found.order.public_id)
    row = lock(Closing.objects.select_related("payout").filter(pk=found.pk)).get()
    if row.state != Closing.State.PENDING:
        raise KauriError("wrong_state", "somebody has already decided on this")
    return row, order


def _decidable(closing_id: uuid.UUID, actor: Actor) -> tuple[Closing, Order]:
    row, order = _waiting(closing_id, actor)
    if actor.id in {str(row.proposed_by_id), str(order.owner_id)}:
        raise KauriError("forbidden", "nobody decides on their own proposal, or on their own money")
    return row, order


def _decide(row: Closing, actor: Actor, state: Closing.State, reason: str) -> None:
    row.state = state
    row.decided_by_id = int(actor.id)
    row.decided_by = actor.label
    row.decided_at = clock.now()
    row.decision_reason = reason
    row.save()


def _record(row: Closing, verb: str, actor: Actor, reason: str) -> None:
    audit(
        actor,
        verb,
        object_type="order",
        object_id=row.order.public_id,
        label=f"{row.outcome} {plain(row.order.amount_out)} {row.order.currency_out.code}",
        after={
            "closing": str(row.public_id),
            "payout": str(row.payout.public_id) if row.payout else None,
            "outcome": row.outcome,
            "reference": row.reference,
            "document": row.document_sha256,
            "state": row.state,
        },
        reason=reason,
    )
