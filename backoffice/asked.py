"""The one list of orders that operators are asked about in Telegram, and of what decides on them."""

from __future__ import annotations

from typing import Final

from django.db.models import QuerySet
from django.utils.translation import gettext_lazy as _

from kauri.internal_movement_order import services as movements
from kauri.internal_movement_order.body import movement_shown
from kauri.order_core.asking import Room
from kauri.order_core.models import Order
from kauri.order_core.states import OrderType
from kauri.withdrawal_order import services as withdrawals
from kauri.withdrawal_order.body import withdrawal_shown
from kauri.withdrawal_order.selectors import orders
from kauri.withdrawal_order.steps import shortened


def _movements() -> QuerySet[Order]:
    return Order.objects.select_related("owner", "currency_in", "currency_out", "movement__recipient")


ROOMS: Final = (
    Room(
        type=OrderType.WITHDRAWAL,
        orders=orders,
        may_approve="withdrawal_order.approve_withdrawaldetail",
        may_reject="withdrawal_order.reject_withdrawaldetail",
        approve=withdrawals.withdrawal_approve,
        reject=withdrawals.withdrawal_reject,
        title=_("Destination"),
        done=_("Approved: %(what)s goes out."),
        target=lambda order: shortened(order.withdrawal.shown_destination),
        shown=withdrawal_shown,
    ),
    Room(
        type=OrderType.INTERNAL_MOVEMENT,
        orders=_movements,
        may_approve=movements.APPROVE,
        may_reject=movements.REJECT,
        approve=movements.movement_approve,
        reject=movements.movement_reject,
        title=_("Recipient"),
        done=_("Approved: %(what)s is moved."),
        target=lambda order: order.movement.recipient.number,
        shown=movement_shown,
    ),
)
