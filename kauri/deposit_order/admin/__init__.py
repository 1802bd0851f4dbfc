"""Back office pages of deposits, and of money that is none yet."""

from kauri.deposit_order.admin.holds import DepositAdmin
from kauri.deposit_order.admin.unmatched import UnmatchedMoneyAdmin

__all__ = ["DepositAdmin", "UnmatchedMoneyAdmin"]
