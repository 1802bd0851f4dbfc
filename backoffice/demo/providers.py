"""The demo's providers: nodes of the local chains, and the sandbox for fiat money."""

from __future__ import annotations

import json
import secrets
from decimal import Decimal
from typing import Any

from django.conf import settings

from kauri.balance.services import opening_post
from kauri.common.actor import SYSTEM
from kauri.core.models import Currency, Network, Provider

SANDBOX_FLOAT = {"UAH": "40000000", "RUB": "60000000", "USD": "900000", "EUR": "800000"}


def chain() -> dict[str, Any]:
    """What is known of the local chain (``.kauri/chain.json``)."""
    data: dict[str, Any] = json.loads((settings.KAURI.state_dir / "chain.json").read_text(encoding="utf-8"))
    return data


def usdt_node(known: dict[str, Any]) -> Provider:
    """Point the USDT provider at the local chain and bring its hot wallet into the books."""
    network = Network.objects.get(code="erc20")
    network.environment = Network.Environment.REGTEST
    network.confirmations = 3
    network.save()
    provider = Provider.objects.get(code="usdt-node")
    provider.environment = "regtest"
    provider.settings = {
        **provider.settings,
        "rpc_url": settings.KAURI.evm_rpc_url or known["rpc"],
        "chain_id": known["chain_id"],
        "token_address": known["token"],
        "token_decimals": known["token_decimals"],
        "hot_address": known["hot_address"],
        "gas_address": known["gas_address"],
        "xpub": known["xpub"],
    }
    provider.is_enabled = True
    provider.save()
    return provider


def eth_node(known: dict[str, Any]) -> Provider:
    """Ether beside the token, from the same wallets."""
    network = Network.objects.get(code="ethereum")
    network.environment = Network.Environment.REGTEST
    network.confirmations = 3
    network.save()
    provider = Provider.objects.get(code="eth-node")
    provider.environment = "regtest"
    provider.settings = {
        **provider.settings,
        "rpc_url": settings.KAURI.evm_rpc_url or known["rpc"],
        "chain_id": known["chain_id"],
        "hot_address": known["hot_address"],
        "xpub": known["xpub"],
        "sweep_minimum": "0.05",
    }
    provider.is_enabled = True
    provider.save()
    return provider


def btc_node() -> None:
    """Point the BTC provider at the local chain of the family, where there is one.

    At every start: a demo can be given the chain later, and its port may change.
    """
    if not settings.KAURI.btc_rpc_url:
        return
    path = settings.KAURI.state_dir / "chain-bitcoin.json"
    known: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    network = Network.objects.get(code="bitcoin")
    network.environment = Network.Environment.REGTEST
    network.save()
    provider = Provider.objects.get(code="btc-node")
    # Whoever has switched it off since then finds it switched off.
    provider.is_enabled = provider.is_enabled or provider.environment != "regtest"
    provider.environment = "regtest"
    provider.settings = {
        **provider.settings,
        "rpc_url": settings.KAURI.btc_rpc_url,
        "chain": known["chain"],
        "xpub": known["xpub"],
        "key_origin": known["key_origin"],
        # A quiet chain has no estimate of fees.
        "fallback_fee_rate": "20",
        "min_fee_rate": "10",
    }
    provider.save()


def sandbox() -> Provider:
    """The sandbox, with a secret of this installation's own for its callbacks."""
    provider = Provider.objects.get(code="sandbox")
    provider.settings = {"currencies": sorted(SANDBOX_FLOAT), "balances": SANDBOX_FLOAT}
    provider.credentials_secret = json.dumps({"secret": secrets.token_urlsafe(32)})
    provider.is_enabled = True
    provider.save()
    return provider


def open_books(provider: Provider, amounts: dict[str, Decimal]) -> None:
    """What the house already had at the provider on the first day."""
    for code, amount in amounts.items():
        opening_post(provider=provider, currency=Currency.objects.get(code=code), amount=amount, actor=SYSTEM)
