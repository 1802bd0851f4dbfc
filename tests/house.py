"""The house of one test: defaults, people, a USDT provider on the test's own chain, and its workers."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.utils.module_loading import import_string
from django_q.models import OrmQ

from backoffice import defaults
from kauri.account.models import CustomerGroup, User
from kauri.balance import services as balance
from kauri.common import clock
from kauri.common.actor import SYSTEM, Actor
from kauri.core.models import Currency, Network, Provider
from kauri.signer.server import Desk, describe
from tests import signing
from tests.bitcoin_node import BitcoinChain
from tests.nodes import Chain

PASSWORD = "a long enough passphrase"
WEBHOOK_SECRET = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="

_numbers = itertools.count(1)


@pytest.fixture
def house(db: None) -> None:
    """Everything a new installation starts with."""
    defaults.load()


@pytest.fixture
def customer(house: None) -> Callable[..., User]:
    """Makes a customer: confirmed e-mail, verification level 1."""

    def make(**fields: Any) -> User:
        values: dict[str, Any] = {
            "email": f"customer{next(_numbers)}@example.com",
            "verification_level": 1,
            "email_verified_at": clock.now(),
            "group": CustomerGroup.objects.get(code="default"),
            "webhook_secret": WEBHOOK_SECRET,
        }
        return User.objects.create_user(password=PASSWORD, **{**values, **fields})

    return make


@pytest.fixture
def operator(house: None) -> Callable[..., Actor]:
    """Makes an operator of a role and gives them as an actor."""

    def make(role: str = "Treasury") -> Actor:
        user = User.objects.create_user(
            email=f"{role.lower()}{next(_numbers)}@example.com", password=PASSWORD, is_staff=True
        )
        user.groups.add(Group.objects.get(name=role))
        return user.as_actor(ip="127.0.0.1")

    return make


@pytest.fixture
def drain(db: None) -> Callable[..., int]:
    """Runs what is queued, as workers would, until nothing is left; returns how many tasks ran.

    ``times=2`` delivers every task twice.

    The queue and the tasks are the real ones; only the worker processes are not.
    """

    def run(limit: int = 200, *, times: int = 1) -> int:
        ran = 0
        while ran < limit:
            row = OrmQ.objects.order_by("id").first()
            if row is None:
                return ran
            task = row.task
            row.delete()
            for _ in range(times):
                import_string(task["func"])(*task["args"])
            ran += 1
        raise AssertionError("the queue does not come to rest")

    return run


@dataclass
class Usdt:
    """The USDT provider on the test's chain, with a funded hot wallet and true opening books."""

    provider: Provider
    network: Network
    chain: Chain
    token: str
    hot_address: str

    def send(self, address: str, amount: str, *, mine: int = 1) -> str:
        """Send tokens from the faucet; returns the transaction's hash."""
        name = self.chain.send_tokens(self.token, address, int(Decimal(amount).scaleb(6)))
        if mine:
            self.chain.mine(mine)
        return name

    def balance(self, address: str) -> Decimal:
        return Decimal(self.chain.token_balance(self.token, address)).scaleb(-6)


@pytest.fixture
def usdt(house: None, eth: Chain, settings: Any, serve_signer: Callable[[Desk], str]) -> Usdt:
    """Three confirmations; 10,000 USDT and 10 ETH in the hot wallet, on chain and in the books."""
    token = eth.deploy_token()
    desk = signing.desk(signing.ethereum(token))
    public = describe(desk.store, desk.policy)["ethereum"]
    xpub, hot_address = public["xpub"], public["hot_address"]
    eth.fund(token, hot_address, units=10_000 * 10**6, wei=10 * 10**18)
    network = Network.objects.get(code="erc20")
    network.confirmations = 3
    network.environment = Network.Environment.REGTEST
    network.save()
    provider = Provider.objects.get(code="usdt-node")
    provider.settings = {
        **provider.settings,
        "rpc_url": eth.url,
        "chain_id": 31337,
        "token_address": token,
        "hot_address": hot_address,
        "gas_address": public["gas_address"],
        "xpub": xpub,
        "max_head_age_seconds": 0,
        # Tests that stand in the future want the same bytes; replacing has tests of its own.
        "replace_after_seconds": 86_400,
    }
    provider.is_enabled = True
    provider.save()
    settings.KAURI = settings.KAURI.model_copy(update={"signer_socket": serve_signer(desk)})
    for code, amount in (("USDT", "10000"), ("ETH", "10")):
        balance.opening_post(
            provider=provider, currency=Currency.objects.get(code=code), amount=Decimal(amount), actor=SYSTEM
        )
    return Usdt(provider, network, eth, token, hot_address)


@dataclass
class Ether:
    """The ETH provider on the test's chain, with a funded hot wallet and true opening books."""

    provider: Provider
    network: Network
    chain: Chain
    hot_address: str

    def send(self, address: str, amount: str, *, mine: int = 1) -> str:
        """Send ether from the faucet; returns the transaction's hash."""
        name = self.chain.transact(to=address, value=hex(int(Decimal(amount).scaleb(18))))
        if mine:
            self.chain.mine(mine)
        return name

    def balance(self, address: str) -> Decimal:
        return Decimal(self.chain.wei(address)).scaleb(-18)


@pytest.fixture
def ether(house: None, eth: Chain, settings: Any, serve_signer: Callable[[Desk], str]) -> Ether:
    """Three confirmations; 10 ETH in the hot wallet, on chain and in the books."""
    desk = signing.desk(signing.ethereum())
    public = describe(desk.store, desk.policy)["ethereum"]
    eth.rpc.call("anvil_setBalance", public["hot_address"], hex(10 * 10**18))
    eth.mine()
    network = Network.objects.get(code="ethereum")
    network.confirmations = 3
    network.environment = Network.Environment.REGTEST
    network.save()
    provider = Provider.objects.get(code="eth-node")
    provider.settings = {
        **provider.settings,
        "rpc_url": eth.url,
        "chain_id": 31337,
        "hot_address": public["hot_address"],
        "xpub": public["xpub"],
        "max_head_age_seconds": 0,
        "replace_after_seconds": 86_400,
    }
    provider.is_enabled = True
    provider.save()
    settings.KAURI = settings.KAURI.model_copy(update={"signer_socket": serve_signer(desk)})
    balance.opening_post(
        provider=provider, currency=Currency.objects.get(code="ETH"), amount=Decimal(10), actor=SYSTEM
    )
    return Ether(provider, network, eth, public["hot_address"])


@dataclass
class Bitcoin:
    """The BTC provider on the session's chain of the family, with coins in the books."""

    provider: Provider
    chain: BitcoinChain

    def balance(self, address: str) -> Decimal:
        return self.chain.received(address)


@pytest.fixture
def bitcoin(house: None, btc: BitcoinChain, settings: Any, serve_signer: Callable[[Desk], str]) -> Bitcoin:
    """Three confirmations for any amount; nothing in the books yet, for coins come by deposits."""
    network = Network.objects.get(code="bitcoin")
    network.confirmations = 3
    network.environment = Network.Environment.REGTEST
    network.save()
    provider = Provider.objects.get(code="btc-node")
    own = {
        **provider.settings,
        "rpc_url": btc.url,
        "replace_after_seconds": 86_400,
        "max_head_age_seconds": 0,
    }
    own.pop("confirmations_by_amount")
    provider.settings = btc.settings(**{**own, "chain": btc.parameters.name})
    provider.is_enabled = True
    provider.save()
    desk = signing.desk(signing.bitcoin())
    settings.KAURI = settings.KAURI.model_copy(update={"signer_socket": serve_signer(desk)})
    return Bitcoin(provider, btc)
