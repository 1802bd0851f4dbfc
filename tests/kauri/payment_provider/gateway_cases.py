"""What the contract test needs to know of each adapter. A new adapter needs an entry here; nothing else."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

from kauri.common import clock
from kauri.payment_provider.gateway import (
    Gateway,
    GatewayConfig,
    PayoutRequest,
    PayoutState,
    RawCallback,
    build,
)
from kauri.payment_provider.gateways.btc_chains import CHAINS
from kauri.payment_provider.gateways.sandbox import sign_callback
from tests.bitcoin_node import BitcoinChain
from tests.nodes import CHAIN_ID, HOT_ADDRESS, Chain, Middleman, free_port
from tests.signing import bitcoin, direct, ethereum


@dataclass(frozen=True, kw_only=True)
class Case:
    """One adapter, ready to be tried."""

    config: GatewayConfig
    payout: PayoutRequest  # one that goes well; its amount uses the last digit of the unit
    too_exact: Decimal  # an amount with one digit too many
    on_the_wire: str  # how the payout's amount stands in the prepared bytes
    good_destinations: Mapping[str, str]  # as written -> canonical
    bad_destinations: tuple[str, ...]
    secrets: tuple[str, ...]
    #: The same adapter, and a payout whose answer gets lost on the way back.
    lose_answer: Callable[[], tuple[Gateway, PayoutRequest]]
    #: The same adapter with nobody at the other end; None: there is no other end.
    unreachable: GatewayConfig | None
    #: Have the provider answer a look-up with a word that the adapter cannot know; return the state.
    strange_state: Callable[[], PayoutState]
    #: A signed callback with this status word; None: the provider sends none.
    callback: Callable[[str], RawCallback] | None = None
    callback_statuses: tuple[str, ...] = field(default=())
    #: What makes a second payout another one: its own nonce, its own coins.
    apart: Mapping[str, Any] = field(default_factory=dict)

    def gateway(self) -> Gateway:
        return build(self.config.code, self.config)


def evm_erc20(eth: Chain, middleman: Middleman) -> Case:
    token = eth.deploy_token()
    settings = {"token_address": token, "token_decimals": 6, "currency": "USDT", "network": "usdt-erc20"}
    return _evm("evm_erc20", settings, "12.345678", f"{12_345_678:064x}", (token,), eth, middleman)


def evm_eth(eth: Chain, middleman: Middleman) -> Case:
    settings = {"currency": "ETH", "network": "ethereum"}
    wei = f"{1_234_567_890_123_456_789:x}"
    return _evm("evm_eth", settings, "1.234567890123456789", wei, (), eth, middleman)


def _evm(
    code: str,
    own: dict[str, Any],
    amount: str,
    on_the_wire: str,
    no_destinations: tuple[str, ...],
    eth: Chain,
    middleman: Middleman,
) -> Case:
    token = own.get("token_address", "")
    eth.fund(token, HOT_ADDRESS, units=100_000_000 if token else 0, wei=5 * 10**18)
    url_secret = "n0de-api-key"
    settings = {
        **own,
        "chain_id": CHAIN_ID,
        "hot_address": HOT_ADDRESS,
        "max_head_age_seconds": 0,
        "rpc_timeout_seconds": 5,
    }
    credentials = {"rpc_url": f"{middleman.url}/v3/{url_secret}"}
    signer = direct(ethereum(*([token] if token else [])))
    config = GatewayConfig(code=code, settings=settings, credentials=credentials, signer=signer)
    address = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"
    request = PayoutRequest("ref-1", own["currency"], Decimal(amount), address, 0, HOT_ADDRESS)

    def lose_answer() -> tuple[Gateway, PayoutRequest]:
        middleman.lost.add("eth_sendRawTransaction")
        return build(config.code, config), request

    def strange_state() -> PayoutState:
        gateway = build(config.code, config)
        prepared = gateway.prepare_payout(request)
        gateway.send_payout(request, prepared)
        eth.mine()
        receipt = eth.receipt(prepared.provider_reference)
        middleman.replace("eth_getTransactionReceipt", result={**receipt, "status": "0x7"})
        return gateway.fetch_payout(request, prepared)

    nobody = f"http://127.0.0.1:{free_port()}/v3/{url_secret}"
    return Case(
        config=config,
        payout=request,
        too_exact=Decimal(amount + "1"),
        on_the_wire=on_the_wire,
        good_destinations={address: address, address.lower(): address},
        bad_destinations=("", "0x12", address.swapcase(), "0x" + "0" * 40, *no_destinations),
        secrets=(url_secret,),
        lose_answer=lose_answer,
        unreachable=replace(config, credentials={**credentials, "rpc_url": nobody}),
        strange_state=strange_state,
        apart={"nonce": 1},
    )


def btc_node(btc: BitcoinChain, middleman: Middleman) -> Case:
    url_secret = "r9c-passw0rd"
    url = middleman.url.replace("http://", f"http://kauri:{url_secret}@")
    config = GatewayConfig(
        code="btc_node",
        settings=btc.settings(rpc_timeout_seconds=5),
        credentials={"rpc_url": url},
        signer=direct(bitcoin(btc.parameters.coin_type)),
    )
    coins = btc.fund(build(config.code, config), "0.5", "0.6", "0.7")
    address = btc.stranger()
    request = PayoutRequest(
        "ref-1", "BTC", Decimal("0.12345678"), address, coins=coins[:1], change_path="1/0"
    )

    def lose_answer() -> tuple[Gateway, PayoutRequest]:
        middleman.lost.add("sendrawtransaction")
        return build(config.code, config), replace(request, coins=coins[2:])

    def strange_state() -> PayoutState:
        gateway = build(config.code, config)
        prepared = gateway.prepare_payout(request)
        middleman.replace("gettxout", result=None)
        return gateway.fetch_payout(request, prepared)

    other = next(chain for chain in CHAINS.values() if chain.hrp != btc.parameters.hrp)
    key = bytes.fromhex("0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798")
    nobody = f"http://kauri:{url_secret}@127.0.0.1:{free_port()}/"
    return Case(
        config=config,
        payout=request,
        too_exact=Decimal("0.123456789"),
        on_the_wire=(12_345_678).to_bytes(8, "little").hex(),
        good_destinations={address: address, address.upper(): address},
        bad_destinations=("", address[:-1], address.title(), other.address_of_key(key)),
        secrets=(url_secret,),
        lose_answer=lose_answer,
        unreachable=replace(config, credentials={"rpc_url": nobody}),
        strange_state=strange_state,
        apart={"coins": coins[1:2]},
    )


def sandbox(_eth: Chain, _middleman: Middleman) -> Case:
    secret = "s4ndbox-secret"
    config = GatewayConfig(code="sandbox", settings={}, credentials={"secret": secret})
    request = PayoutRequest("ref-1", "UAH", Decimal("12.34"), "4111111111111111")

    def callback(status: str) -> RawCallback:
        stamp = int(clock.now().timestamp())
        fields: dict[str, Any] = {
            "event": "payout",
            "reference": "ref-1",
            "provider_reference": "sbx-1",
            "status": status,
            "currency": "UAH",
            "amount": "12.34",
            "timestamp": stamp,
        }
        body = json.dumps(fields).encode()
        headers = {"x-sandbox-signature": sign_callback(secret, body, stamp)}
        return RawCallback("POST", "/callbacks/sandbox", "", headers, body, "192.0.2.1")

    def strange_state() -> PayoutState:
        gateway = build(config.code, config)
        odd = replace(request, destination="sandbox:strange")
        return gateway.fetch_payout(odd, gateway.prepare_payout(odd))

    return Case(
        config=config,
        payout=request,
        too_exact=Decimal("12.345"),
        on_the_wire='"12.34"',
        good_destinations={"4111 1111 1111 1111": "4111111111111111", "sandbox:lost": "sandbox:lost"},
        bad_destinations=("", "4111111111111112", "sandbox:no-such-thing"),
        secrets=(secret,),
        lose_answer=lambda: (build(config.code, config), replace(request, destination="sandbox:lost")),
        unreachable=None,
        strange_state=strange_state,
        callback=callback,
        callback_statuses=("success", "declined", "pending"),
    )


#: How a case is made, and the fixtures it is made of.
CASES: dict[str, Callable[[Any, Middleman], Case]] = {
    "btc_node": btc_node,
    "evm_erc20": evm_erc20,
    "evm_eth": evm_eth,
    "sandbox": sandbox,
}
#: Where a case's chain and the proxy before it come from, if not from anvil.
FIXTURES = {"btc_node": ("btc", "btc_middleman")}
