"""A payment system's way in, and a customer's payment link."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from kauri.account.models import User
from kauri.core.models import Provider
from kauri.deposit_order.addresses import deposit_address
from kauri.wallet.models import PaymentLink
from tests.moves import (
    sandbox_on,
)


@pytest.fixture
def http(settings: Any) -> Client:
    """A payment system's way in: the callbacks process and no other."""
    settings.ROOT_URLCONF = "backoffice.callbacks_urls"
    settings.MIDDLEWARE = [
        "backoffice.middleware.RequestContextMiddleware",
        "django.middleware.security.SecurityMiddleware",
    ]
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = settings.KAURI.callback_body_limit
    return Client()


@pytest.fixture
def sandbox(house: None) -> Provider:
    return sandbox_on()


@pytest.fixture
def link(sandbox: Provider, customer: Callable[..., User]) -> Callable[..., PaymentLink]:
    """A customer's payment link in UAH."""

    def make(amount: str | None = "150.00") -> PaymentLink:
        deposit_address(
            user=customer(),
            currency_code="UAH",
            network="",
            amount=amount,
            callback_url="",
            return_url="",
            external_id="",
        )
        return PaymentLink.objects.get()

    return make
