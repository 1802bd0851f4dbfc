"""Tether on a real node: what is refused before it is signed, and what refusals mean afterwards."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from kauri.common import evm
from kauri.payment_provider.gateway import (
    ConfigError,
    InsufficientFloat,
    OutcomeUnknown,
    PayoutStatus,
    Rejected,
    Retryable,
)
from kauri.payment_provider.gateways.evm_erc20 import EvmErc20
from tests.kauri.payment_provider.gateways.evm_setup import (
    AMOUNT,
    CUSTOMER,
    FLOAT,
    gateway,
    payout,
)
from tests.nodes import FAUCET, HOT_ADDRESS, OTHER, SUPPLY, Chain, Middleman

# -- refusals before anything is signed -----------------------------------------------------------


def test_paused_blacklisted_and_swallowed_payments_are_rejected(
    eth: Chain, token: str, adapter: EvmErc20
) -> None:
    def reason() -> str:
        with pytest.raises(Rejected) as caught:
            adapter.prepare_payout(payout())
        return str(caught.value)

    eth.command(token, "setBlackListed(address,bool)", CUSTOMER, 1)
    assert reason() == "the destination is blacklisted by the token's issuer"
    eth.command(token, "setBlackListed(address,bool)", HOT_ADDRESS, 1)
    assert reason() == "the token's issuer has blacklisted the hot wallet"
    eth.command(token, "setPaused(bool)", 1)
    assert reason() == "the token is paused by its issuer"
    eth.command(token, "setPaused(bool)", 0)
    for address in (CUSTOMER, HOT_ADDRESS):
        eth.command(token, "setBlackListed(address,bool)", address, 0)
    assert adapter.prepare_payout(payout()).nonce == 0


def test_a_revert_is_rejected_with_its_reason(eth: Chain, token: str, middleman: Middleman) -> None:
    adapter = gateway(eth, token, rpc_url=middleman.url)
    data = "0x08c379a0" + evm.word(32) + evm.word(7) + b"no, sir".hex().ljust(64, "0")
    error = {"code": 3, "message": "execution reverted", "data": data}
    middleman.replace("eth_estimateGas", error=error)
    with pytest.raises(Rejected, match=r"^the contract refuses the transfer \(no, sir\)$"):
        adapter.prepare_payout(payout())
    middleman.replace("eth_estimateGas", error={**error, "data": "0x"})
    with pytest.raises(Rejected, match=r"^the contract refuses the transfer$"):
        adapter.prepare_payout(payout())
    middleman.replace("eth_estimateGas", error={"code": -32603, "message": "internal error"})
    with pytest.raises(Retryable, match=r"^the node cannot try the transfer \(-32603: internal error\)$"):
        adapter.prepare_payout(payout())


def test_a_token_that_answers_false_refuses(eth: Chain, token: str, middleman: Middleman) -> None:
    adapter = gateway(eth, token, rpc_url=middleman.url)

    def answer_false(params: list[dict[str, str]]) -> dict[str, object] | None:
        return {"result": "0x" + "0" * 64} if params[0]["data"].startswith("0xa9059cbb") else None

    middleman.replaced["eth_call"] = answer_false
    with pytest.raises(Rejected, match=r"\(it returns false\)$"):
        adapter.prepare_payout(payout())


def test_a_token_fee_stops_payouts_unless_it_is_allowed(eth: Chain, token: str) -> None:
    eth.command(token, "setParams(uint256,uint256)", 10, 1_000_000)
    with pytest.raises(ConfigError, match=r"^the token now takes a fee"):
        gateway(eth, token).prepare_payout(payout())
    allowed = gateway(eth, token, allow_token_fee=True)
    request = payout()
    prepared = allowed.prepare_payout(request)
    allowed.send_payout(request, prepared)
    eth.mine(2)
    assert allowed.fetch_payout(request, prepared).status is PayoutStatus.CONFIRMED
    assert eth.token_balance(token, CUSTOMER) == AMOUNT - AMOUNT // 1000


def test_too_few_tokens_or_too_little_ether_is_a_float_matter(
    eth: Chain, token: str, adapter: EvmErc20
) -> None:
    with pytest.raises(InsufficientFloat, match=r"^the paying address holds less USDT than the payout$"):
        adapter.prepare_payout(payout(amount="100.000001"))
    assert adapter.prepare_payout(payout(amount="100")).nonce == 0
    eth.rpc.call("anvil_setBalance", HOT_ADDRESS, hex(10**12))
    with pytest.raises(InsufficientFloat, match=r"^the paying address holds too little ETH for the fee$"):
        adapter.prepare_payout(payout())


def test_tokens_that_are_on_their_way_out_are_not_counted_twice(
    eth: Chain, token: str, adapter: EvmErc20
) -> None:
    first = adapter.prepare_payout(payout(0, "60"))
    adapter.send_payout(payout(0, "60"), first)
    with pytest.raises(InsufficientFloat):
        adapter.prepare_payout(payout(1, "60"))
    assert adapter.prepare_payout(payout(1, "40")).nonce == 1
    assert eth.token_balance(token, HOT_ADDRESS) == FLOAT


def test_ether_that_went_missing_after_signing_is_a_float_matter(
    eth: Chain, token: str, adapter: EvmErc20
) -> None:
    request = payout()
    prepared = adapter.prepare_payout(request)
    eth.rpc.call("anvil_setBalance", HOT_ADDRESS, hex(10**12))
    with pytest.raises(InsufficientFloat, match=r"^the hot wallet cannot pay the network's fee$"):
        adapter.send_payout(request, prepared)
    eth.rpc.call("anvil_setBalance", HOT_ADDRESS, hex(10**18))
    assert adapter.send_payout(request, prepared).status is PayoutStatus.PENDING
    eth.mine()
    assert eth.token_balance(token, CUSTOMER) == AMOUNT


@pytest.mark.parametrize(
    ("setting", "value", "words"),
    [
        ("token_decimals", 18, "the token has 6 decimals, the settings say 18"),
        ("token_decimals", 2, "the token has 6 decimals, the settings say 2"),
        ("chain_id", 1, "the node serves chain 31337, the settings name 1"),
    ],
)
def test_settings_that_do_not_fit_the_node_sign_nothing(
    eth: Chain, token: str, setting: str, value: Any, words: str
) -> None:
    # With other decimals the float would still be enough: nothing but the check stands in the way.
    eth.rpc.call("anvil_setBalance", HOT_ADDRESS, hex(10**18))
    amount = "0.00000000000001" if value == 18 else "1"
    wrong = gateway(eth, token, **{setting: value})
    with pytest.raises(ConfigError, match=f"^{words}$"):
        wrong.prepare_payout(payout(amount=amount))


def test_a_token_that_wants_too_much_gas_is_not_paid(eth: Chain, token: str, middleman: Middleman) -> None:
    adapter = gateway(eth, token, rpc_url=middleman.url, max_gas=100_000)
    middleman.replace("eth_estimateGas", result=hex(80_001))
    with pytest.raises(ConfigError, match=r"^the transfer needs 100001 gas, more than max_gas allows$"):
        adapter.prepare_payout(payout())
    middleman.replace("eth_estimateGas", result=hex(80_000))
    assert adapter.prepare_payout(payout()).nonce == 0


def test_above_the_fee_cap_nothing_is_signed(eth: Chain, token: str, adapter: EvmErc20) -> None:
    eth.rpc.call("anvil_setNextBlockBaseFeePerGas", hex(60 * 10**9))
    eth.mine()
    with pytest.raises(Retryable, match=r"^the network's fee is above the cap of 50 gwei$"):
        adapter.prepare_payout(payout())
    prepared = gateway(eth, token, max_fee_gwei="70").prepare_payout(payout())
    gateway(eth, token).send_payout(payout(), prepared)
    known = eth.rpc.call("eth_getTransactionByHash", prepared.provider_reference)
    assert evm.quantity(known["maxFeePerGas"]) == 70 * 10**9


def test_a_fee_that_became_too_small_is_tried_again(eth: Chain, token: str, adapter: EvmErc20) -> None:
    request = payout()
    prepared = adapter.prepare_payout(request)
    eth.rpc.call("anvil_setNextBlockBaseFeePerGas", hex(400 * 10**9))
    eth.mine()
    with pytest.raises(Retryable, match=r"^the node does not accept it now"):
        adapter.send_payout(request, prepared)
    assert adapter.fetch_payout(request, prepared).status is PayoutStatus.NOT_FOUND
    assert eth.token_balance(token, CUSTOMER) == 0


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"amount": Decimal("0.0000001")}, Rejected, "more than 6 digits behind the point"),
        ({"amount": Decimal(0)}, Rejected, "the amount must be greater than zero"),
        ({"amount": Decimal(-1)}, Rejected, "the amount must be greater than zero"),
        ({"currency": "ETH"}, Rejected, "this chain pays USDT, not ETH"),
        ({"destination": "nobody"}, Rejected, "an address is 0x and 40 hexadecimal digits"),
        ({"nonce": None}, ConfigError, "the caller gave no nonce"),
        ({"source_address": OTHER}, ConfigError, "the payout's nonce belongs to another address"),
    ],
)
def test_a_request_that_makes_no_sense_is_not_signed(
    adapter: EvmErc20, changes: dict[str, Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=f"^{words}"):
        adapter.prepare_payout(payout(**changes))


def test_only_the_key_signs_and_all_the_rest_works_without_it(
    eth: Chain, token: str, adapter: EvmErc20
) -> None:
    request = payout()
    prepared = adapter.prepare_payout(request)
    keyless = gateway(eth, token, signs=False)
    with pytest.raises(ConfigError, match=r"^this process has no signer$"):
        keyless.prepare_payout(request)
    assert keyless.send_payout(request, prepared).status is PayoutStatus.PENDING
    eth.mine(2)
    assert keyless.fetch_payout(request, prepared).status is PayoutStatus.CONFIRMED


def test_a_signer_with_other_keys_is_seen_before_anything_is_sent(eth: Chain, token: str) -> None:
    eth.fund(token, OTHER, units=FLOAT)
    with pytest.raises(ConfigError, match=r"^the signer's keys are not those of the settings' addresses$"):
        gateway(eth, token, hot_address=OTHER).prepare_payout(payout(source_address=OTHER))


# -- other nodes' words -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("already known", PayoutStatus.PENDING),
        ("AlreadyKnown", PayoutStatus.PENDING),
        ("Known transaction", PayoutStatus.PENDING),
        ("nonce too low: next nonce 9, tx nonce 0", PayoutStatus.UNKNOWN),
        ("OldNonce, Current nonce: 9, nonce of rejected tx: 0", PayoutStatus.UNKNOWN),
        ("insufficient funds for gas * price + value: balance 0, tx cost 1", InsufficientFloat),
        ("Upfront cost exceeds account balance", InsufficientFloat),
        ("replacement transaction underpriced", Retryable),
        ("transaction underpriced: gas tip cap 0, minimum needed 1", Retryable),
        ("txpool is full", Retryable),
        ("max fee per gas less than block base fee", Retryable),
        ("invalid chain id for signer", ConfigError),
        ("intrinsic gas too low", ConfigError),
        ("tx fee (1.20 ether) exceeds the configured cap (1.00 ether)", ConfigError),
        ("unknown transaction type", OutcomeUnknown),
        ("internal error", OutcomeUnknown),
        ("", OutcomeUnknown),
    ],
)
def test_a_refusal_is_never_more_than_it_says(
    eth: Chain, token: str, middleman: Middleman, message: str, expected: object
) -> None:
    adapter = gateway(eth, token, rpc_url=middleman.url)
    request = payout()
    prepared = adapter.prepare_payout(request)
    middleman.replace("eth_sendRawTransaction", error={"code": -32000, "message": message})
    if isinstance(expected, PayoutStatus):
        assert adapter.send_payout(request, prepared).status is expected
    else:
        assert isinstance(expected, type)
        assert issubclass(expected, Exception)
        with pytest.raises(expected) as caught:
            adapter.send_payout(request, prepared)
        assert caught.type is expected


def test_a_refusal_and_then_silence_is_unknown(eth: Chain, token: str, middleman: Middleman) -> None:
    adapter = gateway(eth, token, rpc_url=middleman.url)
    request = payout()
    prepared = adapter.prepare_payout(request)
    middleman.replace("eth_sendRawTransaction", error={"code": -32000, "message": "nonce too low"})
    middleman.lost.add("eth_getTransactionReceipt")
    with pytest.raises(OutcomeUnknown, match=r"and then fell silent$"):
        adapter.send_payout(request, prepared)


def test_a_node_that_names_the_transaction_otherwise_is_unknown(
    eth: Chain, token: str, middleman: Middleman
) -> None:
    adapter = gateway(eth, token, rpc_url=middleman.url)
    prepared = adapter.prepare_payout(payout())
    middleman.replace("eth_sendRawTransaction", result="0x" + "ab" * 32)
    with pytest.raises(OutcomeUnknown):
        adapter.send_payout(payout(), prepared)


def test_a_stranger_with_all_tokens_is_no_float(eth: Chain, token: str, adapter: EvmErc20) -> None:
    assert eth.token_balance(token, FAUCET) == SUPPLY - FLOAT
    with pytest.raises(InsufficientFloat):
        adapter.prepare_payout(payout(amount="1000"))
