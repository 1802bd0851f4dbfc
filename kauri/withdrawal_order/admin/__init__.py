"""Back office pages of withdrawals."""

from kauri.withdrawal_order.admin.decision import WithdrawalAdmin
from kauri.withdrawal_order.admin.hanging import ClosingAdmin, HangingPayoutAdmin

__all__ = ["ClosingAdmin", "HangingPayoutAdmin", "WithdrawalAdmin"]
