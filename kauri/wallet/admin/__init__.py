"""Back office pages of addresses and links, of what moves between our own, and of what chains say."""

from kauri.wallet.admin.foreign import ForeignTokenAdmin
from kauri.wallet.admin.places import (
    DepositAddressAdmin,
    PaymentLinkAdmin,
    ReconciliationAdmin,
    ReconciliationBreakAdmin,
    SweepAdmin,
)

__all__ = [
    "DepositAddressAdmin",
    "ForeignTokenAdmin",
    "PaymentLinkAdmin",
    "ReconciliationAdmin",
    "ReconciliationBreakAdmin",
    "SweepAdmin",
]
