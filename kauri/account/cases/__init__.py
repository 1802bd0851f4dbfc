"""Verification cases: what customers, operators and providers do to them."""

from kauri.account.cases.customer import document_add, verification_start
from kauri.account.cases.decisions import (
    case_approve,
    case_ask_again,
    case_play,
    case_reject,
    document_open,
)
from kauri.account.cases.provider import case_step, cases_sweep, verifier_webhook, verifiers_check

__all__ = [
    "case_approve",
    "case_ask_again",
    "case_play",
    "case_reject",
    "case_step",
    "cases_sweep",
    "document_add",
    "document_open",
    "verification_start",
    "verifier_webhook",
    "verifiers_check",
]
