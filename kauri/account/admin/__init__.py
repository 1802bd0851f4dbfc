"""Back office pages of people and of their verification."""

from kauri.account.admin.cases import VerificationCaseAdmin
from kauri.account.admin.factor_reset import FactorResetAdmin
from kauri.account.admin.parts import cases_table
from kauri.account.admin.people import LEVELS, PersonAdmin, decisions_table, level_badge, sign_ins_table

__all__ = [
    "LEVELS",
    "FactorResetAdmin",
    "PersonAdmin",
    "VerificationCaseAdmin",
    "cases_table",
    "decisions_table",
    "level_badge",
    "sign_ins_table",
]
