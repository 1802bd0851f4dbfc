"""The one mechanism behind every switch, limit and fee of every operation.

Each field is taken on its own from the most specific row that sets it, and the answer says which
row that was. What an order was judged by is kept on the order (``explanation``).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from typing import Any

from django.db.models import Q, Sum

from kauri.account.models import User
from kauri.common import clock
from kauri.common.errors import KauriError
from kauri.common.money import CONTEXT, ZERO, plain, round_fee
from kauri.core.models import Currency, Switch
from kauri.order_core.models import POLICY_FIELDS, Order, Policy
from kauri.order_core.states import OrderStatus, OrderType

_NOT_COUNTED = (
    OrderStatus.ERROR,
    OrderStatus.CANCELLED,
    OrderStatus.EXPIRED,
    OrderStatus.CANCELLED_BY_OPERATOR,
)


@dataclass(frozen=True, slots=True)
class Resolved:
    """One user's policy for one operation and currency; ``origin`` names the row of each field."""

    operation: OrderType
    currency: Currency
    values: dict[str, Any]
    origin: dict[str, int]

    def __getitem__(self, name: str) -> Any:
        return self.values.get(name)

    def fee(self, amount: Decimal) -> Decimal:
        """percent + fixed, kept between least and greatest, rounded up to the currency's scale."""
        percent = CONTEXT.divide(CONTEXT.multiply(amount, self["fee_percent"] or ZERO), Decimal(100))
        fee = round_fee(percent + (self["fee_fixed"] or ZERO), self.currency.scale)
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
            }
            for name, value in self.values.items()
        }


@dataclass(slots=True)
class Judgement:
    """What the policy says of one amount: the fee, what was compared, and who must look at it."""

    policy: Resolved
    fee: Decimal
    limits: list[dict[str, Any]] = field(default_factory=list)
    rules: list[dict[str, Any]] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        return {"policy": self.policy.as_json(), "limits": self.limits, "rules": self.rules}


def resolve(operation: OrderType, currency: Currency, user: User) -> Resolved:
    """The policy of ``operation`` in ``currency`` for ``user``, field by field. One query."""
    rows = list(
        Policy.objects.filter(
            Q(currency__isnull=True) | Q(currency=currency),
            Q(user__isnull=True) | Q(user=user),
            Q(group__isnull=True) | Q(group_id=user.group_id),
            Q(account_type="") | Q(account_type=user.account_type),
            operation=operation,
        )
    )
    rows.sort(key=_specificity, reverse=True)
    values: dict[str, Any] = {}
    origin: dict[str, int] = {}
    for name in POLICY_FIELDS:
        for row in rows:
            value = getattr(row, name)
            if value is not None:
                values[name], origin[name] = value, row.pk
                break
    return Resolved(operation=operation, currency=currency, values=values, origin=origin)


def require_open(operation: OrderType, currency: Currency) -> None:
    """Raise unless the operation's switch and the currency are on."""
    if Switch.objects.filter(code=operation.value.lower(), is_on=False).exists():
        raise KauriError("operation_disabled")
    if not currency.is_enabled:
        raise KauriError("currency_disabled", currency.code)


def judge(operation: OrderType, currency: Currency, user: User, amount: Decimal) -> Judgement:
    """Compare ``amount`` with the policy; the caller holds the user's row lock (daily totals).

    Raises ``operation_disabled``, ``verification_required``, ``below_minimum``, ``above_maximum``,
    ``limit_exceeded``. The result lists every limit with the figure it was compared with.
    """
    policy = resolve(operation, currency, user)
    result = Judgement(policy=policy, fee=policy.fee(amount))
    if policy["enabled"] is False:
        raise KauriError("operation_disabled", f"policy {policy.origin['enabled']}")
    level = policy["required_level"] or 0
    if user.verification_level < level:
        raise KauriError("verification_required", f"level {level} is needed")
    result.limits.append({"limit": "required_level", "value": user.verification_level, "bound": level})
    if policy["min_amount"] is not None and amount < policy["min_amount"]:
        raise KauriError("below_minimum", f"the minimum is {plain(policy['min_amount'])} {currency}")
    if policy["max_amount"] is not None and amount > policy["max_amount"]:
        raise KauriError("above_maximum", f"the maximum is {plain(policy['max_amount'])} {currency}")
    _judge_totals(result, user, amount)
    if policy["approval_above"] is not None and amount > policy["approval_above"]:
        result.rules.append(
            {
                "rule": "approval_above",
                "text": "The amount is above the approval limit",
                "value": f"{plain(amount)} {currency}",
                "limit": f"{plain(policy['approval_above'])} {currency}",
                "policy": policy.origin["approval_above"],
            }
        )
    return result


def _judge_totals(result: Judgement, user: User, amount: Decimal) -> None:
    policy = result.policy
    orders = Order.objects.filter(owner=user, type=policy.operation, currency_out=policy.currency).exclude(
        status__in=_NOT_COUNTED
    )
    now = clock.now()
    for name, days in (("daily_amount", 1), ("monthly_amount", 30)):
        bound = policy[name]
        if bound is None:
            continue
        used = (
            orders.filter(created_at__gt=now - timedelta(days=days)).aggregate(t=Sum("amount_out"))["t"]
            or ZERO
        )
        result.limits.append(
            {
                "limit": name,
                "value": plain(used + amount),
                "bound": plain(bound),
                "policy": policy.origin[name],
            }
        )
        if used + amount > bound:
            raise KauriError("limit_exceeded", f"{plain(bound - used)} {policy.currency} is left")
    if policy["daily_count"] is not None:
        count = orders.filter(created_at__gt=now - timedelta(days=1)).count() + 1
        result.limits.append({"limit": "daily_count", "value": count, "bound": policy["daily_count"]})
        if count > policy["daily_count"]:
            raise KauriError("limit_exceeded", f"{policy['daily_count']} orders a day")


def _specificity(row: Policy) -> tuple[int, int]:
    who = 3 if row.user_id else 2 if row.group_id else 1 if row.account_type else 0
    return who, 1 if row.currency_id else 0
