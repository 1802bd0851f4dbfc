"""Any interleaving of blocks, scans, reorganisations, crashes and restarts: what the final chain holds is credited, once.

The chain is scripted, since a real node can't be driven through thousands of histories; scanner, crediting
and ledger are the real ones.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from django.db import transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kauri.account.models import User
from kauri.balance import invariants
from kauri.balance.chart import TransferKind
from kauri.core.models import Currency, Network, Provider
from kauri.deposit_order import services
from kauri.payment_provider import routing
from kauri.payment_provider.gateway import (
    Block,
    ConfigError,
    Gateway,
    GatewayConfig,
    Health,
    IncomingTransfer,
    PayoutState,
    PreparedPayout,
    ProviderBalance,
    ScanResult,
)
from kauri.payment_provider.models import Payin
from kauri.wallet.models import DepositAddress
from tests.moves import Crash, balance_of, transfers

CONFIRMATIONS = 3
AMOUNTS = (Decimal(5), Decimal("7.25"), Decimal("12.000001"))


class Script(Gateway):
    """A chain that a test writes; it only tells."""

    scans = True

    def __init__(self) -> None:
        super().__init__(GatewayConfig(code="script", settings={}))
        self.blocks: list[tuple[Block, tuple[int, ...]]] = []
        self.made = 0
        self.paid: list[tuple[str, Decimal]] = []
        self.grow(())

    def grow(self, deposits: tuple[int, ...]) -> None:
        self.made += 1
        parent = self.blocks[-1][0].hash if self.blocks else "0"
        self.blocks.append((Block(len(self.blocks), f"b{self.made}", parent), deposits))

    def pay(self, address: str, amount: Decimal) -> int:
        self.paid.append((address, amount))
        return len(self.paid) - 1

    def reorganise(self, depth: int, keep: int) -> None:
        """The last blocks are others now, one more of them; of what they held every ``keep``-th comes back."""
        depth = min(depth, len(self.blocks) - 1)
        gone = [one for _, deposits in self.blocks[-depth:] for one in deposits] if depth else []
        del self.blocks[len(self.blocks) - depth :]
        self.grow(tuple(one for place, one in enumerate(gone) if keep and place % keep == 0))
        for _ in range(depth):
            self.grow(())

    def on_chain(self) -> set[str]:
        return {f"t{one}" for _, deposits in self.blocks for one in deposits}

    def block_at(self, height: int) -> Block | None:
        return self.blocks[height][0] if 0 <= height < len(self.blocks) else None

    def scan_incoming(self, after: Block | None, limit: int) -> ScanResult:
        first = len(self.blocks) - 1 if after is None else after.height + 1
        read = self.blocks[first : first + limit]
        found = [
            IncomingTransfer(f"t{one}", "0", self.paid[one][0], "USDT", self.paid[one][1], block)
            for block, deposits in read
            for one in deposits
        ]
        return ScanResult(tuple(block for block, _ in read), tuple(found), len(self.blocks) - 1)

    def capabilities(self) -> tuple[Any, ...]:
        return ()

    def validate_destination(self, currency: str, destination: str) -> str:
        raise ConfigError("it pays nobody")

    def check_health(self) -> Health:
        return Health(ok=True, detail="")

    def fetch_balances(self) -> tuple[ProviderBalance, ...]:
        return ()

    def prepare_payout(self, request: Any) -> PreparedPayout:
        raise ConfigError("it pays nobody")

    def send_payout(self, request: Any, prepared: Any) -> PayoutState:
        raise ConfigError("it pays nobody")

    def fetch_payout(self, request: Any, prepared: Any) -> PayoutState:
        raise ConfigError("it pays nobody")


#: Where a worker may die: before or after it wrote a stretch, before or after it credited one.
POINTS = [(name, late) for name in ("_apply", "settle") for late in (False, True)]
ACTS = st.one_of(
    st.tuples(st.just("block"), st.lists(st.integers(0, 5), max_size=3)),
    st.tuples(st.just("reorg"), st.integers(1, 6), st.integers(0, 2)),
    st.just(("scan",)),
    st.tuples(st.just("crash"), st.sampled_from(POINTS)),
)


@pytest.fixture
def places(house: None, customer: Callable[..., User]) -> tuple[Provider, list[tuple[User, str]]]:
    """A provider with three confirmations, and two customers' addresses."""
    network = Network.objects.get(code="erc20")
    network.confirmations = CONFIRMATIONS
    network.save()
    provider = Provider.objects.get(code="usdt-node")
    provider.is_enabled = True
    provider.save()
    found = []
    for index in range(2):
        user = customer()
        DepositAddress.objects.create(
            provider=provider,
            network=network,
            currency=Currency.objects.get(code="USDT"),
            address=f"0x{index}",
            index=index,
            user=user,
        )
        found.append((user, f"0x{index}"))
    return provider, found


def die(monkeypatch: pytest.MonkeyPatch, provider: Provider, name: str, *, late: bool) -> None:
    """A scan whose worker dies at the first call of ``name``, before or after its work."""
    original = getattr(services, name)

    def killed(*args: Any, **more: Any) -> Any:
        if late:
            original(*args, **more)
        raise Crash

    with monkeypatch.context() as patch:
        patch.setattr(services, name, killed)
        try:
            services.deposits_scan(provider.pk)
        except Crash:
            return


@given(acts=st.lists(ACTS, max_size=25))
@settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_what_the_final_chain_holds_is_credited_once(
    places: tuple[Provider, list[tuple[User, str]]], monkeypatch: pytest.MonkeyPatch, acts: list[Any]
) -> None:
    provider, people = places
    script = Script()
    monkeypatch.setattr(routing, "gateway_for", lambda _row: script)
    with transaction.atomic():
        services.deposits_scan(provider.pk)
        shallow = True
        for act in acts:
            match act:
                case ("block", deposits):
                    paid = [script.pay(people[n % 2][1], AMOUNTS[n % 3]) for n in deposits]
                    script.grow(tuple(paid))
                case ("reorg", depth, keep):
                    shallow = shallow and depth < CONFIRMATIONS
                    script.reorganise(depth, keep)
                case ("scan",):
                    services.deposits_scan(provider.pk)
                case ("crash", (name, late)):
                    die(monkeypatch, provider, name, late=late)
        for _ in range(CONFIRMATIONS):
            script.grow(())
        for _ in range(2):
            services.deposits_scan(provider.pk)
        _judge(script, people, shallow=shallow)
        transaction.set_rollback(True)


def _judge(script: Script, people: list[tuple[User, str]], *, shallow: bool) -> None:
    states = dict(Payin.objects.values_list("transaction", "state"))
    there = script.on_chain()
    assert {name for name, state in states.items() if state == "credited"} == there
    # What is not on the chain was never credited, or people were told that it went.
    assert {state for name, state in states.items() if name not in there} <= {"orphaned", "alarm"}
    if shallow:
        assert "alarm" not in states.values()
    booked = {name for name, state in states.items() if state in {"credited", "alarm"}}
    assert transfers(TransferKind.DEPOSIT) == len(booked)
    for user, address in people:
        paid = [amount for n, (to, amount) in enumerate(script.paid) if to == address and f"t{n}" in booked]
        assert balance_of(user) == (sum(paid, Decimal(0)), Decimal(0))
    assert invariants.broken_laws() == []
