"""What a withdrawal adds to the common order, and what rules it."""

from kauri.withdrawal_order.models.details import WithdrawalDetail, WithdrawalPart

__all__ = ["WithdrawalDetail", "WithdrawalPart"]
