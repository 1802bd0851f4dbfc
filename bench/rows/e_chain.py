"""Following a chain beside what its node can tell at all, and giving out deposit addresses."""

from __future__ import annotations

import json
import os
import signal
import socket
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import quantiles

from bench.house import House
from bench.row import Row, rows
from compose.local import anvil, chain
from kauri.account.models import User
from kauri.common import evm
from kauri.common.jsonrpc import Call, JsonRpc, NoAnswer, NotSent
from kauri.core.models import Network, Provider
from kauri.deposit_order.services import deposits_scan
from kauri.payment_provider.models import ChainBlock, Payin
from kauri.signer import ethereum
from kauri.signer.keystore import FileKeyStore, make_phrase
from kauri.wallet.foreign import STRETCH, foreign_watch
from kauri.wallet.models import DepositAddress, ForeignToken
from kauri.wallet.services import Asked, address_assign, pool_fill

BLOCKS = 20
TRANSFERS = 100
EMPTY = 400
ASKED = 100
WATCHED = 20_000
FLOOD = 500


@rows()
def scanner(house: House) -> Iterator[Row]:
    """Blocks and events a second of the whole scan (read, matched, written, orders opened), and of the bare reads."""
    with _node() as (url, rpc):
        provider, token = _provider(url)
        places = [_address(provider, customer) for customer in house.customers[:ASKED]]
        deposits_scan(provider.pk)
        start = evm.quantity(rpc.call("eth_blockNumber"))
        for _ in range(BLOCKS):
            for place in places[:TRANSFERS]:
                data = evm.call_data("transfer(address,uint256)", place, 5_000_000)
                fields = {"from": chain.FAUCET, "to": token, "gas": hex(100_000), "data": data}
                rpc.call("eth_sendTransaction", fields)
            rpc.call("anvil_mine", hex(1))
        limit = _timed(lambda: _bare(rpc, token, start + 1, start + BLOCKS))
        ours = _timed(lambda: deposits_scan(provider.pk))
        events = BLOCKS * TRANSFERS
        assert Payin.objects.filter(provider=provider).count() == events
        yield Row(
            "scanner: events found, written and opened / read", "per second", events / ours, events / limit
        )
        rpc.call("anvil_mine", hex(BLOCKS))
        credited = _timed(lambda: deposits_scan(provider.pk))
        assert Payin.objects.filter(provider=provider, state=Payin.State.CREDITED).count() == events
        yield Row("scanner: deposits credited", "per second", events / credited)
        start = evm.quantity(rpc.call("eth_blockNumber"))
        rpc.call("anvil_mine", hex(EMPTY))
        limit = _timed(lambda: _bare(rpc, token, start + 1, start + EMPTY))
        ours = _timed(lambda: deposits_scan(provider.pk))
        top = ChainBlock.objects.filter(provider=provider).first()
        assert top is not None
        assert top.height == start + EMPTY
        yield Row("scanner: empty blocks followed / read", "per second", EMPTY / ours, EMPTY / limit)
        yield from _hand_out(house, provider)
        yield from _foreign(provider, rpc)


def _foreign(provider: Provider, rpc: JsonRpc) -> Iterator[Row]:
    """Looking for foreign tokens over many addresses: what a look costs when there is nothing, and with a flood."""
    provider.settings = {**provider.settings, "watch_foreign_tokens": True}
    provider.save()
    network = Network.objects.get(code="erc20")
    user = User.objects.order_by("pk").first()
    DepositAddress.objects.bulk_create(
        DepositAddress(
            provider=provider,
            network=network,
            currency_id=network.currency_id,
            address=evm.checksum(number.to_bytes(20)),
            index=10**9 + number,
            user=user,
        )
        for number in range(10**6, 10**6 + WATCHED)
    )
    foreign_watch(provider.pk)
    rpc.call("anvil_mine", hex(STRETCH))
    deposits_scan(provider.pk)
    empty = _timed(lambda: foreign_watch(provider.pk))
    yield Row(
        "foreign tokens: 200 blocks looked through, nothing there", "addresses per second", WATCHED / empty
    )
    token = evm.to_address(rpc.call("eth_getTransactionReceipt", _deploy(rpc))["contractAddress"])
    for place in DepositAddress.objects.filter(provider=provider, index__gt=10**9)[:FLOOD]:
        data = evm.call_data("transfer(address,uint256)", place.address, 5)
        fields = {"from": chain.FAUCET, "to": token, "gas": hex(100_000), "data": data}
        rpc.call("eth_sendTransaction", fields)
    rpc.call("anvil_mine", hex(STRETCH))
    deposits_scan(provider.pk)
    flood = _timed(lambda: foreign_watch(provider.pk))
    assert ForeignToken.objects.filter(provider=provider).count() == FLOOD
    yield Row("foreign tokens: the same with a flood of them", "rows per second", FLOOD / flood)


def _deploy(rpc: JsonRpc) -> str:
    artifact = json.loads(chain.TOKEN_FILE.read_text())
    data = artifact["bytecode"] + evm.word(chain.SUPPLY)
    name = rpc.call("eth_sendTransaction", {"from": chain.FAUCET, "gas": hex(chain.GAS), "data": data})
    rpc.call("anvil_mine", hex(1))
    return str(name)


def _hand_out(house: House, provider: Provider) -> Iterator[Row]:
    people = iter(house.customers[ASKED : 3 * ASKED])
    for name, warm in (("warm", True), ("cold", False)):
        times = []
        for _ in range(ASKED):
            DepositAddress.objects.filter(provider=provider, user__isnull=True).delete()
            if warm:
                pool_fill(provider.pk)
            customer = next(people)
            times.append(_timed(lambda who=customer: _address(provider, who)) * 1000)
        cuts = quantiles(times, n=100)
        yield Row(f"deposit address, pool {name}: p99", "ms", cuts[98], other={"p50": round(cuts[49], 2)})


def _address(provider: Provider, customer: int) -> str:
    network = Network.objects.select_related("currency").get(code="erc20")
    user = User.objects.get(pk=customer)
    return address_assign(
        user=user, currency=network.currency, network=network, provider=provider, asked=Asked()
    ).address


def _bare(rpc: JsonRpc, token: str, first: int, last: int) -> None:
    """The reads that no scanner can do without: each block's header, and its logs by its hash."""
    heights = range(first, last + 1)
    heads = rpc.batch([Call("eth_getBlockByNumber", (hex(height), False)) for height in heights])
    filters = [
        {"blockHash": head["hash"], "address": token, "topics": [evm.TRANSFER_TOPIC]} for head in heads
    ]
    rpc.batch([Call("eth_getLogs", (one,)) for one in filters])


def _timed(act: Callable[[], object]) -> float:
    begun = time.perf_counter()
    act()
    return time.perf_counter() - begun


@contextmanager
def _node() -> Iterator[tuple[str, JsonRpc]]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    node = anvil.start(port, state=None, block_time=None, log=Path(tempfile.mkdtemp(), "anvil.log"))
    url = f"http://127.0.0.1:{port}"
    rpc = JsonRpc(url, batch_size=20)
    try:
        end = time.monotonic() + 30
        while True:
            try:
                rpc.call("eth_chainId")
                break
            except (NotSent, NoAnswer):
                if time.monotonic() > end:
                    raise
        yield url, rpc
    finally:
        rpc.close()
        os.killpg(node.pid, signal.SIGKILL)
        node.wait()


def _provider(url: str) -> tuple[Provider, str]:
    store = FileKeyStore(make_phrase())
    wallet = chain.Wallet(
        hot_address=ethereum.address(store, ethereum.HOT),
        gas_address=ethereum.address(store, ethereum.GAS),
        xpub=store.account_xpub(ethereum.DEPOSIT_ACCOUNT),
    )
    made = chain.prepare(url, Path(tempfile.mkdtemp(), "chain.json"), wallet)
    provider = Provider.objects.get(code="usdt-node")
    provider.settings = {
        **provider.settings,
        "rpc_url": url,
        "chain_id": anvil.CHAIN_ID,
        "token_address": made.token,
        "hot_address": made.hot_address,
        "xpub": made.xpub,
        "max_head_age_seconds": 0,
    }
    provider.is_enabled = True
    provider.save()
    return provider, made.token
