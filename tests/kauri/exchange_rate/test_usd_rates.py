"""Dollar rates by hand: with age and source, fresh or not there at all."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import DatabaseError, transaction

from kauri.common import clock
from kauri.common.actor import SYSTEM, Actor
from kauri.core.models import AuditEntry, Currency
from kauri.exchange_rate.models import UsdRate
from kauri.exchange_rate.selectors import usd_rate, usd_rates, usd_value
from kauri.exchange_rate.services import usd_rate_set
from tests.moves import as_owner, code_of


def set_rate(code: str, price: str, actor: Actor = SYSTEM, **fields: Any) -> UsdRate:
    values = {"source": "central bank", "good_for": timedelta(hours=1), **fields}
    return usd_rate_set(currency_id=_currency(code).pk, price=price, actor=actor, **values)


def _currency(code: str) -> Currency:
    return Currency.objects.get(code=code)


def test_the_newest_rate_counts_and_the_past_keeps_its_own(house: None) -> None:
    first = set_rate("UAH", "0.024")
    assert usd_value(_currency("UAH"), Decimal("1000.01")).usd == Decimal("24.00")
    assert usd_value(_currency("UAH"), Decimal("1000.01")).exact == Decimal("24.00024")
    set_rate("UAH", "0.025", source="another bank")
    quote = usd_rate(_currency("UAH"))
    assert (quote.price, quote.source) == (Decimal("0.025"), "another bank")
    assert usd_rate(_currency("UAH"), first.quoted_at).price == Decimal("0.024")
    assert usd_value(_currency("UAH"), Decimal(1)).usd == Decimal("0.03")  # half up


def test_stale_or_missing_is_refused_never_zero(house: None) -> None:
    assert code_of(lambda: usd_rate(_currency("BTC"))) == "rate_unavailable"
    row = set_rate("BTC", "64000")
    assert usd_rate(_currency("BTC")).price == 64000
    assert code_of(lambda: usd_rate(_currency("BTC"), row.expires_at)) == "rate_unavailable"
    assert code_of(lambda: usd_rate(_currency("BTC"), row.quoted_at - timedelta(seconds=1))) == (
        "rate_unavailable"
    )
    # A newer rate that went stale does not make the older one good again.
    set_rate("BTC", "65000", good_for=timedelta(minutes=1))
    later = clock.now() + timedelta(minutes=2)
    assert code_of(lambda: usd_value(_currency("BTC"), Decimal(1), later)) == "rate_unavailable"
    rates = usd_rates(list(Currency.objects.all()), later)
    assert {currency.code for currency in Currency.objects.all() if rates.get(currency)} == {"USD"}


def test_the_dollar_is_one(house: None) -> None:
    assert usd_value(_currency("USD"), Decimal("12.34")).usd == Decimal("12.34")
    assert code_of(lambda: set_rate("USD", "2")) == "validation_error"


@pytest.mark.parametrize(
    "fields",
    [
        {"price": "0"},
        {"price": "-1"},
        {"price": "NaN"},
        {"price": "Infinity"},
        {"price": "1e20"},
        {"price": "lots"},
        {"price": "0.0000000000000000001"},
        {"source": "  "},
        {"good_for": timedelta(0)},
        {"good_for": timedelta(days=32)},
    ],
)
def test_what_is_no_rate(house: None, fields: dict[str, Any]) -> None:
    values = {"price": "1", **fields}
    assert code_of(lambda: set_rate("EUR", **values)) == "validation_error"
    assert UsdRate.objects.count() == 0


def test_who_sets_a_rate_is_on_record_and_it_stays(operator: Callable[..., Actor]) -> None:
    finance = operator("Finance")
    assert code_of(lambda: set_rate("EUR", "1.1", operator("Support"))) == "forbidden"
    row = set_rate("EUR", "1.1", finance)
    assert (row.actor_label, AuditEntry.objects.get(verb="usd_rate_set").after["price"]) == (
        finance.label,
        "1.1",
    )
    for sql in ("update exchange_rate_usdrate set price = 9", "delete from exchange_rate_usdrate"):
        with pytest.raises(DatabaseError) as caught, transaction.atomic(), as_owner() as cursor:
            cursor.execute(sql)
        assert caught.value.__cause__.sqlstate == "KA403"  # type: ignore[union-attr]
    for price in ("0", "-1", "'NaN'"):
        with pytest.raises(DatabaseError) as caught, transaction.atomic(), as_owner() as cursor:
            cursor.execute(
                "insert into exchange_rate_usdrate (currency_id, price, source, quoted_at, expires_at,"
                " actor_kind, actor_id, actor_label, request_id)"
                f" values ({row.currency_id}, {price}, 'x', now(), now() + interval '1 h', 'system', '0', 's', '')"
            )
        assert caught.value.__cause__.sqlstate == "23514"  # type: ignore[union-attr]
