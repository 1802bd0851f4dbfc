"""Back office pages of orders and policies."""

from kauri.order_core.admin.limits import OperatorLimitAdmin
from kauri.order_core.admin.orders import (
    NoteForm,
    OrderAdmin,
    limit_rows,
    moves_list,
    notes_list,
    orders_table,
    status_badge,
    withdrawal_url,
)
from kauri.order_core.admin.policies import PolicyAdmin
from kauri.order_core.admin.screening import ScreeningAdmin, ScreeningPolicyAdmin, screening_facts
from kauri.order_core.reasons import rule_text

__all__ = [
    "NoteForm",
    "OperatorLimitAdmin",
    "OrderAdmin",
    "PolicyAdmin",
    "ScreeningAdmin",
    "ScreeningPolicyAdmin",
    "limit_rows",
    "moves_list",
    "notes_list",
    "orders_table",
    "rule_text",
    "screening_facts",
    "status_badge",
    "withdrawal_url",
]
