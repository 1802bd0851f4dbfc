"""Giving out deposit addresses and payment links."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import Max, Q

from kauri.account.models import User
from kauri.common import clock, ids
from kauri.common.errors import KauriError
from kauri.common.locks import advisory, claim, lock, try_advisory
from kauri.core.models import Currency, Network, Provider
from kauri.payment_provider import coins, routing
from kauri.payment_provider.gateway import ConfigError, GatewayError, PayinInstruction, PayinRequest
from kauri.wallet.models import DepositAddress, PaymentLink

SPARE_ADDRESSES = 20


@dataclass(frozen=True, slots=True)
class Asked:
    """What a customer asks for along with an address or a link; '' or None says nothing."""

    callback_url: str = ""
    external_id: str = ""
    comment: str = ""
    additional_info: Mapping[str, Any] = field(default_factory=dict)
    convert_to: Currency | None = None
    success_url: str = ""
    fail_url: str = ""
    processing_url: str = ""


@transaction.atomic
def address_assign(
    *,
    user: User,
    currency: Currency,
    network: Network,
    provider: Provider,
    asked: Asked | None = None,
) -> DepositAddress:
    """The customer's own address, made or taken from the spare pool on first use.

    Asking again answers the same address; what is asked with it is set anew where it is given.
    """
    asked = asked or Asked()
    lock(User.objects.filter(pk=user.pk)).get()
    found = lock(DepositAddress.objects.filter(user=user, provider=provider, currency=currency)).first()
    if found is None:
        spare = claim(DepositAddress.objects.filter(user__isnull=True, provider=provider).order_by("id"))
        found = spare[0] if spare else _derive(provider, network, currency, 1)[0]
        found.user = user
        found.assigned_at = clock.now()
        found.external_id = asked.external_id
    for name in ("callback_url", "comment", "additional_info", "convert_to"):
        given = getattr(asked, name)
        if given:
            setattr(found, name, given)
    found.save()
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
    asked: Asked | None = None,
    fee: Decimal | None = None,
) -> tuple[PaymentLink, PayinInstruction]:
    """A payment link at a gateway. Our reference is stored before the gateway is asked.

    ``amount`` is what the payer pays; ``fee`` what is agreed to be in it, None: as the policy says then.
    """
    asked = asked or Asked()
    link = PaymentLink.objects.create(
        public_id=ids.uuid7(),
        user=user,
        currency=currency,
        provider=provider,
        amount=amount,
        fee=fee,
        callback_url=asked.callback_url,
        external_id=asked.external_id,
        comment=asked.comment,
        additional_info=asked.additional_info,
        convert_to=asked.convert_to,
        success_url=asked.success_url,
        fail_url=asked.fail_url,
        processing_url=asked.processing_url,
    )
    gateway = routing.gateway_for(provider)
    try:
        instruction = gateway.create_payin(
            PayinRequest(
                reference=str(link.public_id),
                currency=currency.code,
                amount=amount,
                description=asked.comment,
                return_url=asked.success_url,
                callback_url=f"{settings.KAURI.callbacks_url}/callbacks/{provider.code}",
            )
        )
    except GatewayError as exc:
        raise KauriError("provider_unavailable", type(exc).__name__) from exc
    link.url = instruction.value
    link.provider_reference = instruction.provider_reference
    link.save(update_fields=["url", "provider_reference"])
    return link, instruction


@transaction.atomic
def link_cancel(*, user: User, public_id: uuid.UUID, paid: Callable[[PaymentLink], bool]) -> PaymentLink:
    """Cancel a link that nobody has paid; again: nothing happens. Money that comes later waits for a person.

    ``paid`` says whether money came (payments live a floor above). Raises ``not_found`` (also for another
    customer's), ``wrong_state``.
    """
    link = lock(PaymentLink.objects.filter(user=user, public_id=public_id)).first()
    if link is None:
        raise KauriError("not_found")
    if link.cancelled_at is None:
        if paid(link):
            raise KauriError("wrong_state", "this link has been paid")
        link.cancelled_at = clock.now()
        link.save(update_fields=["cancelled_at"])
    return link


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
    # Ether and a token of one key share its addresses: none is ever given to two customers. The lock is not
    # on the providers' rows: a scanner holds those while it waits for customers, whom our callers hold.
    xpub = provider.settings.get("xpub")
    advisory("derive", xpub or provider.pk)
    family = DepositAddress.objects.filter(Q(provider=provider) | Q(provider__settings__xpub=xpub))
    last = family.aggregate(last=Max("index"))["last"]
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
