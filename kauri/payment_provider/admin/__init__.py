"""Back office pages of money at the providers, and of how they may be used."""

from kauri.payment_provider.admin.channels import ChannelAdmin
from kauri.payment_provider.admin.money import (
    PAYIN_TONES,
    PAYOUT_TONES,
    PayinAdmin,
    PayoutAdmin,
    payout_facts,
)

__all__ = ["PAYIN_TONES", "PAYOUT_TONES", "ChannelAdmin", "PayinAdmin", "PayoutAdmin", "payout_facts"]
