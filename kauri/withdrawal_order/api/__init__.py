"""Withdrawals by API: asking, confirming, taking back, and the address book."""

from ninja import Router

from kauri.withdrawal_order.api.address_book import router as address_book
from kauri.withdrawal_order.api.confirm import router as confirm
from kauri.withdrawal_order.api.orders import router as orders

router = Router(tags=["Withdrawals"])
router.add_router("", orders)
router.add_router("", confirm)
router.add_router("", address_book)

__all__ = ["router"]
