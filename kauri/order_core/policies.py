"""The one mechanism behind every switch, limit and fee of every operation.

Each field is taken on its own from the most specific row that sets it, and the answer says which
row that was. What an order was judged by is kept on the order (``explanation``).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from django.db.models import Q

from kauri.account.models import User
from kauri.account.services import totp_verify
from kauri.common import clock
from kauri.common.errors import KauriError
from kauri.common.money import CONTEXT, ZERO, plain, round_fee
from kauri.core.models import Currency
from kauri.core.selectors import switched_off
from kauri.exchange_rate.selectors import UsdQuote, usd_rate, usd_rates
from kauri.order_core.models import POLICY_FIELDS, Policy
from kauri.order_core.selectors import cooling_off, turnover
from kauri.order_core.states import OrderType

#: Operations by which money leaves its owner.
LEAVING: Final = frozenset({OrderType.WITHDRAWAL, OrderType.INTERNAL_MOVEMENT})
#: Fields that are amounts to compare with, each in the unit of the row that sets it.
THRESHOLDS: Final = ("totp_above", "email_above", "approval_above")
LIMITS: Final = ("min_amount", "max_amount", "daily_amount", "monthly_amount", *THRESHOLDS)
#: Limits over time, and over how many days each.
DAYS: Final = {"daily_amount": 1, "monthly_amount": 30}


@dataclass(frozen=True, slots=True)
class Resolved:
    """One user's policy for one operation and currency.

    ``origin`` names the row of each field, ``units`` the unit of each limit, and ``wide`` the daily
    and monthly limits that count every currency: those in dollars of a row without a currency.
    """

    operation: OrderType
    currency: Currency
    values: dict[str, Any]
    origin: dict[str, int]
    units: dict[str, Policy.Unit]
    wide: frozenset[str]

    def __getitem__(self, name: str) -> Any:
        return self.values.get(name)

    @property
    def needs_rate(self) -> bool:
        """Whether any limit that is set is in dollars."""
        return any(self.units[name] is Policy.Unit.USD for name in LIMITS if self[name] is not None)

    def fee(self, amount: Decimal) -> Decimal:
        """percent + fixed, kept between least and greatest, rounded up to the currency's scale."""
        percent = CONTEXT.divide(CONTEXT.multiply(amount, self["fee_percent"] or ZERO), Decimal(100))
        fee = percent + (self["fee_fixed"] or ZERO)
        if self["fee_min"] is not None:
            fee = max(fee, self["fee_min"])
        if self["fee_max"] is not None:
            fee = min(fee, self["fee_max"])
        return round_fee(fee, self.currency.scale)

    def as_json(self) -> dict[str, Any]:
        """Plain values for the order's explanation and the back office."""
        return {
            name: {
                "value": plain(value) if isinstance(value, Decimal) else value,
                "policy": self.origin[name],
                **({"unit": self.units[name].value} if name in self.units else {}),
            }
            for name, value in self.values.items()
        }


@dataclass(slots=True)
class Judgement:
    """What the policy says of one amount: the fee, what was compared, and who must look at it.

    ``needs_code``: the customer must prove themselves by a one-time code (:func:`require_code`);
    ``needs_email``: the order waits until they have sent back the code of a letter.
    """

    policy: Resolved
    amount: Decimal
    fee: Decimal
    inputs: dict[str, Any]
    limits: list[dict[str, Any]] = field(default_factory=list)
    rules: list[dict[str, Any]] = field(default_factory=list)
    quote: UsdQuote | None = None
    needs_code: bool = False
    needs_email: bool = False

    def as_json(self) -> dict[str, Any]:
        """What the order keeps: the inputs, the resolved fields, each comparison, and what decided."""
        return {
            "inputs": self.inputs,
            "policy": self.policy.as_json(),
            "limits": self.limits,
            "rules": self.rules,
            "rate": None if self.quote is None else self.quote.as_json(),
            "decided_by": self.rules[0]["rule"] if self.rules else "passed",
        }


@dataclass(frozen=True, slots=True)
class Facts:
    """What one order is judged by, beside its policy: known for an order to come and for one of the past."""

    amount: Decimal
    level: int
    at: datetime
    #: (name of the limit) -> what was used before this order, in the limit's own unit.
    used: dict[str, Decimal]
    count: int
    quote: UsdQuote | None


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the policy makes of the facts: ``code`` is the refusal, '' where there is none."""

    code: str
    detail: str
    fee: Decimal
    limits: list[dict[str, Any]]
    rules: list[dict[str, Any]]
    needs_code: bool = False
    needs_email: bool = False


def rows_for(operation: OrderType, currency: Currency, *users: User) -> list[Policy]:
    """The rows that could say something of one of these users in this operation and currency. One query."""
    return list(
        Policy.objects.filter(
            Q(currency__isnull=True) | Q(currency=currency),
            Q(user__isnull=True) | Q(user__in=users),
            Q(group__isnull=True) | Q(group_id__in=[user.group_id for user in users if user.group_id]),
            account_type__in=["", *(user.account_type for user in users)],
            operation=operation,
        )
    )


def speaks_of(row: Policy, user: User, currency: Currency) -> bool:
    """What :func:`rows_for` asks the database, of a row in hand."""
    return (
        row.currency_id in {None, currency.pk}
        and row.user_id in {None, user.pk}
        and row.group_id in {None, user.group_id}
        and row.account_type in {"", user.account_type}
    )


def resolve(
    operation: OrderType, currency: Currency, user: User, rows: Iterable[Policy] | None = None
) -> Resolved:
    """The policy of ``operation`` in ``currency`` for ``user``, field by field, from ``rows`` or one query."""
    found = rows_for(operation, currency, user) if rows is None else rows
    return resolved(operation, currency, [row for row in found if speaks_of(row, user, currency)])


def resolved(operation: OrderType, currency: Currency, rows: Iterable[Policy]) -> Resolved:
    """Each field from the most specific of ``rows`` (all of which apply) that sets it."""
    ordered = sorted(rows, key=_specificity, reverse=True)
    values: dict[str, Any] = {}
    origin: dict[str, int] = {}
    units: dict[str, Policy.Unit] = {}
    wide = set()
    for name in POLICY_FIELDS:
        for row in ordered:
            value = getattr(row, name)
            if value is None:
                continue
            values[name], origin[name] = value, row.pk
            if name in LIMITS:
                units[name] = Policy.Unit(row.unit)
                if name in DAYS and row.currency_id is None and units[name] is Policy.Unit.USD:
                    wide.add(name)
            break
    return Resolved(operation, currency, values, origin, units, frozenset(wide))


def require_open(operation: OrderType, currency: Currency) -> None:
    """Raise unless the operation's switch and the currency are on."""
    switches = operation.value.lower(), f"currency:{currency.code}"
    off = switched_off(*switches)
    if switches[0] in off:
        raise KauriError("operation_disabled")
    if not currency.is_enabled or switches[1] in off:
        raise KauriError("currency_disabled", currency.code)


def judge(
    operation: OrderType,
    currency: Currency,
    user: User,
    amount: Decimal,
    rows: Iterable[Policy] | None = None,
) -> Judgement:
    """Compare ``amount`` with the policy; the caller holds the user's row lock (daily totals).

    Raises ``operation_disabled``, ``verification_required``, ``below_minimum``, ``above_maximum``,
    ``limit_exceeded``, and ``rate_unavailable`` where a limit is in dollars and nobody knows the
    rate. The result lists every limit with the figure it was compared with.
    """
    policy = resolve(operation, currency, user, rows)
    now = clock.now()
    # Fail closed: a limit that can't be compared is no limit that was kept.
    quote = usd_rate(currency) if policy.needs_rate else None
    used, count = _before(policy, user, now)
    facts = Facts(
        amount=amount,
        level=user.verification_level,
        at=now,
        used=used,
        count=count,
        quote=quote,
    )
    verdict = weigh(policy, facts)
    if verdict.code:
        raise KauriError(verdict.code, verdict.detail)
    rules = verdict.rules + (cooling_off(user) if operation in LEAVING else [])
    inputs = {
        "amount": plain(amount),
        "currency": currency.code,
        "level": user.verification_level,
        "group": None if user.group is None else user.group.code,
        "account_type": user.account_type,
        "at": clock.iso(now),
    }
    needs = verdict.needs_code, verdict.needs_email
    return Judgement(policy, amount, verdict.fee, inputs, verdict.limits, rules, quote, *needs)


def require_code(judgement: Judgement, user: User, code: str) -> None:
    """Use up the customer's one-time code where the policy asks for one; otherwise it is not looked at.

    Raises ``totp_required`` (none was sent), ``totp_invalid`` (wrong, used before, or no authenticator).
    """
    if not judgement.needs_code:
        return
    if not code:
        raise KauriError("totp_required")
    if totp_verify(user_id=user.pk, code=code) is None:
        raise KauriError("totp_invalid")


def weigh(policy: Resolved, facts: Facts) -> Verdict:
    """The one comparison of facts with a policy: for an order that comes, and for a dry run."""
    limits: list[dict[str, Any]] = []
    fee = policy.fee(facts.amount)
    for check in (_switch, _level, _bounds, _totals, _orders_a_day):
        refused = check(policy, facts, limits)
        if refused is not None:
            return Verdict(refused[0], refused[1], fee, limits, [])
    needs_code = _is_above(policy, "totp_above", facts, limits)
    needs_email = _is_above(policy, "email_above", facts, limits)
    return Verdict("", "", fee, limits, _rules(policy, facts), needs_code, needs_email)


#: (code, detail) of a refusal.
Refused = tuple[str, str] | None


def _switch(policy: Resolved, _facts: Facts, _limits: list[dict[str, Any]]) -> Refused:
    return ("operation_disabled", "") if policy["enabled"] is False else None


def _level(policy: Resolved, facts: Facts, limits: list[dict[str, Any]]) -> Refused:
    name, bound = "required_level", policy["required_level"] or 0
    limits.append({"limit": name, "value": facts.level, "bound": bound, "policy": policy.origin.get(name)})
    return ("verification_required", f"level {bound} is needed") if facts.level < bound else None


def _bounds(policy: Resolved, facts: Facts, limits: list[dict[str, Any]]) -> Refused:
    for name, code, word, is_within in (
        ("min_amount", "below_minimum", "minimum", Decimal.__ge__),
        ("max_amount", "above_maximum", "maximum", Decimal.__le__),
    ):
        if policy[name] is None:
            continue
        value = _in_unit(policy, name, facts)
        limits.append(_limit(policy, name, value))
        if not is_within(value, policy[name]):
            return code, f"the {word} is {plain(policy[name])} {_unit(policy, name)}"
    return None


def _totals(policy: Resolved, facts: Facts, limits: list[dict[str, Any]]) -> Refused:
    for name in DAYS:
        if policy[name] is None:
            continue
        value = facts.used[name] + _in_unit(policy, name, facts)
        limits.append(_limit(policy, name, value))
        if value > policy[name]:
            left = max(policy[name] - facts.used[name], ZERO)
            return "limit_exceeded", f"{plain(left)} {_unit(policy, name)} is left"
    return None


def _orders_a_day(policy: Resolved, facts: Facts, limits: list[dict[str, Any]]) -> Refused:
    name = "daily_count"
    if policy[name] is None:
        return None
    limits.append(
        {"limit": name, "value": facts.count + 1, "bound": policy[name], "policy": policy.origin[name]}
    )
    return ("limit_exceeded", f"{policy[name]} orders a day") if facts.count + 1 > policy[name] else None


def _is_above(policy: Resolved, name: str, facts: Facts, limits: list[dict[str, Any]]) -> bool:
    """Whether the amount is above the threshold ``name``, where it is set."""
    if policy[name] is None:
        return False
    value = _in_unit(policy, name, facts)
    limits.append(_limit(policy, name, value))
    return bool(value > policy[name])


def _rules(policy: Resolved, facts: Facts) -> list[dict[str, Any]]:
    """What sends the order to people."""
    name = "approval_above"
    if policy[name] is None or _in_unit(policy, name, facts) <= policy[name]:
        return []
    return [
        {
            "rule": name,
            "text": "The amount is above the approval limit",
            "value": f"{plain(_in_unit(policy, name, facts))} {_unit(policy, name)}",
            "limit": f"{plain(policy[name])} {_unit(policy, name)}",
            "policy": policy.origin[name],
        }
    ]


def _limit(policy: Resolved, name: str, value: Decimal) -> dict[str, Any]:
    return {
        "limit": name,
        "value": plain(value),
        "bound": plain(policy[name]),
        "unit": _unit(policy, name),
        "policy": policy.origin[name],
    }


def _in_unit(policy: Resolved, name: str, facts: Facts) -> Decimal:
    """The order's amount in the unit of the limit ``name``."""
    if policy.units[name] is Policy.Unit.CURRENCY:
        return facts.amount
    if facts.quote is None:
        raise KauriError("rate_unavailable", policy.currency.code)
    return CONTEXT.multiply(facts.amount, facts.quote.price)


def _unit(policy: Resolved, name: str) -> str:
    return policy.currency.code if policy.units[name] is Policy.Unit.CURRENCY else "USD"


def _before(policy: Resolved, user: User, now: datetime) -> tuple[dict[str, Decimal], int]:
    """What the customer used of each daily and monthly limit before, in its unit, and their orders of a day."""
    spans = {name: days for name, days in DAYS.items() if policy[name] is not None}
    if not spans and policy["daily_count"] is None:
        return {}, 0
    own = policy.currency.pk
    rows = turnover(user, policy.operation, None if policy.wide else policy.currency, spans, now)
    used = {}
    for name in spans:
        sums = {
            row["currency_out"]: row[name]
            for row in rows
            if row[name] is not None and (name in policy.wide or row["currency_out"] == own)
        }
        if policy.units[name] is Policy.Unit.CURRENCY:
            used[name] = sums.get(own, ZERO)
            continue
        currencies = list(Currency.objects.filter(pk__in=sums))
        rates = usd_rates(currencies, now)
        used[name] = sum((rates.value(row, sums[row.pk]).exact for row in currencies), ZERO)
    return used, sum(row["orders_a_day"] for row in rows if row["currency_out"] == own)


def _specificity(row: Policy) -> tuple[int, int]:
    who = 3 if row.user_id else 2 if row.group_id else 1 if row.account_type else 0
    return who, 1 if row.currency_id else 0
