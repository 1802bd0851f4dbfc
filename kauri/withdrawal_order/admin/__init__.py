"""Back office pages of withdrawals."""

from kauri.withdrawal_order.admin.address_book import SavedDestinationAdmin
from kauri.withdrawal_order.admin.decision import WithdrawalAdmin
from kauri.withdrawal_order.admin.hanging import ClosingAdmin, HangingPayoutAdmin
from kauri.withdrawal_order.admin.rules import ReviewRuleAdmin

__all__ = [
    "ClosingAdmin",
    "HangingPayoutAdmin",
    "ReviewRuleAdmin",
    "SavedDestinationAdmin",
    "WithdrawalAdmin",
]
