"""The chain changes its mind; what customers were credited with does not, unless a person says so."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from kauri.account.models import User
from kauri.balance import invariants
from kauri.balance.chart import TransferKind
from kauri.common import clock, evm
from kauri.core.models import Provider
from kauri.deposit_order import opening, postings
from kauri.deposit_order import services as deposits
from kauri.order_core import machine
from kauri.order_core.models import Order
from kauri.payment_provider import scanning
from kauri.payment_provider import services as providers
from kauri.payment_provider.models import ChainBlock, Payin
from kauri.wallet.models import DepositAddress
from kauri.wallet.services import pool_fill
from tests.house import Usdt
from tests.moves import Crash, address_of, balance_of, events, transfers
from tests.nodes import OTHER

SECOND = "0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC"


@pytest.fixture
def payer(usdt: Usdt, customer: Callable[..., User]) -> tuple[User, str]:
    """A customer with an address, on a chain that the scanner follows already."""
    user = customer()
    address = address_of(user)
    deposits.deposits_scan(usdt.provider.pk)
    return user, address


def scan(usdt: Usdt) -> int:
    return deposits.deposits_scan(usdt.provider.pk)


def payin() -> Payin:
    return Payin.objects.get()


def test_a_reorg_before_the_credit_and_another_place_after_it(usdt: Usdt, payer: tuple[User, str]) -> None:
    user, address = payer
    chain = usdt.chain
    chain.fund(usdt.token, OTHER, units=10)
    scan(usdt)
    name = usdt.send(address, "25.5")
    raw = chain.raw(name)
    chain.mine()
    assert scan(usdt) == 0
    seen = payin()
    assert (seen.state, seen.ordinal) == ("seen", "0")

    chain.reorg(2)
    chain.rpc.call("anvil_dropAllTransactions")
    chain.mine()
    assert scan(usdt) == 0
    gone = payin()
    assert gone.state == "orphaned"
    chain.mine(5)
    assert scan(usdt) == 0
    assert balance_of(user) == (Decimal(0), Decimal(0))
    assert Order.objects.get().status == "WAITING_FOR_CONFIRMATION"

    other = chain.send_tokens(usdt.token, SECOND, 1, sender=OTHER)
    chain.rpc.call("eth_sendRawTransaction", raw)
    chain.mine()
    assert chain.receipt(other)["blockNumber"] == chain.receipt(name)["blockNumber"]
    assert {chain.receipt(tx)["logs"][0]["logIndex"] for tx in (other, name)} == {"0x0", "0x1"}
    assert scan(usdt) == 0
    back = payin()
    assert (back.pk, back.state) == (seen.pk, "seen")
    assert back.block_hash != seen.block_hash
    chain.mine(2)
    assert (scan(usdt), scan(usdt)) == (1, 0)
    assert balance_of(user) == (Decimal("25.5"), Decimal(0))
    assert transfers(TransferKind.DEPOSIT) == 1
    assert events("deposit.orphaned_after_credit") == events("payin.unmatched") == []
    assert invariants.broken_laws() == []


def test_a_reorg_that_moves_the_deposit_behind_another_changes_no_name(
    usdt: Usdt, payer: tuple[User, str]
) -> None:
    user, address = payer
    chain = usdt.chain
    chain.fund(usdt.token, OTHER, units=10)
    scan(usdt)
    name = usdt.send(address, "7")
    raw = chain.raw(name)
    other = chain.send_tokens(usdt.token, SECOND, 1, sender=OTHER)
    chain.mine()
    raw_other = chain.raw(other)
    scan(usdt)
    chain.reorg(2, (raw_other, 0), (raw, 0))
    assert chain.receipt(name)["logs"][0]["logIndex"] == "0x1"
    chain.mine(3)
    assert (scan(usdt), scan(usdt)) == (1, 0)
    assert payin().state == "credited"
    assert balance_of(user) == (Decimal(7), Decimal(0))
    assert transfers(TransferKind.DEPOSIT) == 1


def test_a_reorg_after_the_credit_alarms_and_heals(usdt: Usdt, payer: tuple[User, str]) -> None:
    user, address = payer
    chain = usdt.chain
    name = usdt.send(address, "25.5", mine=3)
    raw = chain.raw(name)
    assert scan(usdt) == 1
    chain.reorg(3)
    chain.rpc.call("anvil_dropAllTransactions")
    chain.mine()
    assert scan(usdt) == 0
    assert payin().state == "alarm"
    [alert] = events("deposit.orphaned_after_credit")
    assert alert.payload["transaction"] == name
    assert (alert.payload["amount"], alert.payload["currency"]) == ("25.5", "USDT")
    # The customer's money is not taken by a machine.
    assert balance_of(user) == (Decimal("25.5"), Decimal(0))
    assert Order.objects.get().status == "CLOSED"
    scan(usdt)
    assert len(events("deposit.orphaned_after_credit")) == 1
    chain.rpc.call("eth_sendRawTransaction", raw)
    chain.mine(4)
    assert scan(usdt) == 0
    assert payin().state == "credited"
    assert balance_of(user) == (Decimal("25.5"), Decimal(0))
    assert transfers(TransferKind.DEPOSIT) == 1


def test_a_chain_that_became_shorter(usdt: Usdt, payer: tuple[User, str]) -> None:
    user, address = payer
    before = usdt.chain.height()
    name = usdt.send(address, "25.5", mine=2)
    raw = usdt.chain.raw(name)
    scan(usdt)
    usdt.chain.rpc.call("anvil_rollback", 2)
    usdt.chain.rpc.call("anvil_dropAllTransactions")
    assert scan(usdt) == 0
    assert payin().state == "orphaned"
    newest = ChainBlock.objects.first()
    assert newest is not None
    assert newest.height == before
    usdt.chain.rpc.call("eth_sendRawTransaction", raw)
    usdt.chain.mine(3)
    assert scan(usdt) == 1
    assert balance_of(user) == (Decimal("25.5"), Decimal(0))


def test_a_reorg_deeper_than_remembered_stops_and_calls_a_person(usdt: Usdt, payer: tuple[User, str]) -> None:
    user, address = payer
    usdt.send(address, "25.5", mine=2)
    scan(usdt)
    ChainBlock.objects.update(hash="0xanother")
    usdt.chain.mine(5)
    versions = Provider.history.filter(id=usdt.provider.pk).count()
    assert [scan(usdt) for _ in range(3)] == [0, 0, 0]
    providers.health_check(usdt.provider.pk)
    assert scan(usdt) == 0
    usdt.provider.refresh_from_db()
    assert usdt.provider.health == "bad"
    assert "no common block" in usdt.provider.health_detail
    assert payin().state == "seen"
    assert balance_of(user) == (Decimal(0), Decimal(0))
    assert len(events("chain.reorg_too_deep")) == 1
    assert events("provider.health") == []
    assert Provider.history.filter(id=usdt.provider.pk).count() == versions


def test_health_is_told_when_it_changes(usdt: Usdt) -> None:
    providers.health_check(usdt.provider.pk)
    assert events("provider.health") == []
    good = dict(usdt.provider.settings)
    Provider.objects.filter(pk=usdt.provider.pk).update(settings={**good, "chain_id": 5})
    for _ in range(2):
        providers.health_check(usdt.provider.pk)
    Provider.objects.filter(pk=usdt.provider.pk).update(settings=good)
    for _ in range(2):
        providers.health_check(usdt.provider.pk)
    assert [event.payload["health"] for event in events("provider.health")] == ["bad", "ok"]


def test_a_provider_whose_settings_are_no_good_is_unhealthy_and_nothing_more(usdt: Usdt) -> None:
    Provider.objects.filter(pk=usdt.provider.pk).update(adapter="nothing")
    providers.health_check(usdt.provider.pk)
    usdt.provider.refresh_from_db()
    assert usdt.provider.health == "bad"


def test_two_deposits_in_one_transaction(usdt: Usdt, payer: tuple[User, str]) -> None:
    user, address = payer
    contract = usdt.chain.deploy("TestPayer")
    usdt.chain.fund(usdt.token, contract, units=10_000_000)
    units = [2_000_000, 3_000_000]
    arguments: list[int | str] = [usdt.token, 0x60, 0xC0, 2, address, address, 2, *units]
    usdt.chain.transact(to=contract, data=evm.call_data("payAll(address,address[],uint256[])", *arguments))
    usdt.chain.mine(3)
    assert (scan(usdt), scan(usdt)) == (2, 0)
    assert balance_of(user) == (Decimal(5), Decimal(0))
    assert sorted(Payin.objects.values_list("ordinal", "amount")) == [("0", 2), ("1", 3)]
    assert Order.objects.filter(status="CLOSED").count() == 2


def test_money_at_a_spare_address_waits_for_a_person(usdt: Usdt, payer: tuple[User, str]) -> None:
    assert pool_fill(usdt.provider.pk) == 20
    assert pool_fill(usdt.provider.pk) == 0
    spare = DepositAddress.objects.filter(user__isnull=True).first()
    assert spare is not None
    usdt.send(spare.address, "25.5", mine=3)
    assert scan(usdt) == 0
    assert payin().state == "unmatched"
    [alert] = events("payin.unmatched")
    assert (alert.payload["amount"], alert.payload["currency"]) == ("25.5", "USDT")
    assert Order.objects.count() == transfers(TransferKind.DEPOSIT) == 0


@pytest.mark.parametrize(("amount", "state", "credits"), [("0.999999", "unmatched", 0), ("1", "credited", 1)])
def test_the_minimum(usdt: Usdt, payer: tuple[User, str], amount: str, state: str, credits: int) -> None:
    user, address = payer
    usdt.send(address, amount, mine=3)
    assert scan(usdt) == credits
    assert payin().state == state
    assert len(events("payin.unmatched")) == 1 - credits
    assert balance_of(user) == (Decimal(amount) * credits, 0)


def test_an_unmatched_payin_leaves_the_chain_and_returns(usdt: Usdt, payer: tuple[User, str]) -> None:
    _, address = payer
    name = usdt.send(address, "0.5")
    raw = usdt.chain.raw(name)
    scan(usdt)
    usdt.chain.reorg(1)
    usdt.chain.rpc.call("anvil_dropAllTransactions")
    usdt.chain.mine()
    scan(usdt)
    assert payin().state == "orphaned"
    usdt.chain.rpc.call("eth_sendRawTransaction", raw)
    usdt.chain.mine(3)
    assert scan(usdt) == 0
    assert payin().state == "unmatched"
    assert Order.objects.count() == 0


@pytest.mark.parametrize(
    ("owner", "name"),
    [(scanning, "_commit"), (deposits, "_apply"), (opening.Openings, "write"), (machine, "start_all")],
)
def test_killed_between_reading_and_commit(
    usdt: Usdt, payer: tuple[User, str], monkeypatch: pytest.MonkeyPatch, owner: Any, name: str
) -> None:
    user, address = payer
    cursor = ChainBlock.objects.first()
    usdt.send(address, "25.5", mine=3)
    original = getattr(owner, name)

    def killed(*args: Any, **kwargs: Any) -> Any:
        original(*args, **kwargs)
        raise Crash

    with monkeypatch.context() as patch, pytest.raises(Crash):
        patch.setattr(owner, name, killed)
        scan(usdt)
    assert ChainBlock.objects.first() == cursor
    assert Payin.objects.count() == Order.objects.count() == 0
    assert (scan(usdt), scan(usdt)) == (1, 0)
    assert balance_of(user) == (Decimal("25.5"), Decimal(0))


def test_killed_between_commit_and_credit(
    usdt: Usdt, payer: tuple[User, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    user, address = payer
    usdt.send(address, "25.5", mine=3)
    with monkeypatch.context() as patch, pytest.raises(Crash):
        patch.setattr(postings, "credit", lambda *_a, **_k: (_ for _ in ()).throw(Crash))
        scan(usdt)
    assert payin().state == "seen"
    assert Order.objects.get().status == "WAITING_FOR_CONFIRMATION"
    assert (scan(usdt), scan(usdt)) == (1, 0)
    assert balance_of(user) == (Decimal("25.5"), Decimal(0))
    assert transfers(TransferKind.DEPOSIT) == 1


def test_a_reading_that_another_scanner_overtook_is_dropped(
    usdt: Usdt, payer: tuple[User, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    user, address = payer
    usdt.send(address, "25.5", mine=3)
    original = scanning._ancestor
    overtaken: list[int] = []

    def overtake(*args: Any) -> Any:
        found = original(*args)
        if not overtaken:
            overtaken.append(1)
            overtaken.append(scan(usdt))
        return found

    monkeypatch.setattr(scanning, "_ancestor", overtake)
    assert scan(usdt) == 0
    assert overtaken == [1, 1]
    assert balance_of(user) == (Decimal("25.5"), Decimal(0))
    assert Payin.objects.count() == 1


def lose(usdt: Usdt, address: str) -> str:
    """A deposit that was seen and left the chain; returns its bytes."""
    name = usdt.send(address, "25.5")
    raw = usdt.chain.raw(name)
    scan(usdt)
    usdt.chain.reorg(1)
    usdt.chain.rpc.call("anvil_dropAllTransactions")
    usdt.chain.mine()
    scan(usdt)
    assert payin().state == "orphaned"
    return raw


def test_a_dropped_deposit_expires_after_a_day_and_returns_to_people(
    usdt: Usdt, payer: tuple[User, str]
) -> None:
    user, address = payer
    raw = lose(usdt, address)
    day = timedelta(hours=24)
    made = Order.objects.get().created_at
    with clock.standing_at(made + day):
        assert deposits.deposits_expire() == 0
    with clock.standing_at(made + day + timedelta(seconds=1)):
        assert (deposits.deposits_expire(), deposits.deposits_expire()) == (1, 0)
    assert Order.objects.get().status == "EXPIRED"
    usdt.chain.rpc.call("eth_sendRawTransaction", raw)
    usdt.chain.mine(4)
    assert scan(usdt) == 0
    assert payin().state == "unmatched"
    assert len(events("payin.unmatched")) == 1
    assert balance_of(user) == (Decimal(0), Decimal(0))


def test_a_deposit_that_still_waits_on_chain_does_not_expire(usdt: Usdt, payer: tuple[User, str]) -> None:
    _, address = payer
    usdt.send(address, "25.5")
    scan(usdt)
    with clock.standing_at(clock.now() + timedelta(days=3)):
        assert deposits.deposits_expire() == 0
    assert Order.objects.get().status == "WAITING_FOR_CONFIRMATION"


def test_a_deposit_that_returns_while_it_expires_is_not_lost(
    usdt: Usdt, payer: tuple[User, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    user, address = payer
    raw = lose(usdt, address)
    usdt.chain.rpc.call("eth_sendRawTransaction", raw)
    usdt.chain.mine(1)
    original = deposits.lock

    def returns_first(rows: Any) -> Any:
        monkeypatch.setattr(deposits, "lock", original)
        scan(usdt)
        return original(rows)

    monkeypatch.setattr(deposits, "lock", returns_first)
    with clock.standing_at(clock.now() + timedelta(hours=25)):
        assert deposits.deposits_expire() == 0
    usdt.chain.mine(3)
    assert scan(usdt) == 1
    assert balance_of(user) == (Decimal("25.5"), Decimal(0))
