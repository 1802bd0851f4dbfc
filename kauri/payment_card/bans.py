"""Numbers and issuers that nothing is paid to: banned by one person, let go again by another."""

from __future__ import annotations

from typing import Final

from django.db import transaction
from django.db.models import QuerySet

from kauri.account.selectors import require_permission, require_scope, scope_of
from kauri.common import clock
from kauri.common.actor import Actor
from kauri.common.errors import KauriError
from kauri.common.locks import advisory, lock
from kauri.common.scopes import narrow
from kauri.core.audit import audit
from kauri.payment_card import numbers, selectors
from kauri.payment_card.fingerprints import fingerprints, issuer_fingerprint
from kauri.payment_card.models import CardBan, PaymentCard
from kauri.payment_card.services import must_say_why

BAN: Final = "payment_card.ban_card"
FIND: Final = "payment_card.view_paymentcard"
Kind = CardBan.Kind


@transaction.atomic
def card_ban(*, number: str, reason: str, actor: Actor) -> CardBan:
    """Ban a whole number, or with six or eight digits all cards of an issuer; of one person, at once.

    Raises ``forbidden``, ``validation_error``, ``conflict`` (banned already).
    """
    _may(actor, reason)
    prefix = numbers.digits_of(number) or ""
    if len(prefix) in numbers.ISSUER_LENGTHS:
        return _banned(CardBan(kind=Kind.ISSUER, prefix=prefix), issuer_fingerprint(prefix), reason, actor)
    try:
        found = numbers.parse(number)
    except KauriError as exc:
        fault = f"a whole number ({exc.fields['number']}), or the first 6 or 8 digits"
        raise KauriError("validation_error", fields={"number": fault}) from None
    return _banned(
        CardBan(kind=Kind.NUMBER, mask=str(found)), fingerprints(found.digits).number, reason, actor
    )


@transaction.atomic
def card_ban_known(*, card_id: int, reason: str, actor: Actor) -> CardBan:
    """Ban the number of a customer's card, whoever adds it; nobody has to know or type it.

    Raises what :func:`card_ban` does, and ``not_found``.
    """
    _may(actor, reason)
    card = PaymentCard.objects.filter(pk=card_id).first()
    if card is None:
        raise KauriError("not_found")
    require_scope(actor, card)
    return _banned(CardBan(kind=Kind.NUMBER, mask=card.mask), card.fingerprint, reason, actor)


@transaction.atomic
def card_unban(*, ban_id: int, reason: str, actor: Actor) -> CardBan:
    """Lift a ban: another person than who banned. ``forbidden``, ``not_found``, ``wrong_state`` (lifted already)."""
    _may(actor, reason)
    ban = lock(CardBan.objects.filter(pk=ban_id)).first()
    if ban is None:
        raise KauriError("not_found")
    require_scope(actor, ban)
    if ban.lifted_at is not None:
        raise KauriError("wrong_state", "it is lifted already")
    if str(ban.banned_by_id) == actor.id:
        raise KauriError("forbidden", "nobody lifts their own ban")
    ban.lifted_at, ban.lift_reason = clock.now(), reason.strip()
    ban.lifted_by_id, ban.lifted_by = int(actor.id), actor.label
    ban.save(update_fields=["lifted_at", "lift_reason", "lifted_by_id", "lifted_by"])
    _record(ban, "card_unban", actor, reason)
    return ban


@transaction.atomic
def cards_find(*, number: str, actor: Actor) -> QuerySet[PaymentCard]:
    """Whose cards have this number. Who asked is on record, what they typed is not.

    Raises ``forbidden``, ``validation_error``.
    """
    require_permission(actor, FIND)
    cards = narrow(selectors.cards_with(number), scope_of(actor))
    audit(
        actor,
        "cards_find",
        object_type="card_number",
        object_id=str(numbers.parse(number)),
        after={"found": cards.count()},
    )
    return cards


def _may(actor: Actor, reason: str) -> None:
    require_permission(actor, BAN)
    must_say_why(reason)


def _banned(ban: CardBan, fingerprint: str, reason: str, actor: Actor) -> CardBan:
    advisory("card_ban", fingerprint)
    if CardBan.objects.filter(fingerprint=fingerprint, lifted_at__isnull=True).exists():
        raise KauriError("conflict", "it is banned already")
    ban.fingerprint, ban.reason = fingerprint, reason.strip()
    ban.banned_by_id, ban.banned_by = int(actor.id), actor.label
    ban.save(force_insert=True)
    require_scope(actor, ban)
    _record(ban, "card_ban", actor, reason)
    return ban


def _record(ban: CardBan, verb: str, actor: Actor, reason: str) -> None:
    audit(
        actor,
        verb,
        object_type="card_ban",
        object_id=ban.pk,
        label=str(ban),
        after={"kind": ban.kind, "lifted": ban.lifted_at is not None},
        reason=reason.strip(),
    )
