"""The scene of the attacks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from kauri.account.models import User
from tests.attacks.bodies import Scene
from tests.moves import give, sandbox_on


@pytest.fixture
def scene(customer: Callable[..., User], drain: Callable[..., int], settings: Any) -> Scene:
    """A customer with money whose every call would succeed; a bot is set up."""
    values = {
        "telegram_token": "123456789:AAErjDMdYf6Zb1m0Xy3-8w2ZtQ5c7e9gHiJ",
        "telegram_bot": "example_bot",
        "telegram_service_key": "a service key of thirty-two characters",
    }
    settings.KAURI = settings.KAURI.model_copy(update=values)
    sandbox_on(settings={"page_url": "https://pay.example/page"})
    user = customer()
    give(user, "UAH", "1000")
    return Scene(user, customer(), drain)
