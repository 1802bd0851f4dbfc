"""Back office pages of withdrawals."""

from kauri.withdrawal_order.admin.decision import WithdrawalAdmin

__all__ = ["WithdrawalAdmin"]
