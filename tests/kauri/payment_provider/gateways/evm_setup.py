"""An EvmErc20 adapter on a test's chain, and its requests."""

from __future__ import annotations

from decimal import Decimal

from kauri.payment_provider.gateway import GatewayConfig, PayoutRequest
from kauri.payment_provider.gateways.evm_erc20 import EvmErc20
from tests.nodes import CHAIN_ID, HOT_ADDRESS, Chain
from tests.signing import direct, ethereum

CUSTOMER = "0x1111111111111111111111111111111111111111"
SECOND = "0x2222222222222222222222222222222222222222"
#: The hot wallet's tokens and what a payout takes of them, in units.
FLOAT = 100_000_000
AMOUNT = 12_345_678


def gateway(chain: Chain | None, token: str, *, signs: bool = True, **settings: object) -> EvmErc20:
    """The adapter with what production sets; ``settings`` change single ones."""
    given: dict[str, object] = {
        "rpc_url": chain.url if chain else "http://127.0.0.1:9",
        "chain_id": CHAIN_ID,
        "token_address": token,
        "token_decimals": 6,
        "currency": "USDT",
        "network": "usdt-erc20",
        "hot_address": HOT_ADDRESS,
        "max_head_age_seconds": 0,
        "max_fee_gwei": "50",
        **settings,
    }
    signer = direct(ethereum(token)) if signs else None
    return EvmErc20(GatewayConfig(code="node", settings=given, signer=signer))


def payout(nonce: int | None = 0, amount: str = "12.345678", **changes: object) -> PayoutRequest:
    """A payout of ``amount`` to CUSTOMER."""
    fields: dict[str, object] = {
        "reference": "5d0f1c1e-payout",
        "currency": "USDT",
        "amount": Decimal(amount),
        "destination": CUSTOMER,
        "nonce": nonce,
        "source_address": HOT_ADDRESS,
        "min_confirmations": 2,
        **changes,
    }
    return PayoutRequest(**fields)  # type: ignore[arg-type]  # a test's shorthand
