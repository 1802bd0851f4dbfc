"""What becomes of unmatched money: one person proposes, another's yes does it, both say why."""

from __future__ import annotations

import uuid
from typing import Final

from django.db import transaction
from django.db.models import QuerySet

from kauri.account.models import User
from kauri.account.selectors import require_permission, require_scope
from kauri.common import clock
from kauri.common.actor import Actor
from kauri.common.errors import KauriError
from kauri.common.locks import lock
from kauri.common.money import ZERO, plain
from kauri.core.audit import audit
from kauri.core.outbox import emit
from kauri.deposit_order import postings
from kauri.deposit_order.body import deposit_object
from kauri.deposit_order.crediting import orders, settle
from kauri.deposit_order.models import UnmatchedAct
from kauri.deposit_order.opening import Refused, Wishes, open_order
from kauri.order_core import machine
from kauri.order_core.states import OrderStatus
from kauri.payment_provider.models import Payin, Payout

PROPOSE: Final = "deposit_order.propose_unmatchedact"
DECIDE: Final = "deposit_order.decide_unmatchedact"
Kind = UnmatchedAct.Kind
_LONGEST: Final = 128  # a transaction's name, as long as the column
#: What can be done in which state; money that analysis holds is only ever sent back from here.
_OPEN_TO: Final = {
    Payin.State.UNMATCHED: frozenset(Kind),
    Payin.State.HELD: frozenset({Kind.SEND_BACK}),
}


@transaction.atomic
def act_propose(
    *,
    payin_id: uuid.UUID,
    kind: UnmatchedAct.Kind,
    reason: str,
    actor: Actor,
    customer_email: str = "",
    with_fee: bool = True,
    evidence: str = "",
) -> UnmatchedAct:
    """Propose to credit (``customer_email``), to send back (``evidence``: the transaction that did) or to keep.

    Raises ``forbidden``, ``not_found``, ``wrong_state`` (not final yet, or decided), ``conflict`` (another
    act waits, or this evidence explains another return), ``validation_error``.
    """
    require_permission(actor, PROPOSE)
    payin = _locked_payin(payin_id)
    require_scope(actor, payin)
    _must_be_open(payin, kind)
    if not reason.strip():
        raise KauriError("validation_error", fields={"reason": "required"})
    customer = _customer(customer_email) if kind is Kind.CREDIT else None
    require_scope(actor, customer)
    evidence = _evidence(payin, evidence) if kind is Kind.SEND_BACK else ""
    waits = UnmatchedAct.objects.filter(payin=payin, state=UnmatchedAct.State.PENDING)
    if waits.exists():
        raise KauriError("conflict", "another act on this money waits for a decision")
    act = UnmatchedAct.objects.create(
        payin=payin,
        kind=kind,
        customer=customer,
        with_fee=with_fee,
        evidence=evidence,
        reason=reason.strip(),
        proposed_by_id=int(actor.id),
        proposed_by=actor.label,
    )
    _record(act, "unmatched_propose", actor, act.reason)
    emit(
        "unmatched.waiting",
        subject_type="payin",
        subject_id=payin.public_id,
        payload={
            "payin_id": str(payin.public_id),
            "by": actor.label,
            "what": kind.value,
            "amount": plain(payin.amount),
            "currency": payin.currency.code,
            "reason": act.reason,
        },
    )
    return act


def act_approve(*, act_id: uuid.UUID, actor: Actor, reason: str = "") -> UnmatchedAct:
    """The second person's yes: it is done at once, in one transaction.

    Raises ``forbidden`` (no permission, one's own, or one's own money), ``wrong_state`` (decided already,
    or the chain dropped the money meanwhile), ``below_minimum`` (the fee leaves nothing). Nothing moves then.
    """
    with transaction.atomic():
        found = UnmatchedAct.objects.filter(public_id=act_id).first()
        if found is not None and found.customer_id is not None:
            # The customer first, as everywhere.
            lock(User.objects.filter(pk=found.customer_id)).get()
        act, payin = _decidable(act_id, actor)
        _must_be_open(payin, Kind(act.kind))
        _settle_act(act, actor, UnmatchedAct.State.DONE, reason)
        _record(act, "unmatched_approve", actor, reason)
        if act.kind == Kind.CREDIT:
            _credit(act, payin, actor)
        elif act.kind == Kind.SEND_BACK:
            _send_back(act, payin, actor)
        else:
            _keep(payin, actor)
    return act


@transaction.atomic
def act_reject(*, act_id: uuid.UUID, actor: Actor, reason: str) -> UnmatchedAct:
    """The second person's no, with words."""
    if not reason.strip():
        raise KauriError("validation_error", fields={"reason": "required"})
    act, _payin = _decidable(act_id, actor)
    _settle_act(act, actor, UnmatchedAct.State.REJECTED, reason.strip())
    _record(act, "unmatched_reject", actor, reason.strip())
    return act


@transaction.atomic
def act_withdraw(*, act_id: uuid.UUID, actor: Actor) -> UnmatchedAct:
    """Its maker takes it back while it waits."""
    act, _payin = _locked(act_id)
    if str(act.proposed_by_id) != actor.id:
        raise KauriError("forbidden", "only its maker withdraws it")
    if act.state != UnmatchedAct.State.PENDING:
        raise KauriError("wrong_state", "this act no longer waits")
    act.state = UnmatchedAct.State.WITHDRAWN
    act.save(update_fields=["state"])
    _record(act, "unmatched_withdraw", actor, "")
    return act


def _credit(act: UnmatchedAct, payin: Payin, actor: Actor) -> None:
    """A real deposit, from suspense; where a rule asks for analysis it is analysed first, as any other."""
    assert act.customer is not None
    payin.state = Payin.State.SEEN
    payin.save(update_fields=["state"])
    try:
        open_order(
            payin,
            act.customer,
            Wishes(fee=None if act.with_fee else ZERO),
            confirmations=0,
            actor=actor,
            judged=False,
        )
    except Refused as exc:
        raise KauriError("below_minimum", exc.detail) from exc
    settle(payin.pk, actor=actor)


def _send_back(act: UnmatchedAct, payin: Payin, actor: Actor) -> None:
    held = payin.state == Payin.State.HELD
    payin.state = Payin.State.RETURNED
    payin.save(update_fields=["state"])
    if held:
        order = lock(orders().filter(deposit__payin=payin)).get()
        machine.transition(
            order, OrderStatus.ERROR, actor=actor, body=deposit_object, reason="sent back to its sender"
        )
    postings.send_back(payin, evidence=act.evidence, actor=actor)


def _keep(payin: Payin, actor: Actor) -> None:
    payin.state = Payin.State.KEPT
    payin.save(update_fields=["state"])
    postings.keep(payin, actor=actor)


def _must_be_open(payin: Payin, kind: UnmatchedAct.Kind) -> None:
    if kind not in _OPEN_TO.get(Payin.State(payin.state), frozenset()):
        raise KauriError("wrong_state", "this money waits for no such decision")
    if payin.booked_at is None:
        raise KauriError("wrong_state", "it is not final on its chain yet")


def _customer(email: str) -> User:
    found = User.objects.filter(email=email.strip().lower(), is_staff=False).first()
    if found is None:
        raise KauriError("validation_error", fields={"customer": "no such customer"})
    return found


def _evidence(payin: Payin, evidence: str) -> str:
    """The outgoing transaction, named once: neither the one that brought it, nor a payout of ours."""
    text = evidence.strip()
    if not text or len(text) > _LONGEST:
        raise KauriError("validation_error", fields={"evidence": "the outgoing transaction is needed"})
    if text == payin.transaction:
        raise KauriError("validation_error", fields={"evidence": "this transaction brought the money"})
    if Payout.objects.filter(provider_reference=text).exists():
        raise KauriError("conflict", "this transaction paid a customer's withdrawal")
    used = UnmatchedAct.objects.filter(
        evidence=text, state__in=[UnmatchedAct.State.PENDING, UnmatchedAct.State.DONE]
    )
    if used.exists():
        raise KauriError("conflict", "this transaction explains another return")
    return text


def _decidable(act_id: uuid.UUID, actor: Actor) -> tuple[UnmatchedAct, Payin]:
    require_permission(actor, DECIDE)
    act, payin = _locked(act_id)
    require_scope(actor, payin, act.customer)
    if str(act.proposed_by_id) == actor.id:
        raise KauriError("forbidden", "nobody decides on their own proposal")
    if act.state != UnmatchedAct.State.PENDING:
        raise KauriError("wrong_state", "somebody has already decided on this")
    return act, payin


def _locked(act_id: uuid.UUID) -> tuple[UnmatchedAct, Payin]:
    """The act with its payin, the payin locked first."""
    found = UnmatchedAct.objects.filter(public_id=act_id).first()
    if found is None:
        raise KauriError("not_found")
    payin = lock(_payins().filter(pk=found.payin_id)).get()
    acts = UnmatchedAct.objects.select_related("customer__group", "payin__currency")
    return lock(acts.filter(pk=found.pk)).get(), payin


def _locked_payin(payin_id: uuid.UUID) -> Payin:
    payin = lock(_payins().filter(public_id=payin_id)).first()
    if payin is None:
        raise KauriError("not_found")
    return payin


def _payins() -> QuerySet[Payin]:
    return Payin.objects.select_related("currency", "provider")


def _settle_act(act: UnmatchedAct, actor: Actor, state: UnmatchedAct.State, reason: str) -> None:
    act.state = state
    act.decided_by_id = int(actor.id)
    act.decided_by = actor.label
    act.decided_at = clock.now()
    act.decision_reason = reason
    act.save()


def _record(act: UnmatchedAct, verb: str, actor: Actor, reason: str) -> None:
    audit(
        actor,
        verb,
        object_type="payin",
        object_id=act.payin.public_id,
        label=f"{act.kind} {plain(act.payin.amount)} {act.payin.currency.code}",
        after={
            "act": str(act.public_id),
            "kind": act.kind,
            "state": act.state,
            "customer": act.customer.email if act.customer else None,
            "evidence": act.evidence,
            "with_fee": act.with_fee,
        },
        reason=reason,
    )
