"""Rates that people set by hand, until prices do it."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal, InvalidOperation
from typing import Final

from django.db import transaction

from kauri.common import clock
from kauri.common.actor import Actor, ActorKind, request_id
from kauri.common.errors import KauriError
from kauri.common.money import MAX_SCALE, plain
from kauri.core import proposals
from kauri.core.audit import audit
from kauri.core.models import Currency, Proposal
from kauri.exchange_rate.models import UsdRate
from kauri.exchange_rate.selectors import USD

LONGEST: Final = timedelta(days=31)
#: What is governed: rates that people set.
TARGET: Final = "exchange_rate.usdrate"


def usd_rate_propose(
    *, currency_id: int, price: str | Decimal, source: str, good_for: timedelta, reason: str, actor: Actor
) -> Proposal:
    """Propose what one unit is worth, until ``good_for`` from now: limits and thresholds in dollars hang on it,
    so a second person decides. It counts from then on.

    Raises ``validation_error`` as :func:`usd_rate_set`, and what :func:`kauri.core.proposals.propose` does.
    """
    currency, exact = _checked(currency_id, price, source, good_for)
    values = {
        "currency": currency.pk,
        "price": exact,
        "source": source.strip()[:120],
        "expires_at": clock.now() + good_for,
    }
    return proposals.propose(target=TARGET, target_id="", values=values, reason=reason, actor=actor)


@transaction.atomic
def usd_rate_set(
    *, currency_id: int, price: str | Decimal, source: str, good_for: timedelta, actor: Actor
) -> UsdRate:
    """Say what one unit is worth from now on: for the system itself. The old row stays: the past keeps its rates.

    Raises ``forbidden`` (people propose), ``validation_error`` (price not positive, no source, too long a life; the
    dollar is always 1).
    """
    if actor.kind is not ActorKind.SYSTEM:
        raise KauriError("forbidden", "a rate is proposed by one person and decided on by another")
    currency, exact = _checked(currency_id, price, source, good_for)
    now = clock.now()
    row = UsdRate(
        currency=currency, price=exact, source=source.strip()[:120], quoted_at=now, expires_at=now + good_for
    )
    row.stamp(actor, request_id.get())
    row.save(force_insert=True)
    audit(
        actor,
        "usd_rate_set",
        object_type="usdrate",
        object_id=row.pk,
        label=currency.code,
        after={"price": plain(exact), "source": row.source, "expires_at": clock.iso(row.expires_at)},
    )
    return row


def _checked(
    currency_id: int, price: str | Decimal, source: str, good_for: timedelta
) -> tuple[Currency, Decimal]:
    currency = Currency.objects.get(pk=currency_id)
    fields = {}
    if currency.code == USD:
        fields["currency"] = "the dollar is always 1"
    try:
        exact = Decimal(price)
    except InvalidOperation:
        exact = Decimal("NaN")
    if not exact.is_finite() or exact <= 0 or exact >= 10**20 or exact != round(exact, MAX_SCALE):
        fields["price"] = "a positive number of at most 18 digits behind the point"
    if not source.strip():
        fields["source"] = "required"
    if not timedelta(0) < good_for <= LONGEST:
        fields["good_for"] = "from a minute to 31 days"
    if fields:
        raise KauriError("validation_error", fields=fields)
    return currency, exact
