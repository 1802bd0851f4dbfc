"""One vocabulary of order types and states: stored, shown, and told to clients."""

from __future__ import annotations

from typing import Final

from django.db import models
from django.utils.translation import gettext_lazy as _


class OrderType(models.TextChoices):
    DEPOSIT = "DEPOSIT", _("Deposit")
    WITHDRAWAL = "WITHDRAWAL", _("Withdrawal")
    EXCHANGE = "EXCHANGE", _("Exchange")
    INTERNAL_MOVEMENT = "INTERNAL_MOVEMENT", _("Internal movement")
    INVOICE = "INVOICE", _("Invoice")
    FAST_EXCHANGE = "FAST_EXCHANGE", _("Fast exchange")


class OrderStatus(models.TextChoices):
    NEW = "NEW", _("New")
    WAITING_FOR_PRICE = "WAITING_FOR_PRICE", _("Waits for its price")
    WAITING_FOR_CONFIRMATION = "WAITING_FOR_CONFIRMATION", _("Waits for confirmations")
    WAITING_FOR_OPERATOR_CONFIRMATION = "WAITING_FOR_OPERATOR_CONFIRMATION", _("Waits for an operator")
    CONFIRMED_BY_OPERATOR = "CONFIRMED_BY_OPERATOR", _("Approved")
    CANCELLED_BY_OPERATOR = "CANCELLED_BY_OPERATOR", _("Rejected")
    PAYMENT_IN_PROGRESS = "PAYMENT_IN_PROGRESS", _("Payment in progress")
    BLOCKED = "BLOCKED", _("Blocked")
    CANCELLING = "CANCELLING", _("Being cancelled")
    CLOSED = "CLOSED", _("Done")
    ERROR = "ERROR", _("Failed")
    CANCELLED = "CANCELLED", _("Cancelled")
    EXPIRED = "EXPIRED", _("Expired")


FINAL: Final = frozenset({OrderStatus.CLOSED, OrderStatus.ERROR, OrderStatus.CANCELLED, OrderStatus.EXPIRED})
UNDER_WAY: Final = frozenset(OrderStatus) - FINAL

#: type -> from -> allowed next states. A type that is absent may not move at all.
Moves = dict[OrderStatus, frozenset[OrderStatus]]
S = OrderStatus

MOVES: Final[dict[OrderType, Moves]] = {
    OrderType.DEPOSIT: {
        S.NEW: frozenset({S.WAITING_FOR_CONFIRMATION, S.CLOSED, S.ERROR, S.EXPIRED, S.CANCELLED}),
        S.WAITING_FOR_CONFIRMATION: frozenset({S.CLOSED, S.ERROR, S.BLOCKED, S.EXPIRED}),
        S.BLOCKED: frozenset({S.CLOSED, S.ERROR}),
    },
    OrderType.WITHDRAWAL: {
        S.NEW: frozenset(
            {
                S.WAITING_FOR_CONFIRMATION,
                S.WAITING_FOR_OPERATOR_CONFIRMATION,
                S.PAYMENT_IN_PROGRESS,
                S.CANCELLED,
                S.ERROR,
            }
        ),
        # The customer confirms by a code.
        S.WAITING_FOR_CONFIRMATION: frozenset(
            {S.WAITING_FOR_OPERATOR_CONFIRMATION, S.PAYMENT_IN_PROGRESS, S.CANCELLED, S.EXPIRED, S.ERROR}
        ),
        S.WAITING_FOR_OPERATOR_CONFIRMATION: frozenset(
            {S.CONFIRMED_BY_OPERATOR, S.CANCELLED_BY_OPERATOR, S.CANCELLED}
        ),
        S.CONFIRMED_BY_OPERATOR: frozenset({S.PAYMENT_IN_PROGRESS, S.ERROR}),
        S.CANCELLED_BY_OPERATOR: frozenset({S.CANCELLED}),
        S.PAYMENT_IN_PROGRESS: frozenset({S.CLOSED, S.ERROR, S.CANCELLING}),
        S.CANCELLING: frozenset({S.CANCELLED}),
    },
    OrderType.INTERNAL_MOVEMENT: {
        S.NEW: frozenset({S.CLOSED, S.WAITING_FOR_OPERATOR_CONFIRMATION}),
        S.WAITING_FOR_OPERATOR_CONFIRMATION: frozenset({S.CONFIRMED_BY_OPERATOR, S.CANCELLED_BY_OPERATOR}),
        S.CONFIRMED_BY_OPERATOR: frozenset({S.CLOSED}),
        S.CANCELLED_BY_OPERATOR: frozenset({S.CANCELLED}),
    },
}
