"""Reading reference data."""

from __future__ import annotations

from typing import Any

from django.db.models import Q

from kauri.common import clock
from kauri.core.models import Currency, Pair, Switch


def switched_off(*codes: str) -> set[str]:
    """Which of ``codes`` may not run: operations, or ``currency:``, ``provider:`` and the like with a name.

    What was never switched off is on, and so is what was off until a moment that has passed, even
    if nobody has written it down yet.
    """
    still_off = Q(expires_at__isnull=True) | Q(expires_at__gt=clock.now())
    return set(Switch.objects.filter(still_off, code__in=codes, is_on=False).values_list("code", flat=True))


def switch_is_on(code: str) -> bool:
    """Whether ``code`` may run (:func:`switched_off`)."""
    return not switched_off(code)


def currency_codes() -> list[str]:
    """Codes of the currencies that are switched on, in their order."""
    return list(Currency.objects.filter(is_enabled=True).values_list("code", flat=True))


def currency_details() -> list[dict[str, Any]]:
    """Every currency with what a client needs to know of it. Two queries."""
    return [
        {
            "name": currency.code,
            "title": currency.name,
            "kind": currency.kind,
            "scale": currency.scale,
            "is_enabled": currency.is_enabled,
            "networks": [
                {
                    "name": network.code,
                    "title": network.title,
                    "environment": network.environment,
                    "confirmations": network.confirmations,
                    "is_enabled": network.is_enabled,
                }
                for network in currency.networks.all()
            ],
        }
        for currency in Currency.objects.prefetch_related("networks")
    ]


def pair_directions() -> list[dict[str, str]]:
    """Both directions of every pair that is switched on, named ``<get>_<spend>``."""
    rows = []
    pairs = Pair.objects.filter(is_enabled=True, base__is_enabled=True, quote__is_enabled=True)
    for pair in pairs.select_related("base", "quote"):
        for get, spend in ((pair.base, pair.quote), (pair.quote, pair.base)):
            rows.append(
                {
                    "name": f"{get.code}_{spend.code}",
                    "currency_to_spend": spend.code,
                    "currency_to_get": get.code,
                    "base_currency": pair.base.code,
                }
            )
    return rows
