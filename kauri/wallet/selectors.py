"""Reading where customers pay in."""

from __future__ import annotations

from functools import lru_cache

from django.db.models import OuterRef, Subquery
from django.db.models.functions import JSONObject

from kauri.common.qr import png_base64
from kauri.wallet.models import DepositAddress


def newest_address(user_id: int, currency: str) -> Subquery:
    """As an expression on rows whose ``currency`` column names one: ``{address, network}`` or null."""
    own = DepositAddress.objects.filter(user=user_id, currency=OuterRef(currency)).order_by(
        "-assigned_at", "-id"
    )
    return Subquery(own.values(found=JSONObject(address="address", network="network__code"))[:1])


@lru_cache(maxsize=2048)
def address_qr(address: str) -> str:
    """The address's QR code. Drawing one costs more than all the rest of a request; an address never changes."""
    return png_base64(address)
