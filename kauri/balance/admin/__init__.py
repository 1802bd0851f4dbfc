"""The books, and the two acts on them: adjustments, and closing a month."""

from __future__ import annotations

from kauri.balance.admin import adjustments, periods
from kauri.balance.admin.as_of import AsOfMixin, as_of_note
from kauri.balance.admin.books import transfers_table

__all__ = ["AsOfMixin", "adjustments", "as_of_note", "periods", "transfers_table"]
