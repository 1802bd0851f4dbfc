"""Money moved by hand and mistakes reversed: one person proposes with a document, another posts."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from django.db import transaction

from kauri.account.selectors import require_permission, require_scope
from kauri.balance import ledger
from kauri.balance.chart import CHART, AccountKind, Owner, TransferKind
from kauri.balance.ledger import LedgerFault, Leg
from kauri.balance.models import Adjustment, Entry, Period, Transfer
from kauri.common import clock, documents
from kauri.common.actor import Actor
from kauri.common.documents import Document
from kauri.common.errors import KauriError
from kauri.common.ids import ledger_key
from kauri.common.locks import lock
from kauri.common.money import parse_amount, plain
from kauri.core.audit import audit
from kauri.core.models import Currency
from kauri.core.outbox import emit

PROPOSE: Final = "balance.propose_adjustment"
DECIDE: Final = "balance.decide_adjustment"
FOLDER: Final = "adjustments"


@dataclass(frozen=True, slots=True)
class Place:
    """A ledger account by kind and owner."""

    kind: AccountKind
    customer_id: int | None = None
    provider_id: int | None = None


@transaction.atomic
def adjustment_propose(
    *,
    currency_id: int,
    amount: str | Decimal,
    source: Place,
    target: Place,
    reason: str,
    document: Document,
    actor: Actor,
    corrects: str = "",
) -> Adjustment:
    """Propose to move ``amount`` from one account to another. Nothing moves until a second person says so.

    Raises ``forbidden``, ``invalid_amount``, ``validation_error`` (no reason, no fitting document,
    accounts that can't be, one account twice, held money, a month that is not closed).
    """
    require_permission(actor, PROPOSE)
    currency = Currency.objects.get(pk=currency_id)
    exact = parse_amount(amount, currency.scale)
    for name, place in (("source", source), ("target", target)):
        _check_place(name, place)
    if source == target:
        raise KauriError("validation_error", fields={"target": "the same account"})
    return _propose(
        Adjustment(
            currency=currency,
            amount=exact,
            from_kind=source.kind,
            from_customer_id=source.customer_id,
            from_provider_id=source.provider_id,
            to_kind=target.kind,
            to_customer_id=target.customer_id,
            to_provider_id=target.provider_id,
            corrects=_closed(corrects),
        ),
        reason,
        document,
        actor,
    )


@transaction.atomic
def reversal_propose(*, transfer_id: int, reason: str, document: Document, actor: Actor) -> Adjustment:
    """Propose to reverse a transfer. One in a closed month is reversed now, naming that month.

    Raises ``forbidden``, ``not_found``, ``conflict`` (reversed, or about to be), ``wrong_state`` (it
    moved held money, or is a reversal itself), ``validation_error``.
    """
    require_permission(actor, PROPOSE)
    transfer = Transfer.objects.filter(pk=transfer_id).first()
    if transfer is None:
        raise KauriError("not_found", f"no transfer {transfer_id}")
    require_scope(actor, transfer)
    if transfer.reverses_id is not None:
        raise KauriError("wrong_state", "a reversal is not reversed")
    if Entry.objects.filter(transfer=transfer, account__kind=AccountKind.CUSTOMER_HELD).exists():
        raise KauriError("wrong_state", "held money moves with its order: settle the hold, or adjust")
    waits = Adjustment.objects.filter(reverses=transfer, state=Adjustment.State.PENDING)
    if waits.exists() or Transfer.objects.filter(reverses=transfer).exists():
        raise KauriError("conflict", "this transfer is reversed, or about to be")
    period = Period.objects.filter(
        starts_at__lte=transfer.created_at, ends_at__gt=transfer.created_at
    ).first()
    return _propose(
        Adjustment(reverses=transfer, corrects=str(period) if period else ""), reason, document, actor
    )


@transaction.atomic
def adjustment_approve(*, adjustment_id: uuid.UUID, actor: Actor, reason: str = "") -> Adjustment:
    """The second person's yes: it is posted, dated now.

    Raises ``forbidden`` (no permission, or one's own), ``wrong_state`` (decided already),
    ``insufficient_funds``, ``conflict`` (reversed meanwhile). Nothing is posted then.
    """
    adjustment = _decidable(adjustment_id, actor)
    meta: dict[str, Any] = {
        "adjustment": str(adjustment.public_id),
        "proposed_by": adjustment.proposed_by,
        "document_sha256": adjustment.document_sha256,
    }
    if adjustment.corrects:
        meta["corrects"] = adjustment.corrects
    _settle(adjustment, actor, Adjustment.State.POSTED, reason)
    _record(adjustment, "adjustment_approve", actor, reason)
    for customer in {adjustment.from_customer, adjustment.to_customer} - {None}:
        assert customer is not None
        emit(
            "balance.adjusted",
            subject_type="adjustment",
            subject_id=adjustment.public_id,
            payload=_told(adjustment, customer.pk),
            owner_id=customer.pk,
            callback_url=customer.callback_url,
        )
    posted = _post(adjustment, actor, meta)
    adjustment.transfer_id = posted.transfer_id
    adjustment.save()
    return adjustment


@transaction.atomic
def adjustment_reject(*, adjustment_id: uuid.UUID, actor: Actor, reason: str) -> Adjustment:
    """The second person's no, with words."""
    if not reason.strip():
        raise KauriError("validation_error", fields={"reason": "required"})
    adjustment = _decidable(adjustment_id, actor)
    _settle(adjustment, actor, Adjustment.State.REJECTED, reason.strip())
    adjustment.save()
    _record(adjustment, "adjustment_reject", actor, reason.strip())
    return adjustment


@transaction.atomic
def adjustment_withdraw(*, adjustment_id: uuid.UUID, actor: Actor) -> Adjustment:
    """Its maker takes it back while it waits."""
    adjustment = _locked(adjustment_id)
    if str(adjustment.proposed_by_id) != actor.id:
        raise KauriError("forbidden", "only its maker withdraws it")
    if adjustment.state != Adjustment.State.PENDING:
        raise KauriError("wrong_state", "this adjustment no longer waits")
    adjustment.state = Adjustment.State.WITHDRAWN
    adjustment.save(update_fields=["state"])
    _record(adjustment, "adjustment_withdraw", actor, "")
    return adjustment


def document_of(adjustment: Adjustment, *, actor: Actor) -> tuple[bytes, str]:
    """The document and its content type, for a page; every look is audited. ``not_found``, ``forbidden``."""
    require_permission(actor, "balance.view_adjustment")
    require_scope(actor, adjustment)
    found = documents.read(FOLDER, adjustment.document_sha256)
    audit(
        actor,
        "adjustment_document_view",
        object_type="adjustment",
        object_id=adjustment.pk,
        label=adjustment.document_name,
    )
    return found


def _post(adjustment: Adjustment, actor: Actor, meta: dict[str, Any]) -> ledger.Posted:
    if adjustment.reverses_id is not None:
        try:
            return ledger.reverse(adjustment.reverses_id, actor=actor, reason=adjustment.reason, meta=meta)
        except LedgerFault as exc:
            raise KauriError("wrong_state", str(exc)) from exc
    assert adjustment.currency is not None
    assert adjustment.amount is not None
    assert adjustment.from_kind is not None
    assert adjustment.to_kind is not None
    return ledger.post(
        ledger_key("adjustment", adjustment.public_id),
        TransferKind.ADJUSTMENT,
        [
            Leg(
                AccountKind(adjustment.from_kind),
                adjustment.currency,
                -adjustment.amount,
                adjustment.from_customer_id,
                adjustment.from_provider_id,
            ),
            Leg(
                AccountKind(adjustment.to_kind),
                adjustment.currency,
                adjustment.amount,
                adjustment.to_customer_id,
                adjustment.to_provider_id,
            ),
        ],
        actor=actor,
        reference=adjustment.reason[:254],
        meta=meta,
    )


def _propose(adjustment: Adjustment, reason: str, document: Document, actor: Actor) -> Adjustment:
    if not reason.strip():
        raise KauriError("validation_error", fields={"reason": "required"})
    adjustment.reason = reason.strip()
    adjustment.document_name = document.title
    adjustment.document_sha256 = documents.keep(FOLDER, document)
    adjustment.proposed_by_id = int(actor.id)
    adjustment.proposed_by = actor.label
    adjustment.proposed_at = clock.now()
    adjustment.save(force_insert=True)
    require_scope(actor, adjustment)
    _record(adjustment, "adjustment_propose", actor, adjustment.reason)
    emit(
        "adjustment.waiting",
        subject_type="adjustment",
        subject_id=adjustment.public_id,
        payload={
            "adjustment_id": str(adjustment.public_id),
            "by": actor.label,
            "what": _words(adjustment),
            "reason": adjustment.reason,
        },
    )
    return adjustment


def _check_place(name: str, place: Place) -> None:
    if place.kind is AccountKind.CUSTOMER_HELD:
        raise KauriError("validation_error", fields={name: "held money moves with its order"})
    owner = CHART[place.kind].owner
    fits = (place.customer_id is not None) == (owner is Owner.CUSTOMER)
    if not fits or (place.provider_id is not None) != (owner is Owner.PROVIDER):
        raise KauriError("validation_error", fields={name: f"this account belongs to a {owner.value}"})


def _closed(corrects: str) -> str:
    if corrects and corrects not in {str(period) for period in Period.objects.all()}:
        raise KauriError("validation_error", fields={"corrects": "no closed month"})
    return corrects


def _decidable(adjustment_id: uuid.UUID, actor: Actor) -> Adjustment:
    require_permission(actor, DECIDE)
    adjustment = _locked(adjustment_id)
    require_scope(actor, adjustment)
    if str(adjustment.proposed_by_id) == actor.id:
        raise KauriError("forbidden", "nobody decides on their own adjustment")
    if actor.id in {str(adjustment.from_customer_id), str(adjustment.to_customer_id)}:
        raise KauriError("forbidden", "nobody decides on their own money")
    if adjustment.state != Adjustment.State.PENDING:
        raise KauriError("wrong_state", "somebody has already decided on this adjustment")
    return adjustment


def _settle(adjustment: Adjustment, actor: Actor, state: Adjustment.State, reason: str) -> None:
    adjustment.state = state
    adjustment.decided_by_id = int(actor.id)
    adjustment.decided_by = actor.label
    adjustment.decided_at = clock.now()
    adjustment.decision_reason = reason


def _locked(adjustment_id: uuid.UUID) -> Adjustment:
    rows = Adjustment.objects.select_related("currency", "from_customer", "to_customer")
    adjustment = lock(rows.filter(public_id=adjustment_id)).first()
    if adjustment is None:
        raise KauriError("not_found")
    return adjustment


def _words(adjustment: Adjustment) -> str:
    if adjustment.reverses_id is not None:
        return f"reversal of transfer #{adjustment.reverses_id}"
    assert adjustment.amount is not None
    assert adjustment.from_kind is not None
    assert adjustment.to_kind is not None
    source, target = AccountKind(adjustment.from_kind), AccountKind(adjustment.to_kind)
    return f"{plain(adjustment.amount)} {adjustment.currency} from {source.name} to {target.name}"


def _told(adjustment: Adjustment, customer_id: int) -> dict[str, Any]:
    """What the customer learns: how much came or went, never why or through whom."""
    assert adjustment.amount is not None
    came = adjustment.to_customer_id == customer_id
    return {
        "adjustment_id": str(adjustment.public_id),
        "currency": str(adjustment.currency),
        "amount": adjustment.amount if came else -adjustment.amount,
    }


def _record(adjustment: Adjustment, verb: str, actor: Actor, reason: str) -> None:
    audit(
        actor,
        verb,
        object_type="adjustment",
        object_id=adjustment.pk,
        label=_words(adjustment),
        after={"state": adjustment.state, "corrects": adjustment.corrects},
        reason=reason,
    )
