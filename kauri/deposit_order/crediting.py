"""What becomes of money that came: an order, the books, the customer's balance. Each step once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from django.db import transaction
from django.db.models import QuerySet

from kauri.account.models import User
from kauri.common import clock
from kauri.common.actor import Actor
from kauri.common.errors import KauriError
from kauri.common.locks import lock
from kauri.common.money import CONTEXT, ZERO, plain, round_fee
from kauri.core.models import Currency, Provider
from kauri.core.outbox import emit
from kauri.deposit_order import postings
from kauri.deposit_order.body import deposit_object
from kauri.deposit_order.models import DepositDetail
from kauri.order_core import machine, policies, screening
from kauri.order_core.models import Order
from kauri.order_core.models.screening import Outcome
from kauri.order_core.states import OrderStatus, OrderType
from kauri.payment_provider.models import Payin
from kauri.wallet.models import DepositAddress, PaymentLink

#: The policy's refusals that have a fault of their own; any other is just a refusal.
_FAULTS: Final = {"below_minimum": Payin.Fault.BELOW_MINIMUM}


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


def orders() -> QuerySet[Order]:
    """Orders with what a deposit's body reads."""
    return Order.objects.select_related(
        "owner",
        "currency_in",
        "currency_out",
        "fee_currency",
        "deposit__payin__provider",
        "deposit__convert_to",
    )


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
    """The deposit order of a payin; the caller holds the customer's row (daily totals).

    Raises :class:`Refused` when the policy leaves nothing to credit. ``judged=False``: people have
    decided, and only the fee is the policy's.
    """
    currency = payin.currency
    try:
        fee, explanation = _terms(payin, user, judged)
    except KauriError as exc:
        raise Refused(_FAULTS.get(exc.code, Payin.Fault.REFUSED), f"{exc.code}: {exc.detail}") from exc
    fee = fee if wishes.fee is None else wishes.fee
    net = payin.amount - fee
    if net <= ZERO:
        raise Refused(Payin.Fault.BELOW_MINIMUM, "the fee leaves nothing of it")
    convert_to = wishes.convert_to or Currency.objects.filter(code=user.auto_conversion).first()
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
    detail = DepositDetail(
        order=order,
        payin=payin,
        confirmations_needed=confirmations,
        convert_to=None if convert_to == currency else convert_to,
    )
    order.deposit = detail
    machine.start(order, actor=actor, body=deposit_object)
    detail.order = order
    detail.save(force_insert=True)
    payin.order_id = order.public_id
    payin.save(update_fields=["order_id"])
    machine.transition(order, OrderStatus.WAITING_FOR_CONFIRMATION, actor=actor, body=deposit_object)
    return order


def settle(payin_id: int, *, actor: Actor) -> bool:
    """Credit final money to its customer, once, when analysis lets it; True when it was credited now.

    What analysis holds or freezes is booked as nobody's, and its order stands BLOCKED.
    """
    with transaction.atomic():
        found = _locked(payin_id)
        if found is None:
            return False
        order, payin = found
        if payin.state != Payin.State.SEEN or order.status != OrderStatus.WAITING_FOR_CONFIRMATION:
            return False
        outcome = screening.incoming_outcome(order, payin)
        if outcome is None:
            return False
        if outcome is Outcome.PASS:
            credit(order, payin, actor=actor)
            return True
        book(payin, actor=actor)
        payin.state = Payin.State.HELD
        payin.save(update_fields=["state"])
        machine.transition(
            order, OrderStatus.BLOCKED, actor=actor, body=deposit_object, reason=f"analysis: {outcome.value}"
        )
        emit(
            "deposit.held",
            subject_type="order",
            subject_id=order.public_id,
            payload={
                "order_id": str(order.public_id),
                "amount": plain(payin.amount),
                "currency": payin.currency.code,
                "customer": order.owner.email,
                "outcome": outcome.value,
            },
        )
        return False


def credit(order: Order, payin: Payin, *, actor: Actor, reason: str = "") -> None:
    """Close a locked deposit with its money on the customer's balance."""
    payin.state = Payin.State.CREDITED
    payin.credited_at = clock.now()
    payin.save(update_fields=["state", "credited_at"])
    machine.transition(order, OrderStatus.CLOSED, actor=actor, body=deposit_object, reason=reason)
    postings.credit(order, payin, actor=actor)


def book(payin: Payin, *, actor: Actor) -> None:
    """Let the books know of a locked payin that is nobody's yet; again: nothing happens."""
    if payin.booked_at is not None:
        return
    payin.booked_at = clock.now()
    payin.save(update_fields=["booked_at"])
    postings.suspend(payin, actor=actor)


def book_unmatched(payin_id: int, *, actor: Actor) -> None:
    """The same for unmatched money that has become final."""
    with transaction.atomic():
        rows = Payin.objects.select_related("currency", "provider")
        payin = lock(rows.filter(pk=payin_id, state=Payin.State.UNMATCHED)).first()
        if payin is not None:
            book(payin, actor=actor)


def unmatched(payin: Payin, fault: Payin.Fault, detail: str = "") -> None:
    """Put a payin into people's queue, and tell them."""
    payin.state = Payin.State.UNMATCHED
    payin.fault = fault
    payin.fault_detail = detail[:300]
    payin.save(update_fields=["state", "fault", "fault_detail"])
    emit(
        "payin.unmatched",
        subject_type="payin",
        subject_id=payin.public_id,
        payload={
            "payin_id": str(payin.public_id),
            "amount": plain(payin.amount),
            "currency": payin.currency.code,
            "fault": fault.value,
            "reason": detail or fault.value,
        },
    )


def _terms(payin: Payin, user: User, judged: bool) -> tuple[Decimal, dict[str, Any]]:
    """The fee, and what the order keeps of how it came about."""
    if judged:
        judgement = policies.judge(OrderType.DEPOSIT, payin.currency, user, payin.amount)
        return judgement.fee, judgement.as_json()
    policy = policies.resolve(OrderType.DEPOSIT, payin.currency, user)
    return policy.fee(payin.amount), {"policy": policy.as_json(), "decided_by": "people"}


def _locked(payin_id: int) -> tuple[Order, Payin] | None:
    detail = DepositDetail.objects.filter(payin_id=payin_id).first()
    if detail is None:
        return None
    order = lock(orders().filter(pk=detail.order_id)).get()
    return order, lock(Payin.objects.select_related("currency", "provider").filter(pk=payin_id)).get()
