"""The tables of the books."""

from kauri.balance.models.adjustments import Adjustment
from kauri.balance.models.books import BalanceDay, CurrencyDay, LedgerDay, Period, SelfCheck, TrialBalancePack
from kauri.balance.models.ledger import KIND_CHOICES, Entry, Hold, HotDelta, LedgerAccount, Transfer

__all__ = [
    "KIND_CHOICES",
    "Adjustment",
    "BalanceDay",
    "CurrencyDay",
    "Entry",
    "Hold",
    "HotDelta",
    "LedgerAccount",
    "LedgerDay",
    "Period",
    "SelfCheck",
    "Transfer",
    "TrialBalancePack",
]
