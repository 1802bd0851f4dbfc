"""The books, and the two acts on them: adjustments, and closing a month."""

from __future__ import annotations

from kauri.balance.admin import adjustments, periods
from kauri.balance.admin.books import transfers_table

__all__ = ["adjustments", "periods", "transfers_table"]
