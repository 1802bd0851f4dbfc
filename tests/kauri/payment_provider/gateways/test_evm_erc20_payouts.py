"""Tether on a real node: payouts, and every way in which the answer can go missing."""

from __future__ import annotations

from decimal import Decimal

import pytest

from kauri.common import evm
from kauri.payment_provider.gateway import (
    ConfigError,
    OutcomeUnknown,
    PayoutState,
    PayoutStatus,
    PreparedPayout,
    Retryable,
)
from kauri.payment_provider.gateways.evm_erc20 import EvmErc20
from tests.kauri.payment_provider.gateways.evm_setup import (
    AMOUNT,
    CUSTOMER,
    FLOAT,
    SECOND,
    gateway,
    payout,
)
from tests.nodes import FAUCET, HOT_ADDRESS, OTHER, Chain, Middleman, free_port


def take_nonce(eth: Chain, nonce: int = 0) -> str:
    """Have another transaction of the hot wallet use ``nonce``; return its hash, unmined."""
    eth.rpc.call("anvil_impersonateAccount", HOT_ADDRESS)
    return eth.transact(
        **{"from": HOT_ADDRESS, "to": HOT_ADDRESS, "gas": hex(21_000), "nonce": hex(nonce)},
        maxFeePerGas=hex(90 * 10**9),
        maxPriorityFeePerGas=hex(50 * 10**9),
    )


def test_a_payout_from_bytes_to_confirmed(eth: Chain, token: str, adapter: EvmErc20) -> None:
    request = payout(nonce=adapter.next_nonce(HOT_ADDRESS))

    prepared = adapter.prepare_payout(request)
    assert prepared.nonce == 0
    assert prepared.provider_reference == evm.transaction_hash(prepared.payload)
    assert adapter.next_nonce(HOT_ADDRESS) == 0, "preparing sends nothing"
    assert adapter.fetch_payout(request, prepared).status is PayoutStatus.NOT_FOUND

    sent = adapter.send_payout(request, prepared)
    assert sent == PayoutState(PayoutStatus.PENDING, prepared.provider_reference)
    assert adapter.fetch_payout(request, prepared).status is PayoutStatus.PENDING
    assert adapter.next_nonce(HOT_ADDRESS) == 1
    assert eth.raw(prepared.provider_reference) == prepared.payload

    eth.mine()
    once = adapter.fetch_payout(request, prepared)
    assert (once.status, once.confirmations) == (PayoutStatus.PENDING, 1)
    eth.mine()
    final = adapter.fetch_payout(request, prepared)
    receipt = eth.receipt(prepared.provider_reference)
    wei = evm.quantity(receipt["gasUsed"]) * evm.quantity(receipt["effectiveGasPrice"])
    assert final == PayoutState(
        PayoutStatus.CONFIRMED,
        prepared.provider_reference,
        confirmations=2,
        mined_reference=prepared.provider_reference,
        cost=Decimal(wei).scaleb(-18),
        cost_currency="ETH",
        answer={
            "block": evm.quantity(receipt["blockNumber"]),
            "block_hash": receipt["blockHash"],
            "gas_used": evm.quantity(receipt["gasUsed"]),
            "gas_price_wei": evm.quantity(receipt["effectiveGasPrice"]),
            "status": "0x1",
        },
    )
    assert eth.token_balance(token, CUSTOMER) == AMOUNT
    assert eth.token_balance(token, HOT_ADDRESS) == FLOAT - AMOUNT
    left = evm.quantity(eth.rpc.call("eth_getBalance", HOT_ADDRESS, "latest"))
    assert left == 10**18 - wei


def test_the_signed_fields_are_ours(eth: Chain, adapter: EvmErc20) -> None:
    prepared = adapter.prepare_payout(payout(nonce=7))
    adapter.send_payout(payout(nonce=7), prepared)
    known = eth.rpc.call("eth_getTransactionByHash", prepared.provider_reference)
    base = evm.quantity(eth.rpc.call("eth_feeHistory", "0x1", "latest", [])["baseFeePerGas"][-1])
    tip = evm.quantity(known["maxPriorityFeePerGas"])
    assert (known["type"], known["chainId"], known["nonce"], known["value"]) == (
        "0x2",
        "0x7a69",
        "0x7",
        "0x0",
    )
    assert evm.to_address(known["from"]) == HOT_ADDRESS
    assert known["input"] == evm.call_data("transfer(address,uint256)", CUSTOMER, AMOUNT)
    assert evm.quantity(known["maxFeePerGas"]) == 2 * base + tip
    assert 50_000_000 <= tip <= 10**10
    assert prepared.nonce == 7


def test_the_same_bytes_twice_pay_once(eth: Chain, token: str, adapter: EvmErc20) -> None:
    request = payout()
    prepared = adapter.prepare_payout(request)
    for _ in range(3):
        assert adapter.send_payout(request, prepared).status is PayoutStatus.PENDING
    eth.mine()
    # Mined: the node now says "nonce too low" about these bytes, and its receipt says why.
    assert adapter.send_payout(request, prepared).status is PayoutStatus.PENDING
    eth.mine(3)
    assert adapter.send_payout(request, prepared).status is PayoutStatus.PENDING
    assert adapter.fetch_payout(request, prepared).status is PayoutStatus.CONFIRMED
    assert eth.token_balance(token, CUSTOMER) == AMOUNT


def test_an_answer_lost_on_the_way_is_unknown_and_then_found(
    eth: Chain, token: str, middleman: Middleman
) -> None:
    adapter = gateway(eth, token, rpc_url=middleman.url)
    request = payout()
    prepared = adapter.prepare_payout(request)
    middleman.lost.add("eth_sendRawTransaction")
    with pytest.raises(OutcomeUnknown, match=r"^the node gave no usable answer"):
        adapter.send_payout(request, prepared)
    middleman.lost.clear()
    assert adapter.fetch_payout(request, prepared).status is PayoutStatus.PENDING
    assert adapter.send_payout(request, prepared).status is PayoutStatus.PENDING
    eth.mine(2)
    assert adapter.fetch_payout(request, prepared).status is PayoutStatus.CONFIRMED
    assert eth.token_balance(token, CUSTOMER) == AMOUNT
    assert middleman.seen.count("eth_sendRawTransaction") == 2


def test_a_request_lost_on_the_way_is_unknown_and_then_not_found(
    eth: Chain, token: str, middleman: Middleman
) -> None:
    adapter = gateway(eth, token, rpc_url=middleman.url, rpc_timeout_seconds=1)
    request = payout()
    prepared = adapter.prepare_payout(request)
    middleman.silent.add("eth_sendRawTransaction")
    with pytest.raises(OutcomeUnknown):
        adapter.send_payout(request, prepared)
    assert adapter.fetch_payout(request, prepared).status is PayoutStatus.NOT_FOUND
    eth.mine(3)
    assert eth.token_balance(token, CUSTOMER) == 0


def test_a_node_that_is_down_is_retryable_everywhere(eth: Chain, token: str) -> None:
    request = payout()
    prepared = gateway(eth, token).prepare_payout(request)
    down = gateway(eth, token, rpc_url=f"http://127.0.0.1:{free_port()}/secret-api-key")
    for step in (
        lambda: down.prepare_payout(request),
        lambda: down.send_payout(request, prepared),
        lambda: down.fetch_payout(request, prepared),
        lambda: down.scan_incoming(None, 1),
        down.fetch_balances,
    ):
        with pytest.raises(Retryable, match=r"^the node cannot be reached$"):
            step()
    assert down.check_health().detail == "the node cannot be reached"


def test_bytes_that_are_not_the_stored_ones_are_not_sent(
    eth: Chain, token: str, middleman: Middleman
) -> None:
    adapter = gateway(eth, token, rpc_url=middleman.url)
    first, second = adapter.prepare_payout(payout(0)), adapter.prepare_payout(payout(1))
    mixed = PreparedPayout(first.provider_reference, second.payload, 0)
    with pytest.raises(ConfigError, match=r"^the stored bytes are not those"):
        adapter.send_payout(payout(), mixed)
    assert "eth_sendRawTransaction" not in middleman.seen


# -- the nonce ---------------------------------------------------------------------------------------


def test_a_nonce_that_another_transaction_took_fails_only_when_that_is_final(
    eth: Chain, token: str, adapter: EvmErc20
) -> None:
    request = payout(min_confirmations=3)
    prepared = adapter.prepare_payout(request)
    other = take_nonce(eth)
    eth.mine()

    sent = adapter.send_payout(request, prepared)
    assert (sent.status, sent.answer) == (PayoutStatus.UNKNOWN, {"reason": "the nonce is already used"})
    answer = {"reason": "another transaction used its nonce", "other": other, "block": eth.height()}
    for status in (PayoutStatus.UNKNOWN, PayoutStatus.UNKNOWN, PayoutStatus.FAILED):
        state = adapter.fetch_payout(request, prepared)
        assert (state.status, state.answer) == (status, answer)
        eth.mine()
    assert eth.token_balance(token, CUSTOMER) == 0


def test_who_took_the_nonce_is_found_far_back(eth: Chain, adapter: EvmErc20) -> None:
    request = payout(1)
    prepared = adapter.prepare_payout(request)
    take_nonce(eth, 0)
    eth.mine(2)
    other = take_nonce(eth, 1)
    eth.mine()
    taken = eth.height()
    take_nonce(eth, 2)
    eth.mine(17)
    state = adapter.fetch_payout(request, prepared)
    assert state.status is PayoutStatus.FAILED
    assert state.answer == {"reason": "another transaction used its nonce", "other": other, "block": taken}


def test_a_node_that_forgot_our_mined_payout_never_makes_it_failed(
    eth: Chain, token: str, middleman: Middleman
) -> None:
    adapter = gateway(eth, token, rpc_url=middleman.url)
    request = payout()
    prepared = adapter.prepare_payout(request)
    adapter.send_payout(request, prepared)
    eth.mine(3)
    middleman.replace("eth_getTransactionReceipt", result=None)
    middleman.replace("eth_getTransactionByHash", result=None)

    state = adapter.fetch_payout(request, prepared)
    assert (state.status, state.confirmations) == (PayoutStatus.PENDING, 3)

    refuse_old = {"error": {"code": -32000, "message": "missing trie node"}}
    middleman.replaced["eth_getTransactionCount"] = lambda p: None if p[1] == "latest" else refuse_old
    state = adapter.fetch_payout(request, prepared)
    assert state.status is PayoutStatus.UNKNOWN
    assert state.answer == {"reason": "the nonce is used, and by whom is not to be seen"}
    assert adapter.send_payout(request, prepared).status is PayoutStatus.UNKNOWN


def test_a_neighbour_in_the_same_block_is_not_taken_for_the_thief(
    eth: Chain, token: str, middleman: Middleman
) -> None:
    adapter = gateway(eth, token, rpc_url=middleman.url)
    requests = [payout(n, "1", reference=f"payout-{n}") for n in range(3)]
    prepared = [adapter.prepare_payout(request) for request in requests]
    for request, stored in zip(requests, prepared, strict=True):
        adapter.send_payout(request, stored)
    eth.mine(3)
    middleman.replace("eth_getTransactionReceipt", result=None)
    middleman.replace("eth_getTransactionByHash", result=None)
    for request, stored in zip(requests, prepared, strict=True):
        assert adapter.fetch_payout(request, stored).status is PayoutStatus.PENDING
    assert eth.token_balance(token, CUSTOMER) == 3_000_000


def test_a_stranger_with_the_same_nonce_is_not_taken_for_the_thief(
    eth: Chain, token: str, middleman: Middleman
) -> None:
    adapter = gateway(eth, token, rpc_url=middleman.url)
    request = payout()
    prepared = adapter.prepare_payout(request)
    stranger = eth.transact(
        **{"from": OTHER, "to": FAUCET, "nonce": "0x0"},
        maxFeePerGas=hex(90 * 10**9),
        maxPriorityFeePerGas=hex(50 * 10**9),
    )
    adapter.send_payout(request, prepared)
    eth.mine(2)
    assert eth.receipt(stranger)["transactionIndex"] == "0x0"
    assert eth.receipt(stranger)["blockHash"] == eth.receipt(prepared.provider_reference)["blockHash"]
    middleman.replace("eth_getTransactionReceipt", result=None)
    middleman.replace("eth_getTransactionByHash", result=None)
    assert adapter.fetch_payout(request, prepared).status is PayoutStatus.PENDING


def test_nonces_may_be_sent_out_of_order(eth: Chain, token: str, adapter: EvmErc20) -> None:
    requests = [payout(n, "1", reference=f"payout-{n}") for n in range(3)]
    prepared = [adapter.prepare_payout(request) for request in requests]
    for request, stored in reversed(list(zip(requests, prepared, strict=True))):
        assert adapter.send_payout(request, stored).status is PayoutStatus.PENDING
    eth.mine(2)
    for request, stored in zip(requests, prepared, strict=True):
        assert adapter.fetch_payout(request, stored).status is PayoutStatus.CONFIRMED
    assert eth.token_balance(token, CUSTOMER) == 3_000_000


def test_a_stuck_payout_is_replaced_and_paid_once(eth: Chain, token: str, adapter: EvmErc20) -> None:
    request = payout()
    stuck = adapter.prepare_payout(request)
    adapter.send_payout(request, stuck)
    low = eth.rpc.call("eth_getTransactionByHash", stuck.provider_reference)

    raised = adapter.prepare_replacement(request, stuck)
    assert adapter.send_payout(request, raised).status is PayoutStatus.PENDING
    high = eth.rpc.call("eth_getTransactionByHash", raised.provider_reference)
    for name in ("maxFeePerGas", "maxPriorityFeePerGas"):
        # At least 12.5 %, rounded up: real nodes refuse less, this one does not.
        assert evm.quantity(high[name]) * 1000 >= evm.quantity(low[name]) * 1125
    for name in ("nonce", "to", "input", "gas", "value", "chainId"):
        assert high[name] == low[name]

    eth.mine(2)
    assert adapter.fetch_payout(request, raised).status is PayoutStatus.CONFIRMED
    state = adapter.fetch_payout(request, stuck)
    assert (state.status, state.answer["other"]) == (PayoutStatus.FAILED, raised.provider_reference)
    assert eth.token_balance(token, CUSTOMER) == AMOUNT
    cap = Decimal(evm.quantity(high["maxFeePerGas"])).scaleb(-9)
    with pytest.raises(Retryable, match=r"^a replacement would cost more than the cap allows$"):
        gateway(eth, token, max_fee_gwei=str(cap)).prepare_replacement(request, raised)


# -- final states -----------------------------------------------------------------------------------


def test_a_reverted_payout_fails_after_confirmations_and_costs(
    eth: Chain, token: str, adapter: EvmErc20
) -> None:
    request = payout()
    prepared = adapter.prepare_payout(request)
    eth.command(token, "setPaused(bool)", 1)
    adapter.send_payout(request, prepared)
    eth.mine()
    assert adapter.fetch_payout(request, prepared).status is PayoutStatus.PENDING
    eth.mine()
    state = adapter.fetch_payout(request, prepared)
    receipt = eth.receipt(prepared.provider_reference)
    wei = evm.quantity(receipt["gasUsed"]) * evm.quantity(receipt["effectiveGasPrice"])
    assert (state.status, state.confirmations) == (PayoutStatus.FAILED, 2)
    assert (state.cost, state.cost_currency) == (Decimal(wei).scaleb(-18), "ETH")
    assert state.answer["reason"] == "the transaction was reverted"
    assert eth.token_balance(token, HOT_ADDRESS) == FLOAT


def test_a_reorg_takes_a_confirmation_back(eth: Chain, token: str, adapter: EvmErc20) -> None:
    request = payout(min_confirmations=3)
    prepared = adapter.prepare_payout(request)
    adapter.send_payout(request, prepared)
    eth.mine(2)
    assert adapter.fetch_payout(request, prepared).confirmations == 2
    eth.reorg(2)
    assert adapter.fetch_payout(request, prepared).status is PayoutStatus.NOT_FOUND
    assert adapter.send_payout(request, prepared).status is PayoutStatus.PENDING
    eth.mine(3)
    assert adapter.fetch_payout(request, prepared).status is PayoutStatus.CONFIRMED
    assert eth.token_balance(token, CUSTOMER) == AMOUNT


def test_mined_without_a_transfer_is_not_confirmed(eth: Chain, token: str, middleman: Middleman) -> None:
    adapter = gateway(eth, token, rpc_url=middleman.url)
    request = payout()
    prepared = adapter.prepare_payout(request)
    adapter.send_payout(request, prepared)
    eth.mine(2)
    receipt = eth.receipt(prepared.provider_reference)
    oddities: list[dict[str, object]] = [{"logs": []}, {"status": "0x2"}, {"status": None}]
    for spoiled in oddities:
        middleman.replace("eth_getTransactionReceipt", result={**receipt, **spoiled})
        state = adapter.fetch_payout(request, prepared)
        assert state.status is PayoutStatus.UNKNOWN
    elsewhere = payout(destination=SECOND)
    middleman.replaced.clear()
    assert adapter.fetch_payout(elsewhere, prepared).status is PayoutStatus.UNKNOWN
    assert adapter.fetch_payout(request, prepared).status is PayoutStatus.CONFIRMED


def test_the_settings_can_ask_for_more_confirmations(eth: Chain, token: str) -> None:
    adapter = gateway(eth, token, confirmations=4)
    request = payout(min_confirmations=1)
    prepared = adapter.prepare_payout(request)
    adapter.send_payout(request, prepared)
    eth.mine(3)
    assert adapter.fetch_payout(request, prepared).status is PayoutStatus.PENDING
    eth.mine()
    assert adapter.fetch_payout(request, prepared).status is PayoutStatus.CONFIRMED


@pytest.mark.parametrize(
    ("method", "result", "reason"),
    [
        ("eth_chainId", "0x1", "the node serves another chain"),
        ("eth_syncing", {"currentBlock": "0x1"}, "the node is catching up with the chain"),
    ],
)
def test_a_look_up_says_nothing_on_a_node_that_cannot_know(
    eth: Chain, token: str, middleman: Middleman, method: str, result: object, reason: str
) -> None:
    adapter = gateway(eth, token, rpc_url=middleman.url)
    request = payout()
    prepared = adapter.prepare_payout(request)
    middleman.replace(method, result=result)
    state = adapter.fetch_payout(request, prepared)
    assert (state.status, state.answer) == (PayoutStatus.UNKNOWN, {"reason": reason})


def test_a_look_up_with_broken_settings_is_unknown_not_failed(eth: Chain, token: str) -> None:
    request = payout()
    prepared = gateway(eth, token).prepare_payout(request)
    state = gateway(eth, token, chain_id=None).fetch_payout(request, prepared)
    assert state.status is PayoutStatus.UNKNOWN
    assert state.answer == {"reason": "chain_id must be a whole number"}
