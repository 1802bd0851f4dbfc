"""Back office pages of orders and policies."""

from kauri.order_core.admin.orders import (
    OrderAdmin,
    limit_rows,
    moves_list,
    notes_list,
    orders_table,
    rule_text,
    status_badge,
    withdrawal_url,
)
from kauri.order_core.admin.policies import PolicyAdmin

__all__ = [
    "OrderAdmin",
    "PolicyAdmin",
    "limit_rows",
    "moves_list",
    "notes_list",
    "orders_table",
    "rule_text",
    "status_badge",
    "withdrawal_url",
]
