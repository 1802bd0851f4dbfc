"""Tether on a real node: deposits through reorgs."""

from __future__ import annotations

from decimal import Decimal

import pytest

from kauri.common import evm
from kauri.payment_provider.gateway import (
    Block,
    ConfigError,
    IncomingTransfer,
    Rejected,
    Retryable,
)
from kauri.payment_provider.gateways.evm_erc20 import EvmErc20, ReorgDuringScan
from tests.kauri.payment_provider.gateways.evm_setup import CUSTOMER, SECOND, gateway
from tests.nodes import FAUCET, HOT_ADDRESS, OTHER, SUPPLY, Chain, Middleman


def block(chain: Chain, height: int) -> Block:
    answer = chain.rpc.call("eth_getBlockByNumber", hex(height), False)
    return Block(height, answer["hash"], answer["parentHash"])


def short(transfers: tuple[IncomingTransfer, ...]) -> list[tuple[str, str, str, Decimal]]:
    return [(t.transaction, t.ordinal, t.address, t.amount) for t in transfers]


def test_a_deposit_is_seen_once_in_its_block(eth: Chain) -> None:
    token = eth.deploy_token()
    start = block(eth, eth.height())
    name = eth.send_tokens(token, CUSTOMER, 25_500_001)
    eth.mine(3)

    scan = gateway(eth, token).scan_incoming(start, 10)

    assert [b.height for b in scan.blocks] == [start.height + 1, start.height + 2, start.height + 3]
    assert scan.blocks[0].parent_hash == start.hash
    assert scan.head == start.height + 3
    assert scan.transfers == (
        IncomingTransfer(
            transaction=name,
            ordinal="0",
            address=CUSTOMER,
            currency="USDT",
            amount=Decimal("25.500001"),
            block=scan.blocks[0],
            sender=FAUCET,
        ),
    )
    assert gateway(eth, token).scan_incoming(scan.blocks[-1], 10).blocks == ()


def test_without_a_cursor_the_scan_starts_at_the_head(eth: Chain) -> None:
    token = eth.deploy_token()
    eth.send_tokens(token, CUSTOMER, 1)
    eth.mine(1)
    earlier = eth.send_tokens(token, CUSTOMER, 2)
    eth.mine(1)

    scan = gateway(eth, token).scan_incoming(None, 10)

    assert scan.blocks == (block(eth, eth.height()),)
    assert short(scan.transfers) == [(earlier, "0", CUSTOMER, Decimal("0.000002"))]


def test_a_deposit_keeps_its_name_when_a_reorg_moves_it_behind_another(eth: Chain) -> None:
    token = eth.deploy_token()
    eth.send_tokens(token, OTHER, 10)
    eth.mine()
    start = block(eth, eth.height())
    deposit = eth.send_tokens(token, CUSTOMER, 7_000_000)
    eth.mine()
    raw = eth.raw(deposit)
    before = gateway(eth, token).scan_incoming(start, 10)
    other = eth.send_tokens(token, SECOND, 1, sender=OTHER)
    eth.mine()
    raw_other = eth.raw(other)
    assert eth.receipt(deposit)["logs"][0]["logIndex"] == "0x0"

    eth.reorg(2, (raw_other, 0), (raw, 0))

    assert eth.receipt(deposit)["logs"][0]["logIndex"] == "0x1"
    after = gateway(eth, token).scan_incoming(start, 10)
    assert short(before.transfers) == [(deposit, "0", CUSTOMER, Decimal("7.000000"))]
    assert short(after.transfers) == [
        (other, "0", SECOND, Decimal("0.000001")),
        (deposit, "0", CUSTOMER, Decimal("7.000000")),
    ]
    assert before.blocks[0].hash != after.blocks[0].hash


def test_an_orphaned_deposit_is_gone_and_its_block_has_another_hash(eth: Chain) -> None:
    token = eth.deploy_token()
    start = block(eth, eth.height())
    eth.send_tokens(token, CUSTOMER, 5)
    eth.mine(2)
    adapter = gateway(eth, token)
    [seen] = adapter.scan_incoming(start, 10).transfers

    eth.reorg(2)

    now = adapter.block_at(seen.block.height)
    assert now is not None
    assert now.hash != seen.block.hash
    assert now.parent_hash == start.hash
    assert adapter.scan_incoming(start, 10).transfers == ()


def test_when_the_chain_becomes_shorter_there_is_nothing_above(eth: Chain) -> None:
    token = eth.deploy_token()
    eth.mine(3)
    cursor = block(eth, eth.height())
    eth.rpc.call("anvil_rollback", 2)
    adapter = gateway(eth, token)

    scan = adapter.scan_incoming(cursor, 10)

    assert (scan.blocks, scan.transfers, scan.head) == ((), (), cursor.height - 2)
    assert adapter.block_at(cursor.height) is None
    assert adapter.block_at(-1) is None


def test_a_reverted_transfer_is_no_deposit(eth: Chain) -> None:
    token = eth.deploy_token()
    start = block(eth, eth.height())
    name = eth.send_tokens(token, CUSTOMER, SUPPLY + 1)
    eth.mine()
    assert eth.receipt(name)["status"] == "0x0"
    assert gateway(eth, token).scan_incoming(start, 10).transfers == ()


def test_the_amount_is_what_arrived_not_what_was_called(eth: Chain) -> None:
    token = eth.deploy_token()
    eth.fund(token, OTHER, units=10_000_000)
    eth.command(token, "setParams(uint256,uint256)", 100, 50_000)
    start = block(eth, eth.height())
    name = eth.send_tokens(token, CUSTOMER, 3_000_000, sender=OTHER)
    eth.mine()

    scan = gateway(eth, token).scan_incoming(start, 10)

    assert short(scan.transfers) == [
        (name, "0", FAUCET, Decimal("0.030000")),
        (name, "1", CUSTOMER, Decimal("2.970000")),
    ]


def test_two_deposits_in_one_transaction_are_two(eth: Chain) -> None:
    token = eth.deploy_token()
    payer = eth.deploy("TestPayer")
    eth.fund(token, payer, units=10)
    start = block(eth, eth.height())
    arguments: list[int | str] = [token, 0x60, 0xC0, 2, CUSTOMER, CUSTOMER, 2, 3, 3]
    name = eth.transact(to=payer, data=evm.call_data("payAll(address,address[],uint256[])", *arguments))
    eth.mine()

    scan = gateway(eth, token).scan_incoming(start, 10)

    assert short(scan.transfers) == [
        (name, "0", CUSTOMER, Decimal("0.000003")),
        (name, "1", CUSTOMER, Decimal("0.000003")),
    ]


def test_another_token_is_not_ours(eth: Chain) -> None:
    token, other = eth.deploy_token(), eth.deploy_token()
    start = block(eth, eth.height())
    eth.send_tokens(other, CUSTOMER, 1_000_000)
    eth.mine()
    assert gateway(eth, token).scan_incoming(start, 10).transfers == ()
    assert len(gateway(eth, other).scan_incoming(start, 10).transfers) == 1


def test_a_transfer_of_nothing_is_left_out_but_counted(eth: Chain) -> None:
    token = eth.deploy_token()
    payer = eth.deploy("TestPayer")
    eth.fund(token, payer, units=10)
    start = block(eth, eth.height())
    arguments: list[int | str] = [token, 0x60, 0xC0, 2, CUSTOMER, CUSTOMER, 2, 0, 4]
    name = eth.transact(to=payer, data=evm.call_data("payAll(address,address[],uint256[])", *arguments))
    eth.mine()
    scan = gateway(eth, token).scan_incoming(start, 10)
    assert short(scan.transfers) == [(name, "1", CUSTOMER, Decimal("0.000004"))]


@pytest.mark.parametrize(("limit", "cap", "blocks"), [(4, 50, 4), (50, 3, 3)])
def test_a_batch_is_capped_and_ends_before_the_head(eth: Chain, limit: int, cap: int, blocks: int) -> None:
    token = eth.deploy_token()
    start = block(eth, eth.height())
    eth.mine(12)
    last = eth.send_tokens(token, CUSTOMER, 9)
    eth.mine()
    adapter = gateway(eth, token, scan_blocks=cap)

    first = adapter.scan_incoming(start, limit)
    assert len(first.blocks) == blocks
    assert first.head == start.height + 13

    cursor, found = first.blocks[-1], list(first.transfers)
    while cursor.height < first.head:
        scan = adapter.scan_incoming(cursor, limit)
        cursor = scan.blocks[-1]
        found += scan.transfers
    assert [t.transaction for t in found] == [last]


def test_a_reorg_in_mid_scan_is_retryable(eth: Chain, middleman: Middleman) -> None:
    token = eth.deploy_token()
    start = block(eth, eth.height())
    eth.send_tokens(token, CUSTOMER, 5)
    eth.mine(2)

    def reorganise_first(_params: object) -> None:
        middleman.replaced.clear()
        eth.reorg(2)

    middleman.replaced["eth_getLogs"] = reorganise_first
    with pytest.raises(ReorgDuringScan, match=rf"^block {start.height + 1} cannot be read any more"):
        gateway(eth, token, rpc_url=middleman.url).scan_incoming(start, 10)
    assert issubclass(ReorgDuringScan, Retryable)


def test_blocks_of_two_chains_are_not_mixed(eth: Chain, middleman: Middleman) -> None:
    token = eth.deploy_token()
    start = block(eth, eth.height())
    eth.send_tokens(token, CUSTOMER, 5)  # two empty blocks of one second would be the same block
    eth.mine(2)
    lower = eth.rpc.call("eth_getBlockByNumber", hex(start.height + 1), False)
    eth.reorg(2)

    def old_one(params: list[object]) -> dict[str, object] | None:
        return {"result": lower} if params[0] == hex(start.height + 1) else None

    middleman.replaced["eth_getBlockByNumber"] = old_one
    with pytest.raises(ReorgDuringScan, match=r"has another parent$"):
        gateway(eth, token, rpc_url=middleman.url).scan_incoming(start, 10)


@pytest.mark.parametrize(
    "spoil",
    [
        {"topics": []},
        {"data": "0x"},
        {"data": 5},
        {"logIndex": None},
        {"address": OTHER},
        {"topics": ["0x" + "00" * 32] * 3},
    ],
)
def test_logs_that_make_no_sense_credit_nobody(
    eth: Chain, middleman: Middleman, spoil: dict[str, object]
) -> None:
    token = eth.deploy_token()
    start = block(eth, eth.height())
    name = eth.send_tokens(token, CUSTOMER, 5)
    eth.mine()
    log = {**eth.receipt(name)["logs"][0], **spoil}
    middleman.replace("eth_getLogs", result=[log])
    with pytest.raises(Retryable, match=r"logs of block \d+ are not readable$"):
        gateway(eth, token, rpc_url=middleman.url).scan_incoming(start, 10)


def test_the_wrong_chain_is_neither_scanned_nor_healthy(eth: Chain) -> None:
    token = eth.deploy_token()
    adapter = gateway(eth, token, chain_id=1)
    words = "the node serves chain 31337, the settings name 1"
    with pytest.raises(ConfigError, match=f"^{words}$"):
        adapter.scan_incoming(None, 1)
    with pytest.raises(ConfigError, match=f"^{words}$"):
        adapter.next_nonce(HOT_ADDRESS)
    with pytest.raises(ConfigError, match=f"^{words}$"):
        adapter.fetch_balances()
    with pytest.raises(ConfigError, match=f"^{words}$"):
        adapter.block_at(0)
    health = adapter.check_health()
    assert (health.ok, health.detail) == (False, words)


def test_wrong_decimals_stop_the_scan(eth: Chain) -> None:
    token = eth.deploy_token()
    adapter = gateway(eth, token, token_decimals=18)
    with pytest.raises(ConfigError, match=r"^the token has 6 decimals, the settings say 18$"):
        adapter.scan_incoming(None, 1)
    assert adapter.check_health().ok is False


def test_health_and_balances(eth: Chain, middleman: Middleman) -> None:
    token = eth.deploy_token()
    eth.fund(token, HOT_ADDRESS, units=1_234_567, wei=5 * 10**17)
    adapter = gateway(eth, token, signs=False, rpc_url=middleman.url)

    health = adapter.check_health()
    assert (health.ok, health.detail) == (
        True,
        f"chain 31337, block {eth.height()}, hot wallet {HOT_ADDRESS}",
    )
    balances = [(b.currency, b.amount) for b in adapter.fetch_balances()]
    assert balances == [("USDT", Decimal("1.234567")), ("ETH", Decimal("0.500000000000000000"))]

    middleman.replace("eth_syncing", result={"currentBlock": "0x1", "highestBlock": "0x9"})
    assert adapter.check_health().detail == "the node is catching up with the chain"
    assert gateway(eth, OTHER).check_health().detail == "there is no contract at token_address"


def test_a_head_dated_ahead_is_not_old(eth: Chain) -> None:
    token = eth.deploy_token()
    head = eth.rpc.call("eth_getBlockByNumber", "latest", False)
    eth.rpc.call("evm_setNextBlockTimestamp", evm.quantity(head["timestamp"]) + 1_000_000)
    eth.mine()
    assert gateway(eth, token, max_head_age_seconds=60).check_health().ok is True


def test_an_old_head_is_ill(eth: Chain, middleman: Middleman) -> None:
    token = eth.deploy_token()
    head = eth.rpc.call("eth_getBlockByNumber", "latest", False)
    middleman.replace("eth_getBlockByNumber", result={**head, "timestamp": hex(1_700_000_000)})
    health = gateway(eth, token, rpc_url=middleman.url, max_head_age_seconds=60).check_health()
    assert health.ok is False
    assert health.detail.startswith(f"the node's newest block {eth.height()} is ")
    assert gateway(eth, token, rpc_url=middleman.url, max_head_age_seconds=0).check_health().ok is True


def test_the_hot_address_is_the_settings(eth: Chain) -> None:
    token = eth.deploy_token()
    assert gateway(eth, token, hot_address="").hot_address() == ""
    assert gateway(eth, token, hot_address=HOT_ADDRESS.lower()).hot_address() == HOT_ADDRESS
    adapter = gateway(eth, token, hot_address="0x12")
    with pytest.raises(ConfigError, match=r"^hot_address: an address is 0x and 40 hexadecimal digits$"):
        adapter.hot_address()
    assert adapter.check_health().ok is False


GOOD = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"


@pytest.mark.parametrize(
    ("text", "canonical"),
    [(GOOD, GOOD), (GOOD.lower(), GOOD), (f" {GOOD}\n", GOOD)],
)
def test_a_good_destination_becomes_canonical(text: str, canonical: str) -> None:
    assert offline().validate_destination("USDT", text) == canonical


@pytest.mark.parametrize(
    ("currency", "text", "words"),
    [
        ("USDT", GOOD.replace("5aA", "5AA"), "the address has a typing error"),
        ("USDT", GOOD[:2] + GOOD[2:].upper(), "the address has a typing error"),
        ("USDT", GOOD[:-1], "an address is 0x and 40 hexadecimal digits"),
        ("USDT", GOOD + "0", "an address is 0x and 40 hexadecimal digits"),
        ("USDT", GOOD[2:], "an address is 0x and 40 hexadecimal digits"),
        ("USDT", "", "an address is 0x and 40 hexadecimal digits"),
        ("USDT", evm.ZERO_ADDRESS, "the zero address belongs to nobody"),
        ("USDT", OTHER.lower(), "this is the token's own address"),
        ("USDT", HOT_ADDRESS, "this is the address that payouts leave from"),
        ("ETH", GOOD, "this chain pays USDT, not ETH"),
    ],
)
def test_a_bad_destination_is_rejected(currency: str, text: str, words: str) -> None:
    with pytest.raises(Rejected, match=f"^{words}"):
        offline().validate_destination(currency, text)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("rpc_url", ""),
        ("rpc_url", "ftp://node"),
        ("chain_id", None),
        ("chain_id", 1.5),
        ("token_address", "0x12"),
        ("token_decimals", 19),
        ("max_fee_gwei", 0.5),
        ("max_fee_gwei", "0"),
        ("max_fee_gwei", "NaN"),
        ("fee_bump_percent", "10"),
        ("confirmations", 0),
        ("hot_address", "0x12"),
    ],
)
def test_a_bad_setting_is_named_and_nothing_is_asked(name: str, value: object) -> None:
    adapter = offline(**{name: value})
    assert [c.currency for c in adapter.capabilities()] == ["USDT", "USDT"]
    health = adapter.check_health()
    assert health.ok is False
    assert health.detail.startswith(name)


def offline(**settings: object) -> EvmErc20:
    """An adapter whose node nobody asks."""
    return gateway(None, OTHER, signs=False, **settings)
