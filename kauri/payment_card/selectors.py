"""Reading cards: how they stand, what they are found by, and the number itself for who pays to it."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

from django.db.models import Exists, OuterRef, Q, QuerySet

from kauri.common import clock
from kauri.common.errors import KauriError
from kauri.payment_card import numbers
from kauri.payment_card.fingerprints import Fingerprints, fingerprints
from kauri.payment_card.models import TOKEN_PREFIX, CardBan, PaymentCard
from kauri.payment_card.states import CardState

#: How a card that is not paid to is refused.
_REFUSED: Final = {
    CardState.BANNED: "card_banned",
    CardState.STOPPED: "card_disabled",
    CardState.DISABLED: "card_disabled",
    CardState.EXPIRED: "card_expired",
}


def is_token(text: str) -> bool:
    """Whether a destination names a card of ours."""
    return text.startswith(TOKEN_PREFIX)


def card_destination(user_id: int, token: str) -> str:
    """The number behind a customer's token, in the clear: for the payout that goes there, and for nothing else.

    Raises ``not_found`` (none of theirs, or removed), ``card_banned``, ``card_disabled`` (by the customer or by
    an operator), ``card_expired``. Ask again right before the money leaves: a card may be banned meanwhile.
    """
    card = card_named(user_id, token)
    if (code := _REFUSED.get(state_of(card))) is not None:
        raise KauriError(code)
    if fingerprints(card.number).number != card.fingerprint:
        raise KauriError("internal_error", f"card {card.token}: another number stands where its own was")
    return card.number


def masked(token: str) -> str:
    """What is shown of the card behind a token, also of a removed one; the token itself where there is none."""
    card = PaymentCard.objects.filter(token=token).first()
    return token if card is None else card.mask


def card_named(user_id: int, token: str) -> PaymentCard:
    """A card that the customer has, with its bans; ``not_found``."""
    card = with_bans(
        PaymentCard.objects.filter(customer=user_id, token=token, removed_at__isnull=True)
    ).first()
    if card is None:
        raise KauriError("not_found")
    return card


def cards_of(user_id: int) -> QuerySet[PaymentCard]:
    """The cards that a customer has, the newest first, with their bans."""
    return with_bans(PaymentCard.objects.filter(customer=user_id, removed_at__isnull=True).order_by("-id"))


def with_bans(cards: QuerySet[PaymentCard]) -> QuerySet[PaymentCard]:
    """Each card with ``is_banned``: in the same statement, and no number is opened for it."""
    met = CardBan.objects.filter(lifted_at__isnull=True).filter(
        Q(kind=CardBan.Kind.NUMBER, fingerprint=OuterRef("fingerprint"))
        | Q(kind=CardBan.Kind.ISSUER, fingerprint=OuterRef("issuer_fingerprint"))
        | Q(kind=CardBan.Kind.ISSUER, prefix=OuterRef("first6"))
    )
    # Named in the model, which the type checker would take for a second definition.
    asked: dict[str, Any] = {"is_banned": Exists(met)}
    return cards.annotate(**asked)


def state_of(card: PaymentCard) -> CardState:
    """How a card stands; the gravest where several are true. Needs :func:`with_bans`."""
    if card.removed_at is not None:
        return CardState.REMOVED
    if card.is_banned:
        return CardState.BANNED
    if card.stopped_at is not None:
        return CardState.STOPPED
    if not card.is_enabled:
        return CardState.DISABLED
    if is_expired(card.expiry_month, card.expiry_year, clock.now()):
        return CardState.EXPIRED
    return CardState.ACTIVE


def is_expired(month: int | None, year: int | None, moment: datetime) -> bool:
    """A card is good to the end of its month, in UTC."""
    return month is not None and year is not None and (year, month) < (moment.year, moment.month)


def ban_on(found: Fingerprints) -> CardBan | None:
    """The ban in force that meets a number with these fingerprints."""
    bans = CardBan.objects.filter(lifted_at__isnull=True)
    return bans.filter(fingerprint__in=[found.number, *found.issuers.values()]).first()


def bans_of(card: PaymentCard) -> QuerySet[CardBan]:
    """All bans that meet a card, the lifted ones too, the newest first."""
    about = Q(fingerprint__in=[card.fingerprint, card.issuer_fingerprint])
    return CardBan.objects.filter(about | Q(kind=CardBan.Kind.ISSUER, prefix=card.first6)).order_by("-id")


def cards_met(ban: CardBan) -> QuerySet[PaymentCard]:
    """The cards of customers that a ban is about."""
    cards = PaymentCard.objects.filter(removed_at__isnull=True)
    if ban.kind == CardBan.Kind.NUMBER:
        return cards.filter(fingerprint=ban.fingerprint)
    return cards.filter(Q(first6=ban.prefix) | Q(issuer_fingerprint=ban.fingerprint))


def cards_with(number: str) -> QuerySet[PaymentCard]:
    """Whose cards have this number, removed ones too; ``validation_error`` when no card has such."""
    return PaymentCard.objects.filter(fingerprint=fingerprints(numbers.parse(number).digits).number)
