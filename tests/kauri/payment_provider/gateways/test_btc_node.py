"""The Bitcoin adapter alone, on a real node of the family: what it reads, selects, refuses and replaces."""

from __future__ import annotations

import json
from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compose.local import places
from kauri.payment_provider.gateway import (
    Attempt,
    Block,
    Coin,
    ConfigError,
    GatewayConfig,
    InsufficientFloat,
    Output,
    PayoutRequest,
    PayoutStatus,
    Rejected,
    Retryable,
    Spend,
    build,
)
from kauri.payment_provider.gateways.btc_chains import CHAINS
from kauri.payment_provider.gateways.btc_node import BtcNodeGateway
from kauri.payment_provider.gateways.btc_selection import (
    CHANGE_WEIGHT,
    FRAME_WEIGHT,
    INPUT_WEIGHT,
    choose,
    fee_for,
)
from tests.bitcoin_node import BitcoinChain
from tests.nodes import Middleman
from tests.signing import bitcoin, direct


def gateway(btc: BitcoinChain, **changes: object) -> BtcNodeGateway:
    config = GatewayConfig(
        code="btc_node",
        settings={**btc.settings(rpc_url=btc.url, max_head_age_seconds=0), **changes},
        signer=direct(bitcoin(btc.parameters.coin_type)),
    )
    found = build("btc_node", config)
    assert isinstance(found, BtcNodeGateway)
    return found


def payout(
    btc: BitcoinChain, coins: tuple[Coin, ...], amount: str = "0.1", **changes: object
) -> PayoutRequest:
    request = PayoutRequest(
        "ref", "BTC", Decimal(amount), btc.stranger(), min_confirmations=2, coins=coins, change_path="1/0"
    )
    return replace(request, **changes)  # type: ignore[arg-type]  # a test's shorthand


def tip(btc: BitcoinChain) -> Block:
    found = gateway(btc).block_at(btc.height())
    assert found is not None
    return found


def test_coinbase_money_waits_a_hundred_blocks(btc: BitcoinChain) -> None:
    adapter, start = gateway(btc), tip(btc)
    address = adapter.derive_address(70)
    btc.mine(1, to=address)
    mined = [one for one in adapter.scan_incoming(start, 10).transfers if one.address == address]
    assert [one.final_after for one in mined] == [100]
    btc.pay(address, "0.1")
    btc.mine()
    paid = [one for one in adapter.scan_incoming(start, 10).transfers if one.address == address]
    assert [(one.final_after, one.amount) for one in paid[1:]] == [(0, Decimal("0.1"))]


def test_a_block_tells_what_was_used_up(btc: BitcoinChain) -> None:
    adapter = gateway(btc)
    coins = btc.fund(adapter, "0.5", first=71)
    start = tip(btc)
    request = payout(btc, coins)
    prepared = adapter.prepare_payout(request)
    adapter.send_payout(request, prepared)
    btc.mine()
    spends = {(one.transaction, one.ordinal): one.by for one in adapter.scan_incoming(start, 5).spends}
    assert spends[coins[0].transaction, coins[0].ordinal] == prepared.provider_reference
    assert adapter.unspent(coins) == ()


def test_the_chains_are_named_as_the_shipped_provider_and_the_page_name_them() -> None:
    root = places.ROOT
    shipped = json.loads((root / "fixtures" / "seed" / "providers.json").read_text())
    [row] = [one for one in shipped if one["adapter"] == "btc_node"]
    assert row["settings"]["chain"] in CHAINS
    page = (root / "docs" / "bitcoin.md").read_text()
    assert all(f"`{name}`" in page for name in CHAINS), sorted(CHAINS)


def test_a_wrong_chain_gives_nothing(btc: BitcoinChain) -> None:
    other = next(name for name in ("bitcoin-testnet", "litecoin-testnet") if name != btc.parameters.name)
    health = gateway(btc, chain=other).check_health()
    assert health.ok is False
    with pytest.raises((ConfigError, Retryable)):
        gateway(btc, chain=other).scan_incoming(None, 1)


@pytest.mark.parametrize(
    ("change", "healthy"),
    [
        ({"initialblockdownload": True}, False),
        ({"blocks": 1}, False),
        ({}, True),
    ],
)
def test_a_node_that_is_behind_is_unhealthy(
    btc: BitcoinChain, btc_middleman: Middleman, change: dict[str, object], healthy: bool
) -> None:
    answer = btc.rpc.call("getblockchaininfo")
    # Regtest is always in its initial download until a fresh block comes.
    btc_middleman.replace("getblockchaininfo", result={**answer, "initialblockdownload": False, **change})
    assert gateway(btc, rpc_url=btc_middleman.url).check_health().ok is healthy


def test_an_old_head_is_unhealthy(btc: BitcoinChain, btc_middleman: Middleman) -> None:
    name = btc.tip()
    header = btc.rpc.call("getblockheader", name)
    btc_middleman.replace(
        "getblockheader", result={**header, "time": 1_600_000_000, "mediantime": 1_600_000_000}
    )
    adapter = gateway(btc, rpc_url=btc_middleman.url, max_head_age_seconds=60)
    assert adapter.check_health().ok is False


def test_a_payment_without_enough_coins_is_a_float_matter(btc: BitcoinChain) -> None:
    adapter = gateway(btc)
    coins = btc.fund(adapter, "0.05", first=72)
    with pytest.raises(InsufficientFloat):
        adapter.prepare_payout(payout(btc, coins))
    with pytest.raises(InsufficientFloat):
        adapter.prepare_payout(payout(btc, ()))


def test_dust_is_not_paid(btc: BitcoinChain) -> None:
    adapter = gateway(btc)
    coins = btc.fund(adapter, "0.05", first=73)
    with pytest.raises(Rejected):
        adapter.prepare_payout(payout(btc, coins, "0.00000100"))


def test_several_are_paid_exactly_by_one_transaction(btc: BitcoinChain) -> None:
    adapter = gateway(btc)
    coins = btc.fund(adapter, "0.5", first=74)
    others = [btc.stranger() for _ in range(2)]
    beside = tuple(Output(f"r{n}", to, Decimal(f"0.0{n}")) for n, to in enumerate(others, 1))
    request = payout(btc, coins, beside=beside)
    prepared = adapter.prepare_payout(request)
    adapter.send_payout(request, prepared)
    btc.mine(2)
    assert adapter.fetch_payout(request, prepared).status is PayoutStatus.CONFIRMED
    assert [btc.received(to) for to in (request.destination, *others)] == [
        Decimal("0.1"),
        Decimal("0.01"),
        Decimal("0.02"),
    ]


def test_the_same_bytes_again_are_one_payment(btc: BitcoinChain) -> None:
    adapter = gateway(btc)
    request = payout(btc, btc.fund(adapter, "0.5", first=75))
    prepared = adapter.prepare_payout(request)
    for _ in range(3):
        assert adapter.send_payout(request, prepared).status is PayoutStatus.PENDING
    btc.mine()
    assert adapter.send_payout(request, prepared).status is PayoutStatus.PENDING
    btc.mine()
    assert adapter.fetch_payout(request, prepared).status is PayoutStatus.CONFIRMED
    assert btc.received(request.destination) == Decimal("0.1")


def test_a_coin_that_somebody_else_used_makes_it_impossible(btc: BitcoinChain) -> None:
    adapter = gateway(btc)
    coins = btc.fund(adapter, "0.5", first=76)
    request = payout(btc, coins)
    prepared = adapter.prepare_payout(request)
    rival = payout(btc, coins, "0.2")
    other = adapter.prepare_payout(rival)
    adapter.send_payout(rival, other)
    btc.mine()
    block = tip(btc)
    spent = (Spend(coins[0].transaction, coins[0].ordinal, other.provider_reference, block),)
    known = replace(request, spent=spent)
    assert adapter.fetch_payout(known, prepared).status is not PayoutStatus.FAILED, "not deep enough"
    btc.mine(3)
    assert adapter.fetch_payout(known, prepared).status is PayoutStatus.FAILED
    assert btc.received(request.destination) == 0


def test_a_replacement_is_dearer_and_one_of_both_is_mined(btc: BitcoinChain) -> None:
    adapter = gateway(btc)
    request = payout(btc, btc.fund(adapter, "0.5", first=77))
    first = adapter.prepare_payout(request)
    adapter.send_payout(request, first)
    second = adapter.prepare_replacement(request, first)
    both = replace(second, earlier=(Attempt(first.provider_reference, first.payload),))
    assert adapter.send_payout(request, both).status is PayoutStatus.PENDING
    assert btc.pool() == {second.provider_reference}
    btc.mine(2)
    final = adapter.fetch_payout(request, both)
    assert (final.status, final.mined_reference) == (PayoutStatus.CONFIRMED, second.provider_reference)
    assert btc.received(request.destination) == Decimal("0.1")


# -- selection alone --------------------------------------------------------------------------------

RATE = 20_000  # 20 satoshi a virtual byte
DUST = 5_000
PLAIN = 31 * 4


@settings(max_examples=200, deadline=None)
@given(
    amounts=st.lists(st.integers(1, 50_000_000), max_size=40),
    target=st.integers(1, 60_000_000),
)
def test_what_is_chosen_pays_target_and_fee_and_wastes_little(amounts: list[int], target: int) -> None:
    found = choose(amounts, target, PLAIN, RATE, DUST)
    fee = fee_for(INPUT_WEIGHT, RATE)
    useful = sum(amount - fee for amount in amounts if amount > fee)
    need = target + fee_for(FRAME_WEIGHT + PLAIN, RATE)
    if found is None:
        assert useful < need
        return
    assert len(set(found.indexes)) == len(found.indexes)
    weight = FRAME_WEIGHT + PLAIN + INPUT_WEIGHT * len(found.indexes) + CHANGE_WEIGHT * found.change
    left = sum(amounts[index] for index in found.indexes) - target - fee_for(weight, RATE)
    assert left >= 0
    if found.change:
        assert left >= DUST, "change is never dust"


def test_an_exact_sum_makes_no_change() -> None:
    fee = fee_for(INPUT_WEIGHT, RATE)
    need = 1_000_000 + fee_for(FRAME_WEIGHT + PLAIN, RATE)
    amounts = [9_000_000, need // 2 + fee, need - need // 2 + fee, 300_000]
    found = choose(amounts, 1_000_000, PLAIN, RATE, DUST)
    assert found is not None
    assert (sorted(found.indexes), found.change) == ([1, 2], False)
