"""Rates that people set by hand, until prices do it."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal, InvalidOperation
from typing import Final

from django.db import transaction

from kauri.account.selectors import require_permission, require_scope
from kauri.common import clock
from kauri.common.actor import Actor, ActorKind, request_id
from kauri.common.errors import KauriError
from kauri.common.money import MAX_SCALE, plain
from kauri.core.audit import audit
from kauri.core.models import Currency
from kauri.exchange_rate.models import UsdRate
from kauri.exchange_rate.selectors import USD

LONGEST: Final = timedelta(days=31)


@transaction.atomic
def usd_rate_set(
    *, currency_id: int, price: str | Decimal, source: str, good_for: timedelta, actor: Actor
) -> UsdRate:
    """Say what one unit is worth from now on. The old row stays: the past keeps its rates.

    Raises ``forbidden``, ``validation_error`` (price not positive, no source, too long a life; the
    dollar is always 1).
    """
    if actor.kind is not ActorKind.SYSTEM:
        require_permission(actor, "exchange_rate.set_usdrate")
    currency = Currency.objects.get(pk=currency_id)
    require_scope(actor, currency)
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
