"""What becomes of money that is seen: a deposit order, or a place in people's queue. Nothing is posted yet.

Many are opened at once as one is: each is judged on its own, in their order, and then all are written by
the same few statements (:class:`Openings`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from kauri.account.models import User
from kauri.common.actor import Actor
from kauri.common.errors import KauriError
from kauri.common.money import CONTEXT, ZERO, plain, round_fee
from kauri.core.models import Currency, Provider
from kauri.core.outbox import Event, emit_all
from kauri.deposit_order.body import deposit_object
from kauri.deposit_order.models import DepositDetail
from kauri.order_core import machine, policies
from kauri.order_core.models import Order, Policy
from kauri.order_core.states import OrderStatus, OrderType
from kauri.payment_provider.models import Payin
from kauri.wallet.models import DepositAddress, PaymentLink

#: The policy's refusals that have a fault of their own; any other is just a refusal.
_FAULTS: Final = {"below_minimum": Payin.Fault.BELOW_MINIMUM}
#: Rows of one statement, at most.
MOST: Final = 500


class Refused(Exception):
    """No deposit can be made of a payin: why, as a fault."""

    def __init__(self, fault: Payin.Fault, detail: str) -> None:
        super().__init__(detail)
        self.fault = fault
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the customer asked for when they took the address or the link."""

    callback_url: str = ""
    external_id: str = ""
    comment: str = ""
    additional_info: Mapping[str, Any] = field(default_factory=dict)
    convert_to: Currency | None = None
    #: Agreed when the link was made; None: as the policy says when the money comes.
    fee: Decimal | None = None


def wishes_of(place: DepositAddress | PaymentLink) -> Wishes:
    """What an address or a link was asked with."""
    return Wishes(
        callback_url=place.callback_url,
        external_id=place.external_id,
        comment=place.comment,
        additional_info=place.additional_info,
        convert_to=place.convert_to,
        fee=place.fee if isinstance(place, PaymentLink) else None,
    )


@dataclass(slots=True)
class Openings:
    """Deposits to open and money without a home, of one provider's stretch, written together.

    The caller holds the rows of all ``users``. Whoever's limits count what they did before is judged
    after that has been written: the totals are always the database's.
    """

    actor: Actor
    users: Mapping[int, User]
    #: How high the chain is, for the bodies that customers get.
    height: int
    payins: list[Payin] = field(default_factory=list)
    orders: list[Order] = field(default_factory=list)
    homeless: list[Event] = field(default_factory=list)
    rules: dict[int, list[Policy]] = field(default_factory=dict)
    currencies: dict[str, Currency | None] = field(default_factory=dict)

    def add(self, payin: Payin, user_id: int, wishes: Wishes, confirmations: int) -> None:
        """A new payin of a customer: an order, or people's queue where the policy refuses it."""
        user = self.users[user_id]
        rows = self._rules(payin.currency)
        if any(order.owner_id == user_id for order in self.orders) and _counts_totals(
            payin.currency, user, rows
        ):
            self.write()
        try:
            order = _draft(
                payin, user, wishes, self._wish(user, wishes), confirmations=confirmations, rows=rows
            )
        except Refused as exc:
            self.add_homeless(payin, exc.fault, exc.detail)
            return
        order.chain_height = self.height  # type: ignore[attr-defined]
        payin.order_id = order.public_id
        self.payins.append(payin)
        self.orders.append(order)
        if len(self.payins) >= MOST:
            self.write()

    def add_homeless(self, payin: Payin, fault: Payin.Fault, detail: str) -> None:
        """A new payin that is nobody's."""
        _name_fault(payin, fault, detail)
        self.payins.append(payin)
        self.homeless.append(_unmatched_event(payin))
        if len(self.payins) >= MOST:
            self.write()

    def write(self) -> None:
        """Write what was added: payins, orders with their history and events, details, told faults."""
        if not self.payins:
            return
        Payin.objects.bulk_create(self.payins)
        if self.orders:
            _start(self.orders, self.actor)
        emit_all(self.homeless)
        self.payins, self.orders, self.homeless = [], [], []

    def _rules(self, currency: Currency) -> list[Policy]:
        if currency.pk not in self.rules:
            self.rules[currency.pk] = policies.rows_for(OrderType.DEPOSIT, currency, *self.users.values())
        return self.rules[currency.pk]

    def _wish(self, user: User, wishes: Wishes) -> Currency | None:
        if wishes.convert_to is not None:
            return wishes.convert_to
        code = user.auto_conversion
        if code not in self.currencies:
            self.currencies[code] = _auto_conversion(user)
        return self.currencies[code]


def provider_cost(provider: Provider, currency: Currency, amount: Decimal) -> Decimal:
    """What the provider takes for itself: its setting ``deposit_cost``, percent + fixed, rounded up.

    Never more than came, and nothing where the setting cannot be read: the reconciliation shows it then.
    """
    given = provider.settings.get("deposit_cost")
    terms = given.get(currency.code) if isinstance(given, dict) else None
    if not isinstance(terms, dict):
        return ZERO
    try:
        percent, fixed = (Decimal(str(terms.get(name) or 0)) for name in ("percent", "fixed"))
    except InvalidOperation:
        return ZERO
    if not (percent.is_finite() and fixed.is_finite()) or percent < 0 or fixed < 0:
        return ZERO
    cost = CONTEXT.divide(CONTEXT.multiply(amount, percent), Decimal(100)) + fixed
    return min(round_fee(cost, currency.scale), amount)


def open_order(
    payin: Payin, user: User, wishes: Wishes, *, confirmations: int, actor: Actor, judged: bool = True
) -> Order:
    """The deposit order of a payin that is written; the caller holds the customer's row (daily totals).

    Raises :class:`Refused` when the policy leaves nothing to credit. ``judged=False``: people have
    decided, and only the fee is the policy's.
    """
    convert_to = wishes.convert_to or _auto_conversion(user)
    order = _draft(payin, user, wishes, convert_to, confirmations=confirmations, judged=judged)
    payin.order_id = order.public_id
    payin.save(update_fields=["order_id"])
    _start([order], actor)
    return order


def unmatched(payin: Payin, fault: Payin.Fault, detail: str = "") -> None:
    """Put a payin that is written into people's queue, and tell them."""
    _name_fault(payin, fault, detail)
    payin.save(update_fields=["state", "fault", "fault_detail"])
    emit_all([_unmatched_event(payin)])


def _draft(
    payin: Payin,
    user: User,
    wishes: Wishes,
    convert_to: Currency | None,
    *,
    confirmations: int,
    judged: bool = True,
    rows: list[Policy] | None = None,
) -> Order:
    """The order with its detail, neither of them written; :class:`Refused` where there is none."""
    currency = payin.currency
    try:
        fee, explanation = _terms(payin, user, judged, rows)
    except KauriError as exc:
        raise Refused(_FAULTS.get(exc.code, Payin.Fault.REFUSED), f"{exc.code}: {exc.detail}") from exc
    fee = fee if wishes.fee is None else wishes.fee
    net = payin.amount - fee
    if net <= ZERO:
        raise Refused(Payin.Fault.BELOW_MINIMUM, "the fee leaves nothing of it")
    order = Order(
        type=OrderType.DEPOSIT,
        owner=user,
        currency_in=currency,
        amount_in=payin.amount,
        currency_out=currency,
        amount_out=net,
        fee=fee,
        fee_currency=currency,
        external_id="",
        callback_url=wishes.callback_url,
        comment=wishes.comment,
        additional_info={
            **wishes.additional_info,
            **({"external_id": wishes.external_id} if wishes.external_id else {}),
        },
        source=Order.Source.PROVIDER if judged else Order.Source.BACK_OFFICE,
        explanation=explanation,
    )
    order.deposit = DepositDetail(
        order=order,
        payin=payin,
        confirmations_needed=confirmations,
        convert_to=None if convert_to == currency else convert_to,
    )
    return order


def _start(orders: list[Order], actor: Actor) -> None:
    """Write orders whose payins are written, with their details."""
    machine.start_all(
        orders, actor=actor, body=deposit_object, through=[OrderStatus.WAITING_FOR_CONFIRMATION]
    )
    details = []
    for order in orders:
        detail = order.deposit
        # Now that both have keys.
        detail.order, detail.payin = order, detail.payin
        details.append(detail)
    DepositDetail.objects.bulk_create(details)


def _terms(
    payin: Payin, user: User, judged: bool, rows: list[Policy] | None
) -> tuple[Decimal, dict[str, Any]]:
    """The fee, and what the order keeps of how it came about."""
    if judged:
        judgement = policies.judge(OrderType.DEPOSIT, payin.currency, user, payin.amount, rows)
        return judgement.fee, judgement.as_json()
    policy = policies.resolve(OrderType.DEPOSIT, payin.currency, user)
    return policy.fee(payin.amount), {"policy": policy.as_json(), "decided_by": "people"}


def _counts_totals(currency: Currency, user: User, rows: list[Policy]) -> bool:
    """Whether what the customer did before counts in what they may do now."""
    policy = policies.resolve(OrderType.DEPOSIT, currency, user, rows)
    return any(policy[name] is not None for name in (*policies.DAYS, "daily_count"))


def _auto_conversion(user: User) -> Currency | None:
    code = user.auto_conversion
    return Currency.objects.filter(code=code).first() if code else None


def _name_fault(payin: Payin, fault: Payin.Fault, detail: str) -> None:
    payin.state = Payin.State.UNMATCHED
    payin.fault = fault
    payin.fault_detail = detail[:300]


def _unmatched_event(payin: Payin) -> Event:
    return Event(
        "payin.unmatched",
        subject_type="payin",
        subject_id=payin.public_id,
        payload={
            "payin_id": str(payin.public_id),
            "amount": plain(payin.amount),
            "currency": payin.currency.code,
            "fault": str(payin.fault),
            "reason": payin.fault_detail or str(payin.fault),
        },
    )
