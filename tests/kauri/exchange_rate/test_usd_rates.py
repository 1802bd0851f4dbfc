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
from kauri.core import proposals
from kauri.core.models import AuditEntry, Currency, Proposal
from kauri.exchange_rate.models import UsdRate
from kauri.exchange_rate.selectors import usd_rate, usd_rates, usd_value
from kauri.exchange_rate.services import usd_rate_propose, usd_rate_set
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


def test_a_rate_is_on_record_and_it_stays(house: None) -> None:
    row = set_rate("EUR", "1.1")
    assert AuditEntry.objects.get(verb="usd_rate_set").after["price"] == "1.1"
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


def propose(actor: Actor, code: str = "EUR", price: str = "1.1", **fields: Any) -> Proposal:
    values = {"source": "central bank", "good_for": timedelta(hours=1), "reason": "today's", **fields}
    return usd_rate_propose(currency_id=_currency(code).pk, price=price, actor=actor, **values)


def test_people_set_a_rate_by_two(operator: Callable[..., Actor]) -> None:
    treasury, senior = operator("Treasury"), operator("Senior")
    assert code_of(lambda: set_rate("EUR", "1.1", treasury)) == "forbidden"
    assert code_of(lambda: propose(operator("Support"))) == "forbidden"
    assert code_of(lambda: propose(treasury, reason=" ")) == "validation_error"
    for fields in ({"price": "0"}, {"source": " "}, {"good_for": timedelta(days=32)}, {"code": "USD"}):
        assert code_of(lambda fields=fields: propose(treasury, **fields)) == "validation_error"
    row = propose(treasury)
    assert not UsdRate.objects.exists()
    assert code_of(lambda: usd_rate(_currency("EUR"))) == "rate_unavailable"
    with clock.standing_at(row.proposed_at + timedelta(minutes=20)):
        assert proposals.approve(proposal_id=row.public_id, actor=senior).state == "applied"
        found = usd_rate(_currency("EUR"))
    # It counts from the decision, and lasts until the moment that was proposed.
    assert (found.price, found.quoted_at) == (Decimal("1.1"), row.proposed_at + timedelta(minutes=20))
    made = UsdRate.objects.get()
    assert timedelta(minutes=39) < made.expires_at - made.quoted_at <= timedelta(minutes=40)
    assert (made.actor_kind, made.actor_id, made.actor_label) == ("operator", treasury.id, treasury.label)
    verbs = AuditEntry.objects.filter(object_type="usdrate").order_by("id").values_list("verb", flat=True)
    assert list(verbs) == ["proposal_make", "proposal_approve", "proposal_apply"]


def test_a_rate_whose_time_is_over_before_the_decision_does_not_count(operator: Callable[..., Actor]) -> None:
    row = propose(operator("Finance"))
    with clock.standing_at(row.proposed_at + timedelta(hours=2)):
        done = proposals.approve(proposal_id=row.public_id, actor=operator("Senior"))
    assert done.state == "failed"
    assert not UsdRate.objects.exists()
