"""Giving a customer the place to pay to."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from kauri.account.models import User
from kauri.common.money import parse_amount
from kauri.common.urls import check_callback_url
from kauri.core.services import currency_by_code
from kauri.order_core import policies
from kauri.order_core.states import OrderType
from kauri.payment_provider import routing
from kauri.payment_provider.gateway import Direction
from kauri.wallet.selectors import address_qr
from kauri.wallet.services import address_assign, link_create


def deposit_address(
    *,
    user: User,
    currency_code: str,
    network: str,
    amount: str | int | Decimal | None,
    callback_url: str,
    return_url: str,
    external_id: str,
) -> dict[str, Any]:
    """An address for crypto, a payment link for fiat. The same customer gets the same address."""
    currency = currency_by_code(currency_code)
    policies.require_open(OrderType.DEPOSIT, currency)
    check_callback_url(callback_url)
    provider, gateway, provider_network = routing.route(currency, Direction.IN, network)
    if gateway.scans and provider_network is not None:
        address = address_assign(
            user=user,
            currency=currency,
            network=provider_network,
            provider=provider,
            callback_url=callback_url,
            external_id=external_id,
        )
        return {
            "currency": currency.code,
            "network": provider_network.code,
            "addr": address.address,
            "qr": address_qr(address.address),
            "external_id": address.external_id or None,
            "confirmations": provider_network.confirmations,
        }
    exact_amount = None if amount is None else parse_amount(amount, currency.scale)
    link, instruction = link_create(
        user=user,
        currency=currency,
        provider=provider,
        amount=exact_amount,
        callback_url=callback_url,
        return_url=return_url,
        external_id=external_id,
    )
    return {"currency": currency.code, "url": instruction.value, "external_id": str(link.public_id)}
