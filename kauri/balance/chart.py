"""The chart of accounts: every kind of ledger account, whose it is and how it is read.

Entries are signed and sum to zero per currency. What we owe (customers' money) and what we earned
stands positive; what we have (float at a provider) and what we spent stands negative. ``normal``
is the sign that makes the kind read as a positive figure.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Final

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _


class AccountKind(enum.IntEnum):
    """Stored numbers: never reuse one."""

    CUSTOMER_AVAILABLE = 1
    CUSTOMER_HELD = 2
    PROVIDER_FLOAT = 11
    PROVIDER_IN_TRANSIT = 12
    FEE_INCOME = 20
    PROVIDER_COST = 21
    EXCHANGE_POSITION = 30
    ROUNDING = 31
    ADJUSTMENT = 32
    SUSPENSE = 33
    CAPITAL = 34


class Owner(enum.StrEnum):
    CUSTOMER = "customer"
    PROVIDER = "provider"
    HOUSE = "house"


@dataclass(frozen=True, slots=True)
class KindSpec:
    """``inline``: the balance is kept on the row, under its lock; otherwise through the delta queue."""

    title: Promise | str
    owner: Owner
    normal: int
    may_be_negative: bool
    inline: bool


CHART: Final[dict[AccountKind, KindSpec]] = {
    AccountKind.CUSTOMER_AVAILABLE: KindSpec(_("Customer, available"), Owner.CUSTOMER, 1, False, True),
    AccountKind.CUSTOMER_HELD: KindSpec(_("Customer, held"), Owner.CUSTOMER, 1, False, True),
    AccountKind.PROVIDER_FLOAT: KindSpec(_("Provider float"), Owner.PROVIDER, -1, True, False),
    AccountKind.PROVIDER_IN_TRANSIT: KindSpec(_("Provider, in transit"), Owner.PROVIDER, -1, True, False),
    AccountKind.FEE_INCOME: KindSpec(_("Fee income"), Owner.HOUSE, 1, True, False),
    AccountKind.PROVIDER_COST: KindSpec(_("Provider and network cost"), Owner.HOUSE, -1, True, False),
    AccountKind.EXCHANGE_POSITION: KindSpec(_("Exchange position"), Owner.HOUSE, 1, True, False),
    AccountKind.ROUNDING: KindSpec(_("Rounding"), Owner.HOUSE, 1, True, False),
    AccountKind.ADJUSTMENT: KindSpec(_("Adjustments"), Owner.HOUSE, 1, True, False),
    AccountKind.SUSPENSE: KindSpec(_("Suspense"), Owner.HOUSE, 1, True, False),
    AccountKind.CAPITAL: KindSpec(_("Capital"), Owner.HOUSE, 1, True, False),
}


class TransferKind(enum.IntEnum):
    """What a transfer records. Stored numbers: never reuse one."""

    DEPOSIT = 1
    SUSPENSE = 2
    SUSPENSE_RETURN = 3
    SUSPENSE_INCOME = 4
    WITHDRAWAL_HOLD = 10
    WITHDRAWAL_CAPTURE = 11
    WITHDRAWAL_RELEASE = 12
    NETWORK_COST = 15
    INTERNAL_MOVEMENT = 20
    INTERNAL_MOVEMENT_HOLD = 21
    INTERNAL_MOVEMENT_CAPTURE = 22
    INTERNAL_MOVEMENT_RELEASE = 23
    ADJUSTMENT = 30
    OPENING = 40
    REVERSAL = 90


#: The kinds that nearly all transfers are of.
FREQUENT: Final = (
    TransferKind.DEPOSIT,
    TransferKind.WITHDRAWAL_HOLD,
    TransferKind.WITHDRAWAL_CAPTURE,
    TransferKind.INTERNAL_MOVEMENT,
)

TRANSFER_TITLES: Final[dict[TransferKind, Promise | str]] = {
    TransferKind.DEPOSIT: _("Deposit"),
    TransferKind.SUSPENSE: _("Unmatched money"),
    TransferKind.SUSPENSE_RETURN: _("Unmatched money: sent back"),
    TransferKind.SUSPENSE_INCOME: _("Unmatched money: kept"),
    TransferKind.WITHDRAWAL_HOLD: _("Withdrawal: hold"),
    TransferKind.WITHDRAWAL_CAPTURE: _("Withdrawal: capture"),
    TransferKind.WITHDRAWAL_RELEASE: _("Withdrawal: release"),
    TransferKind.NETWORK_COST: _("Network cost"),
    TransferKind.INTERNAL_MOVEMENT: _("Internal movement"),
    TransferKind.INTERNAL_MOVEMENT_HOLD: _("Internal movement: hold"),
    TransferKind.INTERNAL_MOVEMENT_CAPTURE: _("Internal movement: capture"),
    TransferKind.INTERNAL_MOVEMENT_RELEASE: _("Internal movement: release"),
    TransferKind.ADJUSTMENT: _("Adjustment"),
    TransferKind.OPENING: _("Opening balance"),
    TransferKind.REVERSAL: _("Reversal"),
}
