"""The demo's customers pay real test tokens on the local chain."""

from __future__ import annotations

import random
from decimal import Decimal
from typing import Any

from kauri.account.models import User
from kauri.common import evm
from kauri.common.jsonrpc import JsonRpc
from kauri.common.money import to_units
from kauri.core.models import Currency, Network, Provider
from kauri.deposit_order.services import deposits_scan
from kauri.wallet.services import address_assign


class DemoChain:
    """Sends tokens from the node's own rich account, mines, and lets the scanner find them."""

    def __init__(self, provider: Provider, known: dict[str, Any]) -> None:
        self.provider = provider
        self.network = Network.objects.get(code="erc20")
        self.currency = Currency.objects.get(code="USDT")
        self.known = known
        self.rpc = JsonRpc(provider.settings["rpc_url"])
        deposits_scan(provider.pk)  # the cursor starts at today's head

    def deposit(self, user: User, amount: Decimal) -> None:
        """The customer pays ``amount`` to their own address; three blocks later it is credited."""
        self._send(user, amount)
        self.rpc.call("anvil_mine", hex(self.network.confirmations))
        deposits_scan(self.provider.pk)

    def lost_deposit(self, user: User, amount: Decimal) -> None:
        """A deposit that the chain takes back before it was credited: it waits, and then expires."""
        self.rpc.call("anvil_mine", hex(self.network.confirmations))
        self._send(user, amount)
        self.rpc.call("anvil_mine", "0x1")
        deposits_scan(self.provider.pk)
        self.rpc.call("anvil_reorg", self.network.confirmations - 1, [])
        self.rpc.call("anvil_mine", hex(self.network.confirmations))
        deposits_scan(self.provider.pk)

    def _send(self, user: User, amount: Decimal) -> None:
        address = address_assign(
            user=user, currency=self.currency, network=self.network, provider=self.provider
        )
        units = to_units(amount, self.currency.scale)
        self.rpc.call(
            "eth_sendTransaction",
            {
                "from": self.known["faucet_address"],
                "to": self.known["token"],
                "gas": hex(200_000),
                "data": evm.call_data("transfer(address,uint256)", address.address, units),
            },
        )

    def balances(self) -> dict[str, Decimal]:
        """What hot wallet and gas wallet hold on the chain: the opening of the books."""
        hot = self.known["hot_address"]
        data = evm.call_data("balanceOf(address)", hot)
        units = evm.quantity(self.rpc.call("eth_call", {"to": self.known["token"], "data": data}, "latest"))
        wallets = (hot, self.known["gas_address"])
        wei = sum(evm.quantity(self.rpc.call("eth_getBalance", one, "latest")) for one in wallets)
        return {"USDT": Decimal(units).scaleb(-6), "ETH": Decimal(wei).scaleb(-18)}

    def outside_address(self, chance: random.Random) -> str:
        """Somebody's address outside the house."""
        return evm.to_address("0x" + chance.randbytes(20).hex())
