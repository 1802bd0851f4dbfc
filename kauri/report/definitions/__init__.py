"""The reports, one file each; this list is what people can choose from."""

from __future__ import annotations

from typing import Final

from kauri.report.definition import Definition
from kauri.report.definitions import (
    balances_and_obligations,
    customer_statement,
    operator_decisions,
    trial_balance,
)

DEFINITIONS: Final[dict[str, Definition]] = {
    definition.code: definition
    for definition in (
        balances_and_obligations.DEFINITION,
        trial_balance.DEFINITION,
        customer_statement.DEFINITION,
        operator_decisions.DEFINITION,
    )
}
