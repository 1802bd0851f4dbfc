"""Back office pages of withdrawals."""

from kauri.withdrawal_order.admin.address_book import SavedDestinationAdmin
from kauri.withdrawal_order.admin.decision import WithdrawalAdmin
from kauri.withdrawal_order.admin.rules import ReviewRuleAdmin

__all__ = ["ReviewRuleAdmin", "SavedDestinationAdmin", "WithdrawalAdmin"]
