"""How deep a transfer must lie, by its amount."""

from __future__ import annotations

from decimal import Decimal

import pytest

from kauri.core.models import Network, Provider
from kauri.payment_provider.selectors import confirmations_needed

TABLE = [["0.01", 2], ["1", 3], [None, 6]]


@pytest.mark.parametrize(
    ("table", "amount", "expected"),
    [
        (TABLE, "0.01", 2),
        (TABLE, "0.01000001", 3),
        (TABLE, "1", 3),
        (TABLE, "1.00000001", 6),
        (None, "5", 4),
        ([["1", 2]], "5", 4),
        ([["1", 9]], "5", 9),
        ([["x", 7]], "0.1", 7),
        ([["1", 0]], "0.1", 4),
        ("much", "0.1", 4),
        ([["1", True]], "0.1", 4),
    ],
)
def test_the_first_line_that_is_not_below(table: object, amount: str, expected: int) -> None:
    provider = Provider(settings={"confirmations_by_amount": table})
    assert confirmations_needed(provider, Network(confirmations=4), Decimal(amount)) == expected


def test_without_a_network_it_is_one() -> None:
    assert confirmations_needed(Provider(settings={}), None, Decimal(1)) == 1
