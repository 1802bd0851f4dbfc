"""What a withdrawal adds to the common order, and what rules it."""

from kauri.withdrawal_order.models.closings import Closing, HangingPayout
from kauri.withdrawal_order.models.details import WithdrawalDetail, WithdrawalPart

__all__ = ["Closing", "HangingPayout", "WithdrawalDetail", "WithdrawalPart"]
