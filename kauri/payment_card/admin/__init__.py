"""Back office pages of customers' cards and of what is banned."""

from kauri.payment_card.admin.bans import CardBanAdmin
from kauri.payment_card.admin.cards import PaymentCardAdmin
from kauri.payment_card.admin.parts import cards_table

__all__ = ["CardBanAdmin", "PaymentCardAdmin", "cards_table"]
