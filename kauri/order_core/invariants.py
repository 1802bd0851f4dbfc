"""What must be true between orders and the books. Run with the ledger's own laws, in one snapshot."""

from __future__ import annotations

from typing import Final

from kauri.order_core.states import FINAL

_FINAL: Final = ", ".join(f"'{status.value}'" for status in sorted(FINAL))


def _laws(orders: str) -> dict[str, str]:
    """name -> query of the rows that break the law, over ``orders`` (a table or subquery)."""
    return {
        "every completed order has its transfers": (
            f"select o.public_id from {orders} o where o.status = 'CLOSED'"
            " and not exists (select 1 from ledger_transfer t where t.order_id = o.public_id)"
        ),
        "money is held for orders under way only": (
            "select h.order_id, h.amount - h.captured - h.released from ledger_hold h"
            " left join order_core_order o on o.public_id = h.order_id"
            " where h.amount > h.captured + h.released"
            f" and (o.id is null or o.status in ({_FINAL}))"
        ),
        "an order stands where its history brought it": (
            f"select o.public_id, o.status, last.to_status from {orders} o left join lateral"
            " (select t.to_status from order_core_transition t where t.order_id = o.id"
            " order by t.id desc limit 1) last on true where last.to_status is distinct from o.status"
        ),
    }


LAWS: Final = _laws("order_core_order")

#: The same for what ended lately: an incremental run looks no further back.
RECENT: Final = _laws("(select * from order_core_order where finished_at > now() - interval '2 days')")
