"""Settings, their second persons, switches, the audit: and what other floors' pages are made of."""

from __future__ import annotations

from kauri.core.admin import proposals, reference, switches, trust
from kauri.core.admin.governed import GovernedAdmin
from kauri.core.admin.settings import NoPopups, PeriodFilter, SaysNothingSelect, SettingsAdmin, SettingsForm
from kauri.core.admin.trust import audit_table
from kauri.core.admin.words import act_words

__all__ = [
    "GovernedAdmin",
    "NoPopups",
    "PeriodFilter",
    "SaysNothingSelect",
    "SettingsAdmin",
    "SettingsForm",
    "act_words",
    "audit_table",
    "proposals",
    "reference",
    "switches",
    "trust",
]
