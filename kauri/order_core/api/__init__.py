"""What a customer reads of orders and of the rules that they are judged by, a file for each subject."""

from ninja import Router

from kauri.order_core.api import account, balance, statistics
from kauri.order_core.api.orders import OrderView, orders_router

router = Router()
router.add_router("", account.router)
router.add_router("", balance.router)
router.add_router("", statistics.router)

__all__ = ["OrderView", "orders_router", "router"]
