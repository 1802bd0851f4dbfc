"""A customer's cards: added, switched, removed; stopped by an operator."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass, field
from typing import Any, Final

from django.db import transaction

from kauri.account.models import User
from kauri.account.selectors import require_permission, require_scope
from kauri.account.services import notice
from kauri.common import clock
from kauri.common.actor import Actor
from kauri.common.errors import KauriError
from kauri.common.locks import lock
from kauri.core.audit import audit
from kauri.payment_card import numbers, selectors
from kauri.payment_card.fingerprints import fingerprints
from kauri.payment_card.models import PaymentCard

#: More than anybody pays themselves out to: who has so many collects for others.
MAX_CARDS: Final = 20
#: No card is issued for longer.
LONGEST_YEARS: Final = 20
STOP: Final = "payment_card.stop_paymentcard"
LONGEST_NAME: Final = 64
#: Letters of any alphabet, and what stands between them: no digit, so that no number ends here.
_NAME: Final = re.compile(r"[^\W\d_]+(?:[ .'’-]+[^\W\d_]+)*\.?")
_MONTHS: Final = range(1, 13)


@dataclass(frozen=True, slots=True)
class CardRequest:
    """A card as its owner names it; month and year of expiry together or not at all."""

    number: str = field(repr=False)
    owner_name: str
    expiry_month: int | None = None
    expiry_year: int | None = None


@transaction.atomic
def card_create(*, user_id: int, request: CardRequest, actor: Actor) -> PaymentCard:
    """Add a card; the customer is told by letter.

    Raises ``validation_error`` naming the field, ``card_banned``, ``conflict`` (they have it), ``limit_exceeded``.
    """
    number = numbers.parse(request.number)
    name = _name(request.owner_name)
    _must_be_good(request.expiry_month, request.expiry_year)
    user = lock(User.objects.filter(pk=user_id)).get()
    found = fingerprints(number.digits)
    if selectors.ban_on(found) is not None:
        raise KauriError("card_banned")
    cards = PaymentCard.objects.filter(customer=user)
    if cards.filter(fingerprint=found.number, removed_at__isnull=True).exists():
        raise KauriError("conflict", "this card is there already")
    if cards.filter(removed_at__isnull=True).count() >= MAX_CARDS:
        raise KauriError("limit_exceeded", f"at most {MAX_CARDS} cards")
    card = PaymentCard(
        customer=user,
        number=number.digits,
        fingerprint=found.number,
        issuer_fingerprint=found.issuers[8],
        first6=number.first6,
        last4=number.last4,
        length=len(number.digits),
        scheme=number.scheme,
        owner_name=name,
        expiry_month=request.expiry_month,
        expiry_year=request.expiry_year,
    )
    # Removed and added again it is no other card: what an operator has stopped stays so.
    before = cards.filter(fingerprint=found.number).order_by("-id").first()
    if before is not None and before.stopped_at is not None:
        card.stopped_at, card.stopped_by, card.stop_reason = (
            before.stopped_at,
            before.stopped_by,
            before.stop_reason,
        )
    card.save(force_insert=True)
    _record(card, "card_create", actor, after=_facts(card))
    notice(user, "card_added", ip=actor.ip or "–", card=card.mask)
    return selectors.card_named(user.pk, card.token)


@transaction.atomic
def card_delete(*, user_id: int, token: str, actor: Actor) -> PaymentCard:
    """Remove a card: its number is forgotten, its mask stays on record. A second time changes nothing.

    ``not_found``.
    """
    card = lock(PaymentCard.objects.filter(customer=user_id, token=token)).first()
    if card is None:
        raise KauriError("not_found")
    if card.removed_at is None:
        card.removed_at = clock.now()
        card.number = ""
        card.save(update_fields=["removed_at", "number"])
        _record(card, "card_delete", actor, before=_facts(card))
    return selectors.with_bans(PaymentCard.objects.filter(pk=card.pk)).get()


@transaction.atomic
def card_switch(*, user_id: int, token: str, is_enabled: bool, actor: Actor) -> PaymentCard:
    """The customer's own switch. What an operator has stopped or banned it does not start. ``not_found``."""
    card = lock(PaymentCard.objects.filter(customer=user_id, token=token, removed_at__isnull=True)).first()
    if card is None:
        raise KauriError("not_found")
    if card.is_enabled != is_enabled:
        card.is_enabled = is_enabled
        card.save(update_fields=["is_enabled"])
        _record(
            card,
            "card_switch",
            actor,
            before={"is_enabled": not is_enabled},
            after={"is_enabled": is_enabled},
        )
    return selectors.card_named(user_id, token)


@transaction.atomic
def card_stop(*, card_id: int, reason: str, actor: Actor) -> PaymentCard:
    """An operator's switch: this customer is not paid at this card. ``forbidden``, ``not_found``, ``wrong_state``."""
    card = _for_operator(card_id, reason, actor)
    if card.stopped_at is not None:
        raise KauriError("wrong_state", "it is stopped already")
    card.stopped_at, card.stopped_by, card.stop_reason = clock.now(), actor.label, reason.strip()
    card.save(update_fields=["stopped_at", "stopped_by", "stop_reason"])
    _record(card, "card_stop", actor, after={"stopped": True}, reason=card.stop_reason)
    return card


@transaction.atomic
def card_release(*, card_id: int, reason: str, actor: Actor) -> PaymentCard:
    """Let a stopped card go again; the customer's own switch stays as it is. Raises what :func:`card_stop` does."""
    card = _for_operator(card_id, reason, actor)
    if card.stopped_at is None:
        raise KauriError("wrong_state", "it is not stopped")
    before = {"stopped": True, "by": card.stopped_by, "reason": card.stop_reason}
    card.stopped_at, card.stopped_by, card.stop_reason = None, "", ""
    card.save(update_fields=["stopped_at", "stopped_by", "stop_reason"])
    _record(card, "card_release", actor, before=before, after={"stopped": False}, reason=reason.strip())
    return card


def must_say_why(reason: str) -> None:
    """Words there must be, and no whole number among them: they stay for ever, in the clear."""
    if not reason.strip():
        raise KauriError("validation_error", fields={"reason": "required"})
    if numbers.has_number(reason):
        raise KauriError("validation_error", fields={"reason": "no card number belongs here"})


def _for_operator(card_id: int, reason: str, actor: Actor) -> PaymentCard:
    require_permission(actor, STOP)
    must_say_why(reason)
    card = lock(PaymentCard.objects.filter(pk=card_id)).first()
    if card is None:
        raise KauriError("not_found")
    require_scope(actor, card)
    if card.removed_at is not None:
        raise KauriError("wrong_state", "the customer has removed it")
    return card


def _name(text: str) -> str:
    """One spelling of a name: single spaces, capitals as they are."""
    name = " ".join(unicodedata.normalize("NFC", text).split())
    if len(name) > LONGEST_NAME or not _NAME.fullmatch(name):
        raise KauriError(
            "validation_error", fields={"owner_name": f"letters as on the card, at most {LONGEST_NAME}"}
        )
    return name


def _must_be_good(month: int | None, year: int | None) -> None:
    if month is None and year is None:
        return
    if month is None or year is None:
        raise KauriError("validation_error", fields={"expiry_month": "month and year together, or neither"})
    now = clock.now()
    if month not in _MONTHS:
        raise KauriError("validation_error", fields={"expiry_month": "1 to 12"})
    if selectors.is_expired(month, year, now):
        raise KauriError("validation_error", fields={"expiry_year": "this card has expired"})
    if year > now.year + LONGEST_YEARS:
        raise KauriError("validation_error", fields={"expiry_year": f"at most {now.year + LONGEST_YEARS}"})


def _facts(card: PaymentCard) -> dict[str, Any]:
    return {
        "card": card.mask,
        "scheme": card.scheme,
        "owner_name": card.owner_name,
        "expiry": card.expiry,
        "stop_reason": card.stop_reason,
    }


def _record(
    card: PaymentCard,
    verb: str,
    actor: Actor,
    *,
    before: dict[str, Any] | None = None,
    after: dict[str, Any] | None = None,
    reason: str = "",
) -> None:
    audit(
        actor,
        verb,
        object_type="payment_card",
        object_id=card.token,
        label=card.mask,
        before=before,
        after=after,
        reason=reason,
    )
