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
from kauri.payment_provider.gateways.sandbox import sign_callback
from tests.nodes import CHAIN_ID, HOT_ADDRESS, HOT_KEY, Chain, Middleman, free_port


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

    def gateway(self) -> Gateway:
        return build(self.config.code, self.config)


def evm_erc20(eth: Chain, middleman: Middleman) -> Case:
    token = eth.deploy_token()
    eth.fund(token, HOT_ADDRESS, units=100_000_000)
    url_secret = "n0de-api-key"
    settings = {
        "chain_id": CHAIN_ID,
        "token_address": token,
        "token_decimals": 6,
        "currency": "USDT",
        "network": "usdt-erc20",
        "hot_address": HOT_ADDRESS,
        "max_head_age_seconds": 0,
        "rpc_timeout_seconds": 5,
    }
    credentials = {"hot_key": HOT_KEY, "rpc_url": f"{middleman.url}/v3/{url_secret}"}
    config = GatewayConfig(code="evm_erc20", settings=settings, credentials=credentials)
    address = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"
    request = PayoutRequest("ref-1", "USDT", Decimal("12.345678"), address, 0, HOT_ADDRESS)

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
        too_exact=Decimal("12.3456789"),
        on_the_wire=f"{12_345_678:064x}",
        good_destinations={address: address, address.lower(): address},
        bad_destinations=("", "0x12", address.swapcase(), "0x" + "0" * 40, token),
        secrets=(HOT_KEY[2:], url_secret),
        lose_answer=lose_answer,
        unreachable=replace(config, credentials={**credentials, "rpc_url": nobody}),
        strange_state=strange_state,
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


CASES: dict[str, Callable[[Chain, Middleman], Case]] = {"evm_erc20": evm_erc20, "sandbox": sandbox}
