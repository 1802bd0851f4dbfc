"""Back office pages of money at the providers, and of how they may be used."""

from kauri.payment_provider.admin.channels import ChannelAdmin
from kauri.payment_provider.admin.money import PAYIN_TONES, PayinAdmin, PayoutAdmin, payout_facts
from kauri.payment_provider.admin.sendings import PAYOUT_TONES, SendingAdmin

__all__ = [
    "PAYIN_TONES",
    "PAYOUT_TONES",
    "ChannelAdmin",
    "PayinAdmin",
    "PayoutAdmin",
    "SendingAdmin",
    "payout_facts",
]
