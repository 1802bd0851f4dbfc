"""What a withdrawal adds to the common order, and what rules it."""

from kauri.withdrawal_order.models.addresses import SavedDestination, WhitelistChange
from kauri.withdrawal_order.models.closings import Closing, HangingPayout
from kauri.withdrawal_order.models.details import WithdrawalDetail, WithdrawalPart
from kauri.withdrawal_order.models.rules import ReviewRule

__all__ = [
    "Closing",
    "HangingPayout",
    "ReviewRule",
    "SavedDestination",
    "WhitelistChange",
    "WithdrawalDetail",
    "WithdrawalPart",
]
