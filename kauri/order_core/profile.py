"""The terms of an account: per order type limits, fees and rules, as policy resolves them for its owner."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from django.db.models import Q

from kauri.account.models import User
from kauri.common.errors import text_for
from kauri.common.money import ZERO
from kauri.core.models import Currency, Network
from kauri.core.selectors import switched_off
from kauri.order_core import policies
from kauri.order_core.models import Policy
from kauri.order_core.states import OrderType

_BOUNDS: Final = ("min_amount", "max_amount", "daily_amount", "monthly_amount")


@dataclass(frozen=True, slots=True)
class Shape:
    """How the old platform's clients find one order type: the blocks' prefix, the levels under a currency
    (and its networks, where it has several), the name of the switch, and what can be done with an order."""

    prefix: str
    levels: tuple[str, ...]
    has_networks: bool
    switch: str
    can_be_cancelled: bool
    can_be_repeated: bool
    provider_fee: str = ""


SHAPES: Final[dict[OrderType, Shape]] = {
    OrderType.DEPOSIT: Shape(
        "deposit_order",
        ("GATEWAY", "P2P"),
        True,
        "is_deposit_enabled",
        True,
        True,
        "payment_provider_static_fee",
    ),
    OrderType.WITHDRAWAL: Shape(
        "withdrawal_order",
        ("GATEWAY",),
        True,
        "is_withdrawal_enabled",
        True,
        True,
        "parent_currency_static_fee",
    ),
    OrderType.INTERNAL_MOVEMENT: Shape(
        "internal_movement", ("CROSS_ACCOUNT",), False, "is_enabled", False, True
    ),
}


def terms(user: User, language: str) -> dict[str, dict[str, Any]]:
    """Three blocks an order type: ``*_limits``, ``*_fees``, ``*_processing_rules``. Four queries."""
    currencies = list(Currency.objects.prefetch_related("networks"))
    rows = _rows(user)
    off = switched_off(
        *(operation.value.lower() for operation in SHAPES),
        *(f"currency:{currency.code}" for currency in currencies),
    )
    blocks: dict[str, dict[str, Any]] = {}
    for operation, shape in SHAPES.items():
        limits, fees, rules = (
            blocks.setdefault(f"{shape.prefix}_{name}", {}) for name in ("limits", "fees", "processing_rules")
        )
        for currency in currencies:
            policy = _policy(operation, currency, user, rows)
            limits[currency.code] = _placed(shape, currency, lambda _, policy=policy: _limits(policy))
            fees[currency.code] = _placed(
                shape, currency, lambda _, policy=policy, shape=shape: _fees(policy, shape)
            )
            closed = _closed(policy, user, off)
            rules[currency.code] = _placed(
                shape,
                currency,
                lambda network, policy=policy, shape=shape, closed=closed: _rules(
                    policy, shape, closed, network, language
                ),
            )
    return blocks


def standing(user: User) -> tuple[list[policies.Resolved], list[Policy]]:
    """The policy of every operation in every currency that is on, as it holds for ``user``, and all rows that
    could say something of them. Two queries."""
    rows, currencies = (
        _rows(user, "user", "group", "currency"),
        list(Currency.objects.filter(is_enabled=True)),
    )
    return [_policy(operation, currency, user, rows) for operation in SHAPES for currency in currencies], rows


def _rows(user: User, *named: str) -> list[Policy]:
    """The rows that could say something of ``user``, each with what is ``named``. One query."""
    return list(
        Policy.objects.select_related(*named).filter(
            Q(user__isnull=True) | Q(user=user),
            Q(group__isnull=True) | Q(group=user.group_id),
            account_type__in=["", user.account_type],
            operation__in=SHAPES,
        )
    )


def terms_of(
    operation: OrderType, user: User, currency: Currency, network: Network | None, language: str
) -> dict[str, Any]:
    """``limits``, ``fees`` and ``processing_rules`` of one operation, currency and network."""
    shape = SHAPES[operation]
    policy = policies.resolve(operation, currency, user)
    off = switched_off(operation.value.lower(), f"currency:{currency.code}")
    return {
        "limits": _limits(policy),
        "fees": _fees(policy, shape),
        "processing_rules": _rules(policy, shape, _closed(policy, user, off), network, language),
    }


def _policy(
    operation: OrderType, currency: Currency, user: User, rows: Iterable[Policy]
) -> policies.Resolved:
    return policies.resolved(
        operation,
        currency,
        [row for row in rows if row.operation == operation and policies.speaks_of(row, user, currency)],
    )


def _placed(shape: Shape, currency: Currency, leaf: Any) -> dict[str, Any]:
    """``leaf(network)`` under the levels of the old form: by network only where a currency has several."""
    networks: list[Network] = list(currency.networks.all()) if shape.has_networks else []
    found = (
        {network.code.upper(): leaf(network) for network in networks}
        if len(networks) > 1
        else leaf(networks[0] if networks else None)
    )
    for level in reversed(shape.levels):
        found = {level: found}
    return dict(found)


def _limits(policy: policies.Resolved) -> dict[str, Any]:
    """Bounds in the currency under their old names; those in dollars under names that say so."""
    limits: dict[str, Any] = {"daily_count": policy["daily_count"]}
    for name in _BOUNDS:
        in_dollars = policy.units.get(name) is Policy.Unit.USD
        limits[name] = None if in_dollars else policy[name]
        if in_dollars:
            limits[f"{name}_usd"] = policy[name]
    return limits


def _fees(policy: policies.Resolved, shape: Shape) -> dict[str, Any]:
    fees: dict[str, Any] = {
        "static_fee": policy["fee_fixed"] or ZERO,
        "percent_fee": policy["fee_percent"] or ZERO,
        "min_fee": policy["fee_min"],
        "max_fee": policy["fee_max"],
    }
    if shape.provider_fee:
        fees[shape.provider_fee] = ZERO  # the house's one fee has what providers take in it
    else:
        fees["fee_payer"] = policy["fee_payer"] or Policy.FeePayer.SENDER.value
    return fees


def _rules(
    policy: policies.Resolved, shape: Shape, closed: str, network: Network | None, language: str
) -> dict[str, Any]:
    if not closed and network is not None and not network.is_enabled:
        closed = "operation_disabled"
    rules: dict[str, Any] = {
        shape.switch: not closed,
        "disable_description": text_for(closed, language) if closed else "",
        "is_repeat_enabled": shape.can_be_repeated and not closed,
        "required_level": policy["required_level"] or 0,
    }
    if shape.has_networks:
        # A link can be cancelled; an address is for ever.
        on_chain = policy.operation == OrderType.DEPOSIT and policy.currency.kind == Currency.Kind.CRYPTO
        rules["is_cancel_enabled"] = shape.can_be_cancelled and not on_chain
    if policy.operation == OrderType.DEPOSIT:
        rules["confirmations_count"] = network.confirmations if network else None
    return rules


def _closed(policy: policies.Resolved, user: User, off: set[str]) -> str:
    """The code of the refusal that any order of this kind would get now; '' where it is open."""
    currency = policy.currency
    if policy.operation.value.lower() in off:
        return "operation_disabled"
    if not currency.is_enabled or f"currency:{currency.code}" in off:
        return "currency_disabled"
    if policy["enabled"] is False:
        return "operation_disabled"
    return "verification_required" if user.verification_level < (policy["required_level"] or 0) else ""
