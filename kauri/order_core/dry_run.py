"""What a changed policy would have done to the orders of the last days. Nothing is written.

Each order is weighed twice, under the policies as they are and as they would be, with the customer's
running totals under each; so a policy that changes nothing reports nothing. Levels, groups and types
of customers are today's; dollar rates are those of the order's moment.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from kauri.account.models import User
from kauri.common import clock
from kauri.common.errors import KauriError
from kauri.common.money import CONTEXT, ZERO
from kauri.core.models import Currency
from kauri.exchange_rate.models import UsdRate
from kauri.exchange_rate.selectors import USD, UsdQuote
from kauri.order_core import policies
from kauri.order_core.models import Order, Policy
from kauri.order_core.policies import Facts, Resolved, Verdict
from kauri.order_core.selectors import NOT_COUNTED
from kauri.order_core.states import OrderType

#: So many changed orders are listed one by one; all of them are counted.
SHOWN: Final = 200
MAX_DAYS: Final = 90
#: More orders than this in the window are refused rather than half looked at.
MAX_ORDERS: Final = 200_000
_MEMORY: Final = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class Changed:
    """One order that would have gone another way. Outcomes: passed, approval, or a refusal's code."""

    order: Order
    before: str
    after: str
    fee_before: Decimal
    fee_after: Decimal


@dataclass(slots=True)
class DryRun:
    """How many orders were looked at, and what would have been otherwise."""

    since: datetime
    until: datetime
    looked_at: int = 0
    blocked: int = 0
    let_through: int = 0
    to_approval: int = 0
    from_approval: int = 0
    fees: dict[str, Decimal] = field(default_factory=dict)
    rows: list[Changed] = field(default_factory=list)

    @property
    def is_nothing(self) -> bool:
        """Whether no order would have gone another way."""
        return not (self.blocked or self.let_through or self.to_approval or self.from_approval or self.fees)

    def count(self, order: Order, before: Verdict, after: Verdict) -> None:
        self.looked_at += 1
        was, would = _outcome(before), _outcome(after)
        fee = after.fee - before.fee if not (before.code or after.code) else ZERO
        if was == would and not fee:
            return
        self.blocked += bool(after.code and not before.code)
        self.let_through += bool(before.code and not after.code)
        self.to_approval += would == "approval" != was
        self.from_approval += was == "approval" != would
        if fee:
            code = order.currency_out.code
            self.fees[code] = self.fees.get(code, ZERO) + fee
        if len(self.rows) < SHOWN:
            self.rows.append(Changed(order, was, would, before.fee, after.fee))


def policy_dry_run(policy_pk: int | None, values: Mapping[str, Any], days: int) -> DryRun:
    """Weigh the orders of the last ``days`` with the policy ``policy_pk`` (None: a new one) changed so.

    ``values`` are a proposal's: JSON, keyed by field. Raises ``validation_error`` (days, values, too
    many orders), ``not_found``.
    """
    if not 1 <= days <= MAX_DAYS:
        raise KauriError("validation_error", fields={"days": f"from 1 to {MAX_DAYS}"})
    changed = _changed(policy_pk, values)
    operation = OrderType(changed.operation)
    rows = list(Policy.objects.filter(operation=operation))
    now = clock.now()
    result = DryRun(since=now - timedelta(days=days), until=now)
    orders = Order.objects.filter(type=operation, created_at__gt=result.since - _MEMORY, created_at__lte=now)
    if orders.order_by()[: MAX_ORDERS + 1].count() > MAX_ORDERS:
        raise KauriError("validation_error", fields={"days": "too many orders: choose fewer days"})
    rates = _Rates.read(result.since - _MEMORY)
    sides = (
        _Side(operation, rows, rates),
        _Side(operation, [row for row in rows if row.pk != policy_pk] + [changed], rates),
    )
    for order in _read(orders):
        verdicts = [side.weigh(order) for side in sides]
        if order.created_at > result.since:
            result.count(order, *verdicts)
    return result


def _changed(policy_pk: int | None, values: Mapping[str, Any]) -> Policy:
    row = Policy() if policy_pk is None else Policy.objects.filter(pk=policy_pk).first()
    if row is None:
        raise KauriError("not_found")
    for name, value in values.items():
        column: Any = Policy._meta.get_field(name)
        setattr(row, column.attname, None if value is None else column.to_python(value))
    if row.operation not in OrderType.values:
        raise KauriError("validation_error", fields={"operation": "required"})
    # Of a new row there is no number yet; 0 is nobody's.
    row.pk = row.pk or 0
    return row


def _read(orders: Any) -> Iterator[Order]:
    wide = orders.select_related("owner__group", "currency_in", "currency_out")
    return wide.order_by("created_at", "id").iterator(chunk_size=2000)  # type: ignore[no-any-return]


def _outcome(verdict: Verdict) -> str:
    return verdict.code or ("approval" if verdict.rules else "passed")


@dataclass(frozen=True, slots=True)
class _Rates:
    """Every dollar rate since a moment, to be asked for any moment since."""

    by_currency: dict[int, list[UsdRate]]

    @classmethod
    def read(cls, since: datetime) -> _Rates:
        found: dict[int, list[UsdRate]] = {}
        for row in UsdRate.objects.filter(expires_at__gt=since).order_by("quoted_at", "id"):
            found.setdefault(row.currency_id, []).append(row)
        return cls(found)

    def at(self, currency: Currency, moment: datetime) -> UsdQuote | None:
        if currency.code == USD:
            return UsdQuote(USD, Decimal(1), "by definition", moment, None)
        rows = self.by_currency.get(currency.pk, [])
        place = bisect_right(rows, moment, key=lambda row: row.quoted_at)
        row = rows[place - 1] if place else None
        if row is None or row.expires_at <= moment:
            return None
        return UsdQuote(currency.code, row.price, row.source, row.quoted_at, row.expires_at)


class _Side:
    """The orders under one set of policies, with each customer's last 30 days under it."""

    def __init__(self, operation: OrderType, rows: list[Policy], rates: _Rates) -> None:
        self.operation = operation
        self.rows = rows
        self.rates = rates
        self.named = {row.user_id for row in rows if row.user_id}
        self.known: dict[tuple[Any, ...], Resolved] = {}
        self.past: dict[int, deque[Order]] = {}

    def weigh(self, order: Order) -> Verdict:
        policy = self._policy(order.owner, order.currency_out)
        past = self.past.setdefault(order.owner_id, deque())
        while past and past[0].created_at <= order.created_at - _MEMORY:
            past.popleft()
        verdict = self._verdict(policy, order, past)
        if not verdict.code and order.status not in NOT_COUNTED:
            past.append(order)
        return verdict

    def _verdict(self, policy: Resolved, order: Order, past: deque[Order]) -> Verdict:
        quote = self.rates.at(order.currency_out, order.created_at)
        try:
            if policy.needs_rate and quote is None:
                raise KauriError("rate_unavailable")
            facts = Facts(
                amount=judged_amount(order),
                level=order.owner.verification_level,
                at=order.created_at,
                used={name: self._used(policy, name, order, past) for name in policies.DAYS},
                count=sum(
                    1
                    for row in past
                    if row.created_at > order.created_at - timedelta(days=1)
                    and row.currency_out_id == order.currency_out_id
                ),
                quote=quote,
            )
            return policies.weigh(policy, facts)
        except KauriError as error:
            return Verdict(error.code, "", ZERO, [], [])

    def _used(self, policy: Resolved, name: str, order: Order, past: deque[Order]) -> Decimal:
        if policy[name] is None:
            return ZERO
        since = order.created_at - timedelta(days=policies.DAYS[name])
        used = ZERO
        for row in past:
            if row.created_at <= since:
                continue
            if name not in policy.wide and row.currency_out_id != order.currency_out_id:
                continue
            if policy.units[name] is Policy.Unit.CURRENCY:
                used += row.amount_out
                continue
            quote = self.rates.at(row.currency_out, order.created_at)
            if quote is None:
                raise KauriError("rate_unavailable")
            used += CONTEXT.multiply(row.amount_out, quote.price)
        return used

    def _policy(self, user: User, currency: Currency) -> Resolved:
        person = user.pk if user.pk in self.named else None
        key = (currency.pk, person, user.group_id, user.account_type)
        if key not in self.known:
            self.known[key] = policies.resolved(
                self.operation,
                currency,
                [row for row in self.rows if policies.speaks_of(row, user, currency)],
            )
        return self.known[key]


def judged_amount(order: Order) -> Decimal:
    """The amount that a policy judged when the order came: what arrives, with the fee on top or not."""
    if order.type == OrderType.DEPOSIT:
        return order.amount_in
    fee_inside = order.explanation.get("policy", {}).get("fee_payer", {}).get("value") == "recipient"
    return order.amount_in if fee_inside else order.amount_out
