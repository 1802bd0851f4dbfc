"""Deposit addresses are emptied, fees brought first, surplus goes cold: the books equal the chain after each."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal

import pytest

from kauri.account.models import User
from kauri.balance import invariants
from kauri.balance.chart import TransferKind
from kauri.balance.selectors import coverage
from kauri.common import clock
from kauri.core.models import Currency
from kauri.deposit_order.addresses import deposit_address
from kauri.deposit_order.services import deposits_scan
from kauri.payment_provider import sending
from kauri.payment_provider.models import ProviderBalanceSnapshot
from kauri.wallet import sweeping, tasks
from kauri.wallet.models import DepositAddress, Sweep
from tests.house import Ether, Usdt
from tests.kauri.payment_provider.kills import after
from tests.moves import Crash, events, transfers

COLD = "0x3333333333333333333333333333333333333333"
HOUR = timedelta(hours=1)


def settings(house: Usdt | Ether, **changes: str) -> None:
    house.provider.settings = {**house.provider.settings, **changes}
    house.provider.save()


def deposit(house: Usdt | Ether, user: User, amount: str) -> DepositAddress:
    code = house.provider.settings["currency"]
    given = deposit_address(
        user=user,
        currency_code=code,
        network="",
        amount=None,
        callback_url="",
        return_url="",
        external_id="",
    )
    deposits_scan(house.provider.pk)
    house.send(given["addr"], amount, mine=3)
    assert deposits_scan(house.provider.pk) == 1
    return DepositAddress.objects.get(address=given["addr"])


def run(house: Usdt | Ether, rounds: int = 6) -> None:
    """What the schedule does, with blocks coming."""
    start = clock.now()
    for number in range(rounds):
        with clock.standing_at(start + number * timedelta(minutes=11)):
            tasks.sweeps_run()
        house.chain.mine(3)


def kinds() -> list[tuple[str, str]]:
    return [(row.purpose, row.state) for row in Sweep.objects.order_by("pk")]


def books(code: str) -> Decimal:
    return next(row.funds for row in coverage() if row.currency.code == code)


def gas_wallet(usdt: Usdt, ether: str = "1") -> str:
    address = str(usdt.provider.settings["gas_address"])
    usdt.chain.rpc.call("anvil_setBalance", address, hex(int(Decimal(ether).scaleb(18))))
    usdt.chain.mine()
    return address


def test_a_token_s_fee_comes_first_and_then_all_of_it_goes(usdt: Usdt, customer: Callable[..., User]) -> None:
    gas = gas_wallet(usdt)
    settings(usdt, sweep_minimum="10")
    address = deposit(usdt, customer(), "25.5")
    run(usdt)
    assert kinds() == [("top_up", "confirmed"), ("sweep", "confirmed")]
    assert usdt.balance(address.address) == 0
    assert usdt.balance(usdt.hot_address) == Decimal("10025.5")
    address.refresh_from_db()
    assert address.swept_at is not None
    top_up, sweep = Sweep.objects.order_by("pk")
    assert (top_up.source_address, sweep.source_address) == (gas, address.address)
    # Only the network was paid: what we hold differs by what the receipts say, and by nothing else.
    wei = sum(usdt.chain.wei(one) for one in (usdt.hot_address, gas, address.address))
    assert top_up.cost is not None
    assert sweep.cost is not None
    assert Decimal(wei).scaleb(-18) == Decimal(11) - top_up.cost - sweep.cost
    assert transfers(TransferKind.NETWORK_COST) == 2
    # The gas wallet's ether is not in the books' opening: the house brought one more.
    assert books("ETH") == Decimal(10) - top_up.cost - sweep.cost
    assert books("USDT") == Decimal("10025.5")
    assert invariants.broken_laws() == []
    run(usdt, 2)
    assert len(kinds()) == 2, "an empty address is left alone"


def test_what_is_not_worth_it_stays_and_is_not_asked_for_all_the_time(
    usdt: Usdt, customer: Callable[..., User]
) -> None:
    gas_wallet(usdt)
    settings(usdt, sweep_minimum="30")
    address = deposit(usdt, customer(), "25.5")
    tasks.sweeps_run()
    address.refresh_from_db()
    looked = address.quoted_at
    assert looked is not None
    tasks.sweeps_run()
    address.refresh_from_db()
    assert (address.quoted_at, kinds()) == (looked, [])
    assert usdt.balance(address.address) == Decimal("25.5")


def test_nothing_is_swept_where_nobody_asked_for_it(usdt: Usdt, customer: Callable[..., User]) -> None:
    gas_wallet(usdt)
    deposit(usdt, customer(), "25.5")
    run(usdt, 2)
    assert kinds() == []


def test_without_a_gas_wallet_nothing_moves(usdt: Usdt, customer: Callable[..., User]) -> None:
    settings(usdt, sweep_minimum="10", gas_address="")
    deposit(usdt, customer(), "25.5")
    run(usdt, 2)
    assert kinds() == []


def test_an_empty_gas_wallet_keeps_the_row_waiting(usdt: Usdt, customer: Callable[..., User]) -> None:
    settings(usdt, sweep_minimum="10")
    deposit(usdt, customer(), "25.5")
    run(usdt, 2)
    [row] = Sweep.objects.all()
    assert (row.purpose, row.state) == ("top_up", "new")
    assert row.last_error.startswith("InsufficientFloat")
    gas_wallet(usdt)
    run(usdt, 9)
    assert kinds() == [("top_up", "confirmed"), ("sweep", "confirmed")]


def test_ether_pays_its_own_fee(ether: Ether, customer: Callable[..., User]) -> None:
    settings(ether, sweep_minimum="0.1")
    address = deposit(ether, customer(), "0.5")
    run(ether, 4)
    [sweep] = Sweep.objects.all()
    assert (sweep.purpose, sweep.state) == ("sweep", "confirmed")
    assert sweep.cost is not None
    held = ether.balance(ether.hot_address) + ether.balance(address.address)
    assert held == books("ETH") == Decimal("10.5") - sweep.cost
    assert ether.balance(ether.hot_address) == Decimal(10) + sweep.amount
    # The sweep's own transaction is nobody's deposit.
    deposits_scan(ether.provider.pk)
    assert transfers(TransferKind.DEPOSIT) == 1
    assert invariants.broken_laws() == []


def test_killed_after_sending_it_is_swept_once(
    ether: Ether, customer: Callable[..., User], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings(ether, sweep_minimum="0.1")
    address = deposit(ether, customer(), "0.5")
    with monkeypatch.context() as patch, pytest.raises(Crash):
        patch.setattr(sending, "step", after(sending.step))
        tasks.sweeps_run()
    run(ether, 5)
    assert kinds() == [("sweep", "confirmed")]
    count = ether.chain.rpc.call("eth_getTransactionCount", address.address, "latest")
    assert int(count, 16) == 1
    assert transfers(TransferKind.NETWORK_COST) == 1


def test_a_new_deposit_after_a_sweep_is_swept_too(ether: Ether, customer: Callable[..., User]) -> None:
    settings(ether, sweep_minimum="0.1")
    user = customer()
    deposit(ether, user, "0.5")
    run(ether, 4)
    with clock.standing_at(clock.now() + 2 * HOUR):
        deposit(ether, user, "0.7")
        run(ether, 5)
    assert kinds() == [("sweep", "confirmed"), ("sweep", "confirmed")]


def test_the_surplus_of_the_hot_wallet_goes_cold(usdt: Usdt) -> None:
    settings(usdt, hot_ceiling="9000", hot_target="4000", cold_address=COLD)
    run(usdt, 3)
    assert kinds() == [("cold", "confirmed")]
    assert (usdt.balance(COLD), usdt.balance(usdt.hot_address)) == (Decimal(6000), Decimal(4000))
    # It is still ours.
    assert books("USDT") == Decimal(10_000)
    run(usdt, 2)
    assert len(kinds()) == 1


@pytest.mark.parametrize("changes", [{"hot_ceiling": "10000"}, {"hot_ceiling": "10", "cold_address": ""}])
def test_the_hot_wallet_keeps_what_it_may(usdt: Usdt, changes: dict[str, str]) -> None:
    settings(usdt, **{"cold_address": COLD, **changes})
    run(usdt, 2)
    assert kinds() == []


def test_a_low_hot_wallet_is_told_once(usdt: Usdt) -> None:
    settings(usdt, hot_floor="500")
    currency = Currency.objects.get(code="USDT")

    def snapshot(amount: str) -> bool:
        ProviderBalanceSnapshot.objects.create(
            provider=usdt.provider, currency=currency, amount=Decimal(amount)
        )
        return sweeping.hot_watch(usdt.provider.pk)

    assert [snapshot(amount) for amount in ("600", "499", "400", "700", "1")] == [
        False,
        True,
        False,
        False,
        True,
    ]
    assert [one.payload["amount"] for one in events("wallet.hot_low")] == ["499", "1"]


def test_a_wrong_setting_stops_nothing_else(usdt: Usdt, customer: Callable[..., User]) -> None:
    settings(usdt, sweep_minimum="ten", hot_floor="low")
    deposit(usdt, customer(), "25.5")
    run(usdt, 1)
    assert kinds() == []


def test_two_currencies_of_one_key_never_share_an_address(
    usdt: Usdt, ether: Ether, customer: Callable[..., User]
) -> None:
    assert usdt.provider.settings["xpub"] == ether.provider.settings["xpub"]
    given = [deposit_address_of(customer(), code) for code in ("USDT", "ETH", "USDT", "ETH")]
    assert len(set(given)) == 4


def deposit_address_of(user: User, code: str) -> str:
    answer = deposit_address(
        user=user,
        currency_code=code,
        network="",
        amount=None,
        callback_url="",
        return_url="",
        external_id="",
    )
    return str(answer["addr"])
