"""The one list of settings that nobody changes alone."""

from __future__ import annotations

from typing import Final

from kauri.core.models import Switch
from kauri.core.proposals import Governed
from kauri.order_core.models import POLICY_FIELDS, Policy

GOVERNED: Final = (
    Governed(
        model=Policy,
        fields=("operation", "currency", "user", "group", "account_type", "unit", *POLICY_FIELDS),
        propose="order_core.change_policy",
    ),
    # Off is one person's act (kauri/core/switches.py); on again comes through here.
    Governed(model=Switch, fields=("is_on", "reason", "expires_at"), propose="core.stop_switch"),
)
