"""SumSub on the loopback."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.kauri.account.papers import Sumsub


@pytest.fixture
def sumsub() -> Iterator[Sumsub]:
    found = Sumsub()
    yield found
    found.close()
