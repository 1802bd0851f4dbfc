"""Ether on a real node: plain and internal transfers, payments, replacement and cancellation."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from kauri.common import evm
from kauri.common.jsonrpc import JsonRpc
from kauri.payment_provider.gateway import (
    Attempt,
    Block,
    ConfigError,
    GatewayConfig,
    InsufficientFloat,
    PayoutRequest,
    PayoutStatus,
    PreparedPayout,
    Retryable,
    SweepQuote,
)
from kauri.payment_provider.gateways.evm_eth import EvmEth
from tests.nodes import CHAIN_ID, FAUCET, HOT_ADDRESS, OTHER, Chain, Middleman, running_anvil
from tests.signing import direct, ethereum

CUSTOMER = "0x1111111111111111111111111111111111111111"
SECOND = "0x2222222222222222222222222222222222222222"
HALF = 5 * 10**17


def gateway(chain: Chain, **settings: object) -> EvmEth:
    given: dict[str, object] = {
        "rpc_url": chain.url,
        "chain_id": CHAIN_ID,
        "currency": "ETH",
        "network": "ethereum",
        "hot_address": HOT_ADDRESS,
        "max_head_age_seconds": 0,
        "max_fee_gwei": "50",
        **settings,
    }
    return EvmEth(GatewayConfig(code="node", settings=given, signer=direct(ethereum())))


def payout(nonce: int = 0, amount: str = "0.25", **changes: object) -> PayoutRequest:
    request = PayoutRequest("ref", "ETH", Decimal(amount), CUSTOMER, nonce, HOT_ADDRESS, 2)
    return replace(request, **changes)  # type: ignore[arg-type]  # a test's shorthand


def head(chain: Chain) -> Block:
    found = gateway(chain).block_at(chain.height())
    assert found is not None
    return found


@pytest.fixture
def eth(tmp_path: Path) -> Iterator[Chain]:
    """A chain that was never reverted: after that this node no longer traces its transactions."""
    with running_anvil(tmp_path / "anvil.log") as url:
        rpc = JsonRpc(url)
        yield Chain(url, rpc)
        rpc.close()


@pytest.fixture
def funded(eth: Chain) -> Chain:
    eth.rpc.call("anvil_setBalance", HOT_ADDRESS, hex(10**18))
    eth.mine()
    return eth


@pytest.mark.parametrize("mode", ["none", "debug_trace"])
def test_a_plain_transfer_is_seen_and_a_failed_one_is_not(eth: Chain, mode: str) -> None:
    start = head(eth)
    name = eth.transact(to=CUSTOMER, value=hex(HALF))
    payer = eth.deploy("TestEtherPayer")
    # Nobody takes ether there: the transaction is mined and undone.
    eth.transact(to=payer, value=hex(HALF))
    eth.transact(to=CUSTOMER, value="0x0")
    eth.mine()
    scan = gateway(eth, internal_transfers=mode).scan_incoming(start, 10)
    [found] = scan.transfers
    assert (found.transaction, found.ordinal, found.address, found.amount, found.sender) == (
        name,
        "0",
        CUSTOMER,
        Decimal("0.5"),
        FAUCET,
    )
    assert found.block.height == start.height + 1
    assert [block.height for block in scan.blocks] == [start.height + 1, start.height + 2]


def test_a_contract_s_payments_are_seen_where_the_node_traces(eth: Chain) -> None:
    payer = eth.deploy("TestEtherPayer")
    start = head(eth)
    data = evm.call_data("payAll(address[])", 0x20, 3, CUSTOMER, SECOND, CUSTOMER)
    name = eth.transact(to=payer, value=hex(3 * HALF), data=data)
    undone = eth.transact(to=payer, value=hex(HALF), data=evm.call_data("payAndUndo(address)", SECOND))
    eth.mine()
    assert eth.receipt(undone)["status"] == "0x1"
    seen = gateway(eth, internal_transfers="debug_trace").scan_incoming(start, 10).transfers
    inner = [(one.transaction, one.ordinal, one.address, one.amount) for one in seen if one.address != payer]
    half = Decimal("0.5")
    assert inner == [
        (name, "0.0", CUSTOMER, half),
        (name, "0.1", SECOND, half),
        (name, "0.2", CUSTOMER, half),
    ]
    plain = gateway(eth).scan_incoming(start, 10).transfers
    assert {one.address for one in plain} == {payer}


def test_a_place_survives_a_reorg_behind_another_transaction(eth: Chain) -> None:
    start = head(eth)
    eth.mine()
    name = eth.transact(to=CUSTOMER, value=hex(HALF))
    eth.mine()
    raw = eth.raw(name)
    adapter = gateway(eth, internal_transfers="debug_trace")
    [before] = adapter.scan_incoming(start, 10).transfers
    other = eth.transact(to=SECOND, value=hex(HALF), **{"from": OTHER})
    other_raw = eth.raw(other)
    eth.rpc.call("anvil_dropTransaction", other)
    eth.reorg(2, (other_raw, 0), (raw, 0))
    after = [one for one in adapter.scan_incoming(start, 10).transfers if one.address == CUSTOMER]
    assert [(one.transaction, one.ordinal) for one in after] == [(before.transaction, before.ordinal)]
    assert after[0].block != before.block


def test_a_node_that_does_not_trace_is_unhealthy(eth: Chain, middleman: Middleman) -> None:
    assert gateway(eth, internal_transfers="debug_trace").check_health().ok is True
    middleman.replace("debug_traceBlockByNumber", error={"code": -32601, "message": "method not found"})
    health = gateway(eth, internal_transfers="debug_trace", rpc_url=middleman.url).check_health()
    assert (health.ok, health.detail) == (
        False,
        "the node does not trace: internal transfers would not be seen",
    )
    with pytest.raises(ConfigError, match=r"^internal_transfers must be none or debug_trace$"):
        gateway(eth, internal_transfers="yes").scan_incoming(head(eth), 1)


def test_a_payout_from_bytes_to_confirmed(funded: Chain) -> None:
    adapter = gateway(funded)
    request = payout()
    prepared = adapter.prepare_payout(request)
    assert funded.wei(CUSTOMER) == 0, "preparing sends nothing"
    assert adapter.send_payout(request, prepared).status is PayoutStatus.PENDING
    assert adapter.send_payout(request, prepared).status is PayoutStatus.PENDING
    funded.mine()
    assert adapter.fetch_payout(request, prepared).status is PayoutStatus.PENDING
    funded.mine()
    final = adapter.fetch_payout(request, prepared)
    assert (final.status, final.confirmations) == (PayoutStatus.CONFIRMED, 2)
    assert final.mined_reference == prepared.provider_reference
    assert final.cost is not None
    assert funded.wei(CUSTOMER) == 25 * 10**16
    assert Decimal(funded.wei(HOT_ADDRESS)).scaleb(-18) == Decimal(1) - Decimal("0.25") - final.cost


@pytest.mark.parametrize("amount", ["1", "0.9999999"])
def test_the_fee_must_fit_beside_the_amount(funded: Chain, amount: str) -> None:
    with pytest.raises(InsufficientFloat):
        gateway(funded).prepare_payout(payout(amount=amount))


def test_a_replacement_is_dearer_and_only_one_of_both_is_mined(funded: Chain) -> None:
    adapter = gateway(funded)
    request = payout()
    first = adapter.prepare_payout(request)
    adapter.send_payout(request, first)
    second = adapter.prepare_replacement(request, first)
    both = replace(second, earlier=(Attempt(first.provider_reference, first.payload),))
    assert second.provider_reference != first.provider_reference
    assert adapter.send_payout(request, both).status is PayoutStatus.PENDING
    funded.mine(2)
    final = adapter.fetch_payout(request, both)
    assert (final.status, final.mined_reference) == (PayoutStatus.CONFIRMED, second.provider_reference)
    assert funded.wei(CUSTOMER) == 25 * 10**16


def test_the_older_attempt_may_win(funded: Chain) -> None:
    adapter = gateway(funded)
    request = payout()
    first = adapter.prepare_payout(request)
    second = adapter.prepare_replacement(request, first)
    both = replace(second, earlier=(Attempt(first.provider_reference, first.payload),))
    adapter.send_payout(request, first)
    funded.mine()
    # The newer one is refused, for its nonce is used: by ourselves, so nothing is unknown.
    assert adapter.send_payout(request, both).status is PayoutStatus.PENDING
    funded.mine()
    final = adapter.fetch_payout(request, both)
    assert (final.status, final.mined_reference) == (PayoutStatus.CONFIRMED, first.provider_reference)
    assert funded.wei(CUSTOMER) == 25 * 10**16


def test_a_cancellation_pays_nobody_and_is_a_failure_once_it_is_deep(funded: Chain) -> None:
    adapter = gateway(funded)
    request = payout()
    first = adapter.prepare_payout(request)
    adapter.send_payout(request, first)
    cancel = adapter.prepare_cancel(request, first)
    assert cancel.cancels is True
    both = replace(cancel, earlier=(Attempt(first.provider_reference, first.payload),))
    adapter.send_payout(request, both)
    funded.mine()
    assert adapter.fetch_payout(request, both).status is PayoutStatus.PENDING
    funded.mine()
    final = adapter.fetch_payout(request, both)
    assert (final.status, final.mined_reference) == (PayoutStatus.FAILED, cancel.provider_reference)
    assert final.answer["reason"] == "it was cancelled: its nonce paid nobody"
    assert final.cost is not None
    assert funded.wei(CUSTOMER) == 0


def test_a_replacement_stays_below_the_cap(funded: Chain) -> None:
    adapter = gateway(funded)
    first = adapter.prepare_payout(payout())
    adapter.send_payout(payout(), first)
    fee = evm.quantity(funded.rpc.call("eth_getTransactionByHash", first.provider_reference)["maxFeePerGas"])
    with pytest.raises(Retryable, match=r"^a replacement would cost more than the cap allows$"):
        gateway(funded, max_fee_gwei=str(Decimal(fee).scaleb(-9))).prepare_replacement(payout(), first)


def test_a_sweep_leaves_the_fee_s_change_and_nothing_else(eth: Chain) -> None:
    account = direct(ethereum()).desk
    assert account is not None
    xpub = account.store.account_xpub("m/44h/60h/0h")
    adapter = gateway(eth, xpub=xpub)
    address = adapter.derive_address(3)
    eth.rpc.call("anvil_setBalance", address, hex(HALF))
    eth.mine()
    quote = adapter.quote_sweep(address)
    assert quote == SweepQuote(quote.amount, Decimal(0), "ETH")
    assert Decimal("0.49") < quote.amount < Decimal("0.5")
    assert adapter.quote_sweep(OTHER[:-1] + "0").amount == 0
    before = eth.wei(HOT_ADDRESS)
    request = payout(
        amount=str(quote.amount), destination=HOT_ADDRESS, source_address=address, key="deposit/3"
    )
    prepared: PreparedPayout = adapter.prepare_payout(request)
    adapter.send_payout(request, prepared)
    eth.mine(2)
    final = adapter.fetch_payout(request, prepared)
    assert final.status is PayoutStatus.CONFIRMED
    assert final.cost is not None
    assert Decimal(eth.wei(HOT_ADDRESS) - before).scaleb(-18) == quote.amount
    assert Decimal(eth.wei(address)).scaleb(-18) == Decimal("0.5") - quote.amount - final.cost


def test_what_addresses_hold(eth: Chain) -> None:
    eth.rpc.call("anvil_setBalance", CUSTOMER, hex(HALF))
    eth.mine()
    found = gateway(eth).fetch_holdings([CUSTOMER, SECOND])
    assert [[(one.currency, one.amount) for one in row] for row in found] == [
        [("ETH", Decimal("0.5"))],
        [("ETH", Decimal(0))],
    ]
