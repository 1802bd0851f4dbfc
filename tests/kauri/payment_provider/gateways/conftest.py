"""A token, and a hot wallet with 100 of it and one ether."""

from __future__ import annotations

import pytest

from kauri.payment_provider.gateways.evm_erc20 import EvmErc20
from tests.kauri.payment_provider.gateways.evm_setup import FLOAT, gateway
from tests.nodes import HOT_ADDRESS, Chain


@pytest.fixture
def token(eth: Chain) -> str:
    address = eth.deploy_token()
    eth.fund(address, HOT_ADDRESS, units=FLOAT)
    return address


@pytest.fixture
def adapter(eth: Chain, token: str) -> EvmErc20:
    return gateway(eth, token)
