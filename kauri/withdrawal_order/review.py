"""Which rows of the review rules a withdrawal hits. A rule that can't be evaluated is hit: unknown is not clean."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from django.db.models import Q

from kauri.account.models import User
from kauri.common.errors import KauriError
from kauri.common.money import CONTEXT, ZERO, plain
from kauri.core.models import Currency, Network
from kauri.exchange_rate.selectors import usd_rate, usd_rates
from kauri.order_core.models import Screening
from kauri.order_core.models.screening import Outcome
from kauri.withdrawal_order.known import is_known, taken_out
from kauri.withdrawal_order.models import ReviewRule

#: Frozen by analysis: one person alone lets nothing out.
FROZEN_NEEDS: Final = 2
UNKNOWN: Final = "unknown"

Rule = dict[str, Any]
Kind = ReviewRule.Kind


@dataclass(frozen=True, slots=True)
class Case:
    """What a withdrawal is reviewed by."""

    user: User
    currency: Currency
    amount: Decimal
    destination: str
    shown: str
    network: Network | None
    country: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Review:
    """The rules that were hit, and how many people the strictest of them asks for."""

    rules: list[Rule]
    needed: int

    def and_also(self, other: Review) -> Review:
        return Review([*self.rules, *other.rules], max(self.needed, other.needed))


NOTHING: Final = Review([], 0)
#: (what was found, the limit); None: not hit.
_Hit = tuple[str, str] | None


def reviewed(case: Case, *, is_screened: bool) -> Review:
    """Every rule, in the order of their numbers; those of the destination's risk wait where it is being analysed."""
    rows = _rows(case).exclude(kind=Kind.RISK) if is_screened else _rows(case)
    return _evaluate(
        rows,
        lambda row: _risk(row, None) if row.kind == Kind.RISK else _CHECKS[Kind(row.kind)](row, case),
    )


def analysed(case: Case, found: Screening | None) -> Review:
    """The rules of the destination's risk, once its analysis has come, or will not."""
    return _evaluate(_rows(case).filter(kind=Kind.RISK), lambda row: _risk(row, found))


def said_by(found: Screening | None) -> Review:
    """What the analysis itself asks for: a person where it holds or nobody answered, two where it freezes."""
    if found is not None and found.outcome == Outcome.PASS:
        return NOTHING
    frozen = found is not None and found.outcome == Outcome.FREEZE
    score = UNKNOWN if found is None or found.score is None else plain(found.score)
    signals = ", ".join(sorted(found.signals)) if found is not None else ""
    rule: Rule = {
        "rule": "destination_frozen" if frozen else "destination_risk",
        "text": "Analysis of the destination says: " + ("frozen" if frozen else "a person decides"),
        "value": f"{score} ({signals})" if signals else score,
        "limit": "",
        "screening": None if found is None else str(found.public_id),
    }
    return Review([rule], FROZEN_NEEDS if frozen else 1)


def _rows(case: Case) -> Any:
    return ReviewRule.objects.filter(
        Q(currency__isnull=True) | Q(currency=case.currency),
        Q(group__isnull=True) | Q(group_id=case.user.group_id),
        is_enabled=True,
    ).order_by("pk")


def _evaluate(rows: Iterable[ReviewRule], check: Callable[[ReviewRule], _Hit]) -> Review:
    rules: list[Rule] = []
    needed = 0
    for row in rows:
        try:
            hit = check(row)
        except KauriError as error:
            hit = UNKNOWN, error.code
        if hit is None:
            continue
        name, text = _NAMES[Kind(row.kind)]
        rules.append({"rule": name, "text": text, "value": hit[0], "limit": hit[1], "review_rule": row.pk})
        needed = max(needed, row.approvals_needed)
    return Review(rules, needed)


def _bound(row: ReviewRule) -> Decimal:
    """The threshold; a row without one can't be evaluated."""
    if row.threshold is None:
        raise KauriError("validation_error", "a rule without its threshold")
    return row.threshold


def _hours(row: ReviewRule) -> timedelta:
    if row.hours is None:
        raise KauriError("validation_error", "a rule without its hours")
    return timedelta(hours=row.hours)


def _amount(row: ReviewRule, case: Case) -> _Hit:
    value = case.amount
    if row.unit == ReviewRule.Unit.USD:
        value = CONTEXT.multiply(value, usd_rate(case.currency).price)
    return _above(value, row, case)


def _sum(row: ReviewRule, case: Case) -> _Hit:
    in_dollars = row.unit == ReviewRule.Unit.USD
    wide = in_dollars and row.currency_id is None
    rows = taken_out(case.user, None if wide else case.currency, case.at - _hours(row))
    sums = {found["currency_out"]: found["total"] for found in rows}
    sums[case.currency.pk] = sums.get(case.currency.pk, ZERO) + case.amount
    if not in_dollars:
        return _above(sums[case.currency.pk], row, case)
    currencies = list(Currency.objects.filter(pk__in=sums))
    rates = usd_rates(currencies, case.at)
    return _above(sum((rates.value(one, sums[one.pk]).exact for one in currencies), ZERO), row, case)


def _count(row: ReviewRule, case: Case) -> _Hit:
    only = case.currency if row.currency_id is not None else None
    count = 1 + sum(found["orders"] for found in taken_out(case.user, only, case.at - _hours(row)))
    return (str(count), plain(_bound(row))) if count > _bound(row) else None


def _new_destination(_row: ReviewRule, case: Case) -> _Hit:
    if is_known(case.user, case.currency, case.network, case.destination, case.at):
        return None
    return case.shown, ""


def _level(row: ReviewRule, case: Case) -> _Hit:
    level = case.user.verification_level
    return (str(level), plain(_bound(row))) if level < _bound(row) else None


def _country(row: ReviewRule, case: Case) -> _Hit:
    listed = ", ".join(sorted(row.listed))
    if not case.country:
        return UNKNOWN, listed
    hit = (case.country in row.listed) is (row.kind == Kind.COUNTRY_IN)
    return (case.country, listed) if hit else None


def _young(row: ReviewRule, case: Case) -> _Hit:
    age = case.at - case.user.created_at
    return (f"{age // timedelta(hours=1)} h", f"{row.hours} h") if age < _hours(row) else None


def _risk(row: ReviewRule, found: Screening | None) -> _Hit:
    bound = plain(_bound(row))
    if found is None or found.score is None:
        return UNKNOWN, bound
    return (plain(found.score), bound) if found.score >= _bound(row) else None


def _above(value: Decimal, row: ReviewRule, case: Case) -> _Hit:
    if value <= _bound(row):
        return None
    unit = "USD" if row.unit == ReviewRule.Unit.USD else case.currency.code
    return f"{plain(value)} {unit}", f"{plain(_bound(row))} {unit}"


_CHECKS: Final[dict[ReviewRule.Kind, Callable[[ReviewRule, Case], _Hit]]] = {
    Kind.AMOUNT: _amount,
    Kind.SUM: _sum,
    Kind.COUNT: _count,
    Kind.NEW_DESTINATION: _new_destination,
    Kind.LEVEL: _level,
    Kind.COUNTRY_IN: _country,
    Kind.COUNTRY_NOT_IN: _country,
    Kind.YOUNG: _young,
}
#: kind -> (name of the rule as orders keep it, its words in history)
_NAMES: Final[dict[ReviewRule.Kind, tuple[str, str]]] = {
    Kind.AMOUNT: ("review_amount", "The amount is above a review rule"),
    Kind.SUM: ("review_sum", "What the customer took out lately is above a review rule"),
    Kind.COUNT: ("review_count", "The customer made many withdrawals lately"),
    Kind.NEW_DESTINATION: ("new_destination", "The customer has never been paid at this destination"),
    Kind.LEVEL: ("review_level", "The verification level is below a review rule"),
    Kind.COUNTRY_IN: ("review_country", "The country of the address is one to look at"),
    Kind.COUNTRY_NOT_IN: ("review_country", "The country of the address is one to look at"),
    Kind.RISK: ("review_risk", "The risk score of the destination is at or above a review rule"),
    Kind.YOUNG: ("review_young", "The account is younger than a review rule"),
}
