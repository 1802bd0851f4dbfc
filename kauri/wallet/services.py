"""Giving out deposit addresses and payment links."""

from __future__ import annotations

import uuid
from decimal import Decimal

from django.conf import settings
from django.db import transaction
from django.db.models import Max

from kauri.account.models import User
from kauri.common import clock, ids
from kauri.common.errors import KauriError
from kauri.common.locks import claim, lock, try_advisory
from kauri.core.models import Currency, Network, Provider
from kauri.payment_provider import coins, routing
from kauri.payment_provider.gateway import ConfigError, GatewayError, PayinInstruction, PayinRequest
from kauri.wallet.models import DepositAddress, PaymentLink

SPARE_ADDRESSES = 20


@transaction.atomic
def address_assign(
    *,
    user: User,
    currency: Currency,
    network: Network,
    provider: Provider,
    callback_url: str = "",
    external_id: str = "",
) -> DepositAddress:
    """The customer's own address, made or taken from the spare pool on first use.

    Asking again answers the same address (and may set its callback anew).
    """
    lock(User.objects.filter(pk=user.pk)).get()
    found = lock(DepositAddress.objects.filter(user=user, provider=provider, currency=currency)).first()
    if found is None:
        spare = claim(DepositAddress.objects.filter(user__isnull=True, provider=provider).order_by("id"))
        found = spare[0] if spare else _derive(provider, network, currency, 1)[0]
        found.user = user
        found.assigned_at = clock.now()
        found.callback_url, found.external_id = callback_url, external_id
        found.save(update_fields=["user", "assigned_at", "callback_url", "external_id"])
    elif callback_url and callback_url != found.callback_url:
        found.callback_url = callback_url
        found.save(update_fields=["callback_url"])
    return found


def pool_fill(provider_id: int) -> int:
    """Keep :data:`SPARE_ADDRESSES` spare addresses ahead; returns how many were made."""
    with transaction.atomic():
        provider = Provider.objects.filter(pk=provider_id, is_enabled=True).first()
        network = _network(provider) if provider else None
        if provider is None or network is None or not try_advisory("pool", provider_id):
            return 0
        missing = (
            SPARE_ADDRESSES - DepositAddress.objects.filter(provider=provider, user__isnull=True).count()
        )
        return len(_derive(provider, network, network.currency, missing)) if missing > 0 else 0


def link_create(
    *,
    user: User,
    currency: Currency,
    provider: Provider,
    amount: Decimal | None,
    callback_url: str,
    return_url: str,
    external_id: str,
) -> tuple[PaymentLink, PayinInstruction]:
    """A payment link at a gateway. Our reference is stored before the gateway is asked."""
    link = PaymentLink.objects.create(
        public_id=ids.uuid7(),
        user=user,
        currency=currency,
        provider=provider,
        amount=amount,
        callback_url=callback_url,
        external_id=external_id,
    )
    gateway = routing.gateway_for(provider)
    try:
        instruction = gateway.create_payin(
            PayinRequest(
                reference=str(link.public_id),
                currency=currency.code,
                amount=amount,
                return_url=return_url,
                callback_url=f"{settings.KAURI.callbacks_url}/callbacks/{provider.code}",
            )
        )
    except GatewayError as exc:
        raise KauriError("provider_unavailable", type(exc).__name__) from exc
    link.url = instruction.value
    link.provider_reference = instruction.provider_reference
    link.save(update_fields=["url", "provider_reference"])
    return link, instruction


def link_by_reference(reference: str, provider: Provider) -> PaymentLink | None:
    """The link that a gateway's callback names, if it is this gateway's."""
    try:
        public_id = uuid.UUID(reference)
    except ValueError:
        return None
    return (
        PaymentLink.objects.select_related("user", "currency")
        .filter(public_id=public_id, provider=provider)
        .first()
    )


def _derive(provider: Provider, network: Network, currency: Currency, count: int) -> list[DepositAddress]:
    gateway = routing.gateway_for(provider)
    lock(Provider.objects.filter(pk=provider.pk)).get()
    last = DepositAddress.objects.filter(provider=provider).aggregate(last=Max("index"))["last"]
    first = 0 if last is None else last + 1
    try:
        derived = [(index, gateway.derive_address(index)) for index in range(first, first + count)]
    except ConfigError as exc:
        raise KauriError("provider_unavailable", str(exc)) from None
    if gateway.uses_coins:
        coins.remember(provider, derived)
    return DepositAddress.objects.bulk_create(
        DepositAddress(provider=provider, network=network, currency=currency, address=address, index=index)
        for index, address in derived
    )


def _network(provider: Provider) -> Network | None:
    code = str(provider.settings.get("network", ""))
    return Network.objects.select_related("currency").filter(code=code, is_enabled=True).first()
