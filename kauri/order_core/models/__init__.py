"""Orders, the policies that rule them, the operators' limits, and what analysis says of their addresses."""

from kauri.order_core.models.asks import DecisionAsk, new_token
from kauri.order_core.models.notes import OrderNote
from kauri.order_core.models.orders import (
    POLICY_AMOUNTS,
    POLICY_FIELDS,
    Approval,
    ApprovalVote,
    Order,
    Policy,
    Transition,
)
from kauri.order_core.models.risk import DRAWS, OperatorLimit
from kauri.order_core.models.screening import Screening, ScreeningDecision, ScreeningPolicy

__all__ = [
    "DRAWS",
    "POLICY_AMOUNTS",
    "POLICY_FIELDS",
    "Approval",
    "ApprovalVote",
    "DecisionAsk",
    "OperatorLimit",
    "Order",
    "OrderNote",
    "Policy",
    "Screening",
    "ScreeningDecision",
    "ScreeningPolicy",
    "Transition",
    "new_token",
]
