"""Provider-side transactions and what a chain scanner remembers."""

from kauri.payment_provider.models.balances import ProviderBalanceSnapshot
from kauri.payment_provider.models.chain import ChainBlock
from kauri.payment_provider.models.channels import Channel
from kauri.payment_provider.models.coins import Coin, CoinAddress
from kauri.payment_provider.models.incoming import Payin
from kauri.payment_provider.models.outgoing import NonceCounter, Outgoing, Payout

__all__ = [
    "ChainBlock",
    "Channel",
    "Coin",
    "CoinAddress",
    "NonceCounter",
    "Outgoing",
    "Payin",
    "Payout",
    "ProviderBalanceSnapshot",
]
