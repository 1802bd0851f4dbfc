"""What the house knows of a customer and a destination before it judges: paid before, saved, allowed, taken out."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.db.models import Count, QuerySet, Sum

from kauri.account.models import User
from kauri.core.models import Currency, Network
from kauri.order_core.models import Order
from kauri.order_core.selectors import NOT_COUNTED
from kauri.order_core.states import OrderStatus, OrderType
from kauri.withdrawal_order.models import SavedDestination, WhitelistChange, WithdrawalDetail


def is_known(user: User, currency: Currency, network: Network | None, destination: str, at: datetime) -> bool:
    """Whether the customer was paid at this destination before, or keeps it in their address book."""
    paid = WithdrawalDetail.objects.filter(
        order__owner=user, destination=destination, order__status=OrderStatus.CLOSED
    )
    return paid.exists() or usable_destination(user.pk, currency, network, destination, at) is not None


def taken_out(user: User, currency: Currency | None, since: datetime) -> list[dict[str, Any]]:
    """Per currency (only ``currency`` if given) the sum (``total``) and number of ``orders`` since a moment."""
    counted = Order.objects.filter(owner=user, type=OrderType.WITHDRAWAL, created_at__gt=since).exclude(
        status__in=NOT_COUNTED
    )
    if currency is not None:
        counted = counted.filter(currency_out=currency)
    rows: QuerySet[Any, Any] = counted.values("currency_out").annotate(
        total=Sum("amount_out"), orders=Count("id")
    )
    return list(rows.order_by())


def saved_destinations(user_id: int) -> QuerySet[SavedDestination]:
    """The customer's address book as it stands."""
    live = SavedDestination.objects.filter(customer_id=user_id, removed_at__isnull=True)
    return live.select_related("currency", "network")


def usable_destination(
    user_id: int, currency: Currency, network: Network | None, destination: str, at: datetime
) -> SavedDestination | None:
    """The saved destination that this is, if it was confirmed and its cooling-off is over."""
    return (
        saved_destinations(user_id)
        .filter(currency=currency, network=network, destination=destination, usable_from__lte=at)
        .first()
    )


def whitelist(user_id: int, at: datetime) -> tuple[bool, datetime | None]:
    """Whether the customer is paid at saved addresses only, and from when no more, if that was asked for."""
    last = WhitelistChange.objects.filter(customer_id=user_id).order_by("-id").first()
    if last is None:
        return False, None
    if last.is_on:
        return True, None
    return (True, last.effective_from) if at < last.effective_from else (False, None)
