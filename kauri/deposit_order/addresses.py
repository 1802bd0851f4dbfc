"""Giving a customer the place to pay to, and telling them about it."""

from __future__ import annotations

import ipaddress
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final

from django.core.exceptions import ValidationError
from django.core.validators import validate_email

from kauri.account.models import User
from kauri.common import clock
from kauri.common.actor import Actor
from kauri.common.errors import KauriError
from kauri.common.exact_json import dumps
from kauri.common.money import exact, parse_amount
from kauri.common.urls import check_callback_url
from kauri.core.audit import audit
from kauri.core.models import Currency
from kauri.core.services import currency_by_code
from kauri.order_core import policies
from kauri.order_core.models import Order
from kauri.order_core.profile import terms_of
from kauri.order_core.states import OrderType
from kauri.payment_provider import routing
from kauri.payment_provider.gateway import Direction
from kauri.payment_provider.models import Payin
from kauri.wallet.models import DepositAddress, PaymentLink
from kauri.wallet.selectors import address_qr
from kauri.wallet.services import Asked, address_assign, link_cancel, link_create

#: What a client may send along, as bytes of JSON.
MAX_INFO: Final = 4000
_MAX_PHONE: Final = 32
_SHOWN: Final = 20


@dataclass(frozen=True, slots=True)
class AddressRequest:
    """What POST /deposit/address takes. At most one amount: fee inside, or fee on top."""

    currency: str
    network: str = ""
    amount_to_spend: str | int | Decimal | None = None
    amount_to_receive: str | int | Decimal | None = None
    convert_to: str = ""
    callback_url: str = ""
    success_url: str = ""
    fail_url: str = ""
    processing_url: str = ""
    external_id: str = ""
    comment: str = ""
    additional_info: Mapping[str, Any] = field(default_factory=dict)


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
    """:func:`address_give` with the fewest words."""
    return address_give(
        user,
        AddressRequest(
            currency=currency_code,
            network=network,
            amount_to_spend=amount,
            callback_url=callback_url,
            success_url=return_url,
            external_id=external_id,
        ),
    )


def address_give(user: User, request: AddressRequest) -> dict[str, Any]:
    """An address for crypto, a payment link for fiat. The same customer gets the same address.

    Raises ``validation_error``, ``invalid_amount``, ``operation_disabled``, ``currency_disabled``,
    ``provider_unavailable``.
    """
    currency = currency_by_code(request.currency)
    policies.require_open(OrderType.DEPOSIT, currency)
    provider, gateway, provider_network = routing.route(currency, Direction.IN, request.network)
    on_chain = gateway.scans and provider_network is not None
    asked = _asked(request, currency, strict=not on_chain)
    if on_chain and provider_network is not None:
        address = address_assign(
            user=user, currency=currency, network=provider_network, provider=provider, asked=asked
        )
        return _address_answer(address)
    info = request.additional_info
    if user.account_type == User.AccountType.BUSINESS and not (
        info.get("deposit_email") or info.get("deposit_phone")
    ):
        raise KauriError(
            "validation_error", fields={"additional_info": "deposit_email or deposit_phone is needed"}
        )
    amount, fee = _to_pay(user, currency, request)
    link, _instruction = link_create(
        user=user, currency=currency, provider=provider, amount=amount, fee=fee, asked=asked
    )
    return _link_answer(link)


def address_details(
    user: User, *, external_id: str, address: str, currency: str, language: str
) -> dict[str, Any]:
    """One place to pay to: what it is, what came in, and the terms of a deposit there. ``not_found``."""
    place = _find(user, external_id, address, currency)
    network = place.network if isinstance(place, DepositAddress) else routing.network_of(place.provider)
    common = {
        "currency": place.currency.code,
        "client_external_id": place.external_id or None,
        "callback_url": place.callback_url or None,
        "comment": place.comment,
        "currency_convert_to": place.convert_to.code if place.convert_to else (user.auto_conversion or None),
        "created_at": clock.iso(place.created_at),
        "received": _received(user, place),
        **terms_of(OrderType.DEPOSIT, user, place.currency, network, language),
    }
    if isinstance(place, DepositAddress):
        return {**common, **_address_answer(place), "state": "open"}
    scale = place.currency.scale
    return {
        **common,
        **_link_answer(place),
        "amount": None if place.amount is None else exact(place.amount, scale),
        "fee": None if place.fee is None else exact(place.fee, scale),
        "success_url": place.success_url or None,
        "fail_url": place.fail_url or None,
        "processing_url": place.processing_url or None,
        "state": "cancelled" if place.cancelled_at else "paid" if _is_paid(place) else "open",
    }


def deposit_repeat(user: User, *, external_id: str, address: str) -> dict[str, Any]:
    """The same link or address again, as long as it takes money. ``not_found``, ``wrong_state``."""
    place = _find(user, external_id, address, "")
    policies.require_open(OrderType.DEPOSIT, place.currency)
    if isinstance(place, DepositAddress):
        return _address_answer(place)
    if place.cancelled_at is not None:
        raise KauriError("wrong_state", "this link is cancelled")
    if place.amount is not None and _is_paid(place):
        raise KauriError("wrong_state", "this link has been paid")
    return _link_answer(place)


def deposit_cancel(user: User, *, external_id: str, address: str, actor: Actor) -> None:
    """Cancel a payment link that nobody has paid. ``not_found``, ``wrong_state`` (paid, or an address)."""
    place = _find(user, external_id, address, "")
    if isinstance(place, DepositAddress):
        raise KauriError("wrong_state", "an address can't be cancelled: it takes money for ever")
    link_cancel(user=user, public_id=place.public_id, paid=_is_paid)
    audit(actor, "deposit_link_cancel", object_type="paymentlink", object_id=place.public_id)


def _asked(request: AddressRequest, currency: Currency, *, strict: bool) -> Asked:
    """What was asked with it. An old client puts other things where an address's wish belongs: not strict there."""
    check_callback_url(request.callback_url)
    faults = {
        name: "a web address is needed"
        for name in ("success_url", "fail_url", "processing_url")
        if getattr(request, name) and not getattr(request, name).startswith(("https://", "http://"))
    }
    if faults:
        raise KauriError("validation_error", fields=faults)
    _check_info(request.additional_info)
    convert_to = Currency.objects.filter(code=request.convert_to.upper(), is_enabled=True).first()
    if request.convert_to and convert_to is None and strict:
        raise KauriError("validation_error", fields={"currency_convert_to": "no such currency"})
    return Asked(
        callback_url=request.callback_url,
        external_id=request.external_id,
        comment=request.comment,
        additional_info=dict(request.additional_info),
        convert_to=None if convert_to == currency else convert_to,
        success_url=request.success_url,
        fail_url=request.fail_url,
        processing_url=request.processing_url,
    )


def _check_info(info: Mapping[str, Any]) -> None:
    """Refuse what could not be kept or is plainly not what its name says."""
    faults = {}
    if len(dumps(dict(info))) > MAX_INFO:
        faults["additional_info"] = f"more than {MAX_INFO} bytes"
    if info.get("client_ip") is not None:
        try:
            ipaddress.ip_address(str(info["client_ip"]))
        except ValueError:
            faults["additional_info.client_ip"] = "not an address"
    if info.get("deposit_email") is not None:
        try:
            validate_email(str(info["deposit_email"]))
        except ValidationError:
            faults["additional_info.deposit_email"] = "not an e-mail address"
    if info.get("deposit_phone") is not None:
        phone = str(info["deposit_phone"])
        if len(phone) > _MAX_PHONE or not any(char.isdecimal() for char in phone):
            faults["additional_info.deposit_phone"] = "not a phone number"
    if faults:
        raise KauriError("validation_error", fields=faults)


def _to_pay(user: User, currency: Currency, request: AddressRequest) -> tuple[Decimal | None, Decimal | None]:
    """What the payer pays, and the fee agreed on where it comes on top."""
    if request.amount_to_receive is None:
        spend = request.amount_to_spend
        return (None if spend is None else parse_amount(spend, currency.scale)), None
    if request.amount_to_spend is not None:
        raise KauriError(
            "validation_error", fields={"amount_to_receive": "not together with amount_to_spend"}
        )
    received = parse_amount(request.amount_to_receive, currency.scale)
    fee = policies.resolve(OrderType.DEPOSIT, currency, user).fee(received)
    return exact(received + fee, currency.scale), fee


def _find(user: User, external_id: str, address: str, currency: str) -> DepositAddress | PaymentLink:
    """The customer's own link or address by our id, their id, the address, or (addresses) the currency."""
    addresses = DepositAddress.objects.select_related("currency", "network", "convert_to").filter(user=user)
    if address:
        found: DepositAddress | PaymentLink | None = addresses.filter(address__iexact=address).first()
    elif external_id:
        found = _link(user, external_id) or addresses.filter(external_id=external_id).first()
    elif currency:
        found = addresses.filter(currency__code=currency.upper()).order_by("-assigned_at").first()
    else:
        raise KauriError("validation_error", fields={"external_id": "say which deposit"})
    if found is None:
        raise KauriError("not_found")
    return found


def _link(user: User, external_id: str) -> PaymentLink | None:
    links = PaymentLink.objects.select_related("currency", "provider", "convert_to").filter(user=user)
    try:
        found = links.filter(public_id=uuid.UUID(external_id)).first()
    except ValueError:
        found = None
    return found or links.filter(external_id=external_id).order_by("-id").first()


def _payins(place: DepositAddress | PaymentLink) -> Any:
    rows = Payin.objects.filter(provider=place.provider_id)
    if isinstance(place, DepositAddress):
        return rows.filter(address=place.address)
    return rows.filter(reference=str(place.public_id))


def _is_paid(link: PaymentLink) -> bool:
    """Whether any money came by it, whatever became of that."""
    return bool(_payins(link).exclude(state=Payin.State.ORPHANED).exists())


def _received(user: User, place: DepositAddress | PaymentLink) -> list[dict[str, Any]]:
    """The newest money that came there; ``status`` is null while a person looks for its home."""
    payins = list(_payins(place).select_related("currency").exclude(state=Payin.State.ORPHANED)[:_SHOWN])
    statuses = dict(
        Order.objects.filter(
            owner=user, public_id__in=[row.order_id for row in payins if row.order_id]
        ).values_list("public_id", "status")
    )
    return [
        {
            "order_id": str(row.order_id) if row.order_id in statuses else None,
            "status": statuses.get(row.order_id),
            "currency": row.currency.code,
            "amount": exact(row.amount, row.currency.scale),
            "tr_hash": row.transaction,
            "seen_at": clock.iso(row.seen_at),
        }
        for row in payins
    ]


def _address_answer(address: DepositAddress) -> dict[str, Any]:
    return {
        "currency": address.currency.code,
        "network": address.network.code,
        "addr": address.address,
        "qr": address_qr(address.address),
        "external_id": address.external_id or None,
        "confirmations": address.network.confirmations,
    }


def _link_answer(link: PaymentLink) -> dict[str, Any]:
    return {"currency": link.currency.code, "url": link.url, "external_id": str(link.public_id)}
