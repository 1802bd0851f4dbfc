"""Bitcoin through the whole house, on a real node of its family: credited once, paid once, the books true."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal

import pytest
from django.db import IntegrityError, transaction

from kauri.account.models import User
from kauri.balance import invariants
from kauri.balance.chart import TransferKind
from kauri.balance.selectors import coverage
from kauri.common import clock
from kauri.common.actor import Actor
from kauri.deposit_order.addresses import deposit_address
from kauri.deposit_order.services import deposits_scan
from kauri.order_core.models import Order
from kauri.payment_provider import coins, sending
from kauri.payment_provider import services as payouts
from kauri.payment_provider.models import Coin, Payin, Payout, ProviderBalanceSnapshot
from kauri.payment_provider.services import health_check
from kauri.wallet import reconciling
from kauri.wallet.models import ReconciliationBreak
from kauri.wallet.tasks import sweeps_run
from kauri.withdrawal_order import paying
from tests.house import Bitcoin
from tests.kauri.payment_provider.kills import after
from tests.moves import Crash, approved, balance_of, events, transfers
from tests.nodes import Middleman

Customer = Callable[..., User]
Operator = Callable[..., Actor]


def address_of(user: User) -> str:
    answer = deposit_address(
        user=user,
        currency_code="BTC",
        network="",
        amount=None,
        callback_url="",
        return_url="",
        external_id="",
    )
    return str(answer["addr"])


def scan(bitcoin: Bitcoin) -> int:
    return deposits_scan(bitcoin.provider.pk)


def deposit(bitcoin: Bitcoin, user: User, amount: str) -> str:
    scan(bitcoin)
    name = bitcoin.chain.pay(address_of(user), amount)
    bitcoin.chain.mine(3)
    assert scan(bitcoin) == 1
    return name


def go_on(bitcoin: Bitcoin, rounds: int = 6) -> None:
    """What scanner and workers do while blocks come."""
    start = clock.now()
    for number in range(rounds):
        with clock.standing_at(start + number * timedelta(minutes=11)):
            for pk in payouts.due_payouts():
                paying.payout_advance(pk)
        bitcoin.chain.mine()
        scan(bitcoin)


def funds() -> Decimal:
    return next(row.funds for row in coverage() if row.currency.code == "BTC")


def on_chain() -> Decimal:
    """The coins that are ours by our own rows."""
    rows = Coin.objects.filter(spent_by="", block_height__isnull=False)
    return sum((coin.amount for coin in rows), Decimal(0))


def closed(order: Order) -> None:
    order.refresh_from_db()
    assert order.status == "CLOSED"


def test_a_deposit_counts_its_confirmations_and_is_credited_once(
    bitcoin: Bitcoin, customer: Customer
) -> None:
    user = customer()
    address = address_of(user)
    scan(bitcoin)
    name = bitcoin.chain.pay(address, "0.5")
    for blocks in (1, 1):
        bitcoin.chain.mine(blocks)
        assert scan(bitcoin) == 0
    assert balance_of(user, "BTC") == (Decimal(0), Decimal(0))
    bitcoin.chain.mine()
    assert scan(bitcoin) == 1
    assert scan(bitcoin) == 0
    assert balance_of(user, "BTC") == (Decimal("0.5"), Decimal(0))
    payin = Payin.objects.get()
    assert (payin.transaction, payin.state) == (name, "credited")
    assert transfers(TransferKind.DEPOSIT) == 1
    assert funds() == on_chain() == Decimal("0.5")


def test_two_outputs_of_one_transaction_are_two_deposits(bitcoin: Bitcoin, customer: Customer) -> None:
    one, two = customer(), customer()
    scan(bitcoin)
    bitcoin.chain.pay_many({address_of(one): "0.1", address_of(two): "0.2"})
    bitcoin.chain.mine(3)
    assert scan(bitcoin) == 2
    assert (balance_of(one, "BTC")[0], balance_of(two, "BTC")[0]) == (Decimal("0.1"), Decimal("0.2"))


def test_a_reorg_before_the_credit_takes_it_back_and_a_later_block_brings_it(
    bitcoin: Bitcoin, customer: Customer
) -> None:
    user = customer()
    scan(bitcoin)
    bitcoin.chain.pay(address_of(user), "0.5")
    [block] = bitcoin.chain.mine()
    scan(bitcoin)
    assert Payin.objects.get().state == "seen"
    bitcoin.chain.take_back(block)
    # The other branch is longer and does not have it.
    for _ in range(2):
        bitcoin.chain.mine_without_pool()
    scan(bitcoin)
    assert Payin.objects.get().state == "orphaned"
    assert Coin.objects.get().block_height is None
    bitcoin.chain.mine(3)
    assert scan(bitcoin) == 1
    assert Payin.objects.get().state == "credited"
    assert balance_of(user, "BTC") == (Decimal("0.5"), Decimal(0))
    assert transfers(TransferKind.DEPOSIT) == 1


def test_a_reorg_after_the_credit_raises_an_alarm(bitcoin: Bitcoin, customer: Customer) -> None:
    user = customer()
    scan(bitcoin)
    bitcoin.chain.pay(address_of(user), "0.5")
    first, *_ = bitcoin.chain.mine(3)
    assert scan(bitcoin) == 1
    bitcoin.chain.take_back(first)
    for _ in range(4):
        bitcoin.chain.mine_without_pool()
    scan(bitcoin)
    assert Payin.objects.get().state == "alarm"
    [alarm] = events("deposit.orphaned_after_credit")
    assert alarm.payload["amount"] == "0.5"
    bitcoin.chain.mine(3)
    scan(bitcoin)
    assert Payin.objects.get().state == "credited"
    assert transfers(TransferKind.DEPOSIT) == 1


def test_a_withdrawal_is_paid_once_with_change(
    bitcoin: Bitcoin, customer: Customer, operator: Operator
) -> None:
    user = customer()
    deposit(bitcoin, user, "0.5")
    to = bitcoin.chain.stranger()
    order, payout = approved(user, operator(), "0.04", currency="BTC", to=to)
    go_on(bitcoin)
    closed(order)
    payout.refresh_from_db()
    assert payout.state == "confirmed"
    assert bitcoin.balance(to) == Decimal("0.04")
    assert payout.cost is not None
    # The fee of the shipped policy is 0.0002.
    assert balance_of(user, "BTC") == (Decimal("0.4598"), Decimal(0))
    assert funds() == on_chain() == Decimal("0.46") - payout.cost
    change = Coin.objects.get(spent_by="")
    assert change.place.branch == 1
    assert Payin.objects.count() == 1, "change is nobody's deposit"
    assert invariants.broken_laws() == []


def test_several_payouts_are_one_transaction_and_share_its_cost(
    bitcoin: Bitcoin, customer: Customer, operator: Operator
) -> None:
    user, treasurer = customer(), operator()
    deposit(bitcoin, user, "0.5")
    places = [bitcoin.chain.stranger() for _ in range(3)]
    made = [approved(user, treasurer, f"0.0{n}", currency="BTC", to=to) for n, to in enumerate(places, 1)]
    go_on(bitcoin)
    for order, payout in made:
        closed(order)
        payout.refresh_from_db()
    assert len({payout.provider_reference for _, payout in made}) == 1
    assert [bitcoin.balance(to) for to in places] == [Decimal("0.01"), Decimal("0.02"), Decimal("0.03")]
    costs = [payout.cost for _, payout in made]
    assert all(cost is not None for cost in costs)
    assert funds() == on_chain() == Decimal("0.44") - sum(cost for cost in costs if cost is not None)
    assert transfers(TransferKind.WITHDRAWAL_CAPTURE) == 3
    assert invariants.broken_laws() == []


@pytest.mark.parametrize("kill", ["prepare", "send"])
def test_killed_and_resumed_it_is_paid_once(
    bitcoin: Bitcoin, customer: Customer, operator: Operator, monkeypatch: pytest.MonkeyPatch, kill: str
) -> None:
    user = customer()
    deposit(bitcoin, user, "0.5")
    to = bitcoin.chain.stranger()
    order, payout = approved(user, operator(), "0.04", currency="BTC", to=to)
    name = "_copy" if kill == "prepare" else "_send"
    with monkeypatch.context() as patch, pytest.raises(Crash):
        patch.setattr(sending, name, after(getattr(sending, name)))
        paying.payout_advance(payout.pk)
    go_on(bitcoin, 8)
    closed(order)
    assert bitcoin.balance(to) == Decimal("0.04")
    assert transfers(TransferKind.WITHDRAWAL_CAPTURE) == 1
    assert Coin.objects.filter(spent_by="").count() == 1
    assert funds() == on_chain()


def test_a_lost_answer_is_looked_up(
    bitcoin: Bitcoin, customer: Customer, operator: Operator, btc_middleman: Middleman
) -> None:
    user = customer()
    deposit(bitcoin, user, "0.5")
    bitcoin.provider.settings = {**bitcoin.provider.settings, "rpc_url": btc_middleman.url}
    bitcoin.provider.save()
    btc_middleman.lost.add("sendrawtransaction")
    to = bitcoin.chain.stranger()
    order, payout = approved(user, operator(), "0.04", currency="BTC", to=to)
    paying.payout_advance(payout.pk)
    payout.refresh_from_db()
    assert payout.state == "unknown"
    assert balance_of(user, "BTC")[1] == Decimal("0.0402"), "the hold stays"
    go_on(bitcoin)
    closed(order)
    assert btc_middleman.seen.count("sendrawtransaction") == 1
    assert bitcoin.balance(to) == Decimal("0.04")


def test_a_stuck_payout_is_replaced_by_a_dearer_one(
    bitcoin: Bitcoin, customer: Customer, operator: Operator
) -> None:
    bitcoin.provider.settings = {**bitcoin.provider.settings, "replace_after_seconds": 600}
    bitcoin.provider.save()
    user = customer()
    deposit(bitcoin, user, "0.5")
    to = bitcoin.chain.stranger()
    order, payout = approved(user, operator(), "0.04", currency="BTC", to=to)
    paying.payout_advance(payout.pk)
    payout.refresh_from_db()
    first = payout.provider_reference
    assert first in bitcoin.chain.pool()
    with clock.standing_at(clock.now() + timedelta(minutes=12)):
        paying.payout_advance(payout.pk)
    payout.refresh_from_db()
    assert payout.provider_reference != first
    assert bitcoin.chain.pool() == {payout.provider_reference}
    go_on(bitcoin)
    closed(order)
    assert bitcoin.balance(to) == Decimal("0.04")
    assert funds() == on_chain()


def test_a_stuck_batch_is_replaced_as_one_and_each_is_paid_once(
    bitcoin: Bitcoin, customer: Customer, operator: Operator
) -> None:
    bitcoin.provider.settings = {**bitcoin.provider.settings, "replace_after_seconds": 600}
    bitcoin.provider.save()
    user, treasurer = customer(), operator()
    deposit(bitcoin, user, "0.5")
    places = [bitcoin.chain.stranger() for _ in range(3)]
    made = [approved(user, treasurer, f"0.0{n}", currency="BTC", to=to) for n, to in enumerate(places, 1)]
    paying.payout_advance(made[0][1].pk)
    [first] = bitcoin.chain.pool()
    with clock.standing_at(clock.now() + timedelta(minutes=12)):
        for pk in payouts.due_payouts():
            paying.payout_advance(pk)
    [second] = bitcoin.chain.pool()
    assert second != first
    for _, payout in made:
        payout.refresh_from_db()
        assert (payout.provider_reference, [one["reference"] for one in payout.earlier]) == (second, [first])
    go_on(bitcoin)
    for order, _ in made:
        closed(order)
    assert [bitcoin.balance(to) for to in places] == [Decimal("0.01"), Decimal("0.02"), Decimal("0.03")]
    assert transfers(TransferKind.WITHDRAWAL_CAPTURE) == 3
    assert funds() == on_chain()
    assert invariants.broken_laws() == []


def test_a_cancelled_payout_gives_everything_back(
    bitcoin: Bitcoin, customer: Customer, operator: Operator
) -> None:
    user, treasurer = customer(), operator()
    deposit(bitcoin, user, "0.5")
    to = bitcoin.chain.stranger()
    order, payout = approved(user, treasurer, "0.04", currency="BTC", to=to)
    paying.payout_advance(payout.pk)
    payouts.payout_cancel(payout_id=payout.pk, actor=treasurer, reason="the fee is far too low")
    go_on(bitcoin, 8)
    order.refresh_from_db()
    payout.refresh_from_db()
    assert (order.status, payout.state) == ("ERROR", "failed")
    assert bitcoin.balance(to) == 0
    assert balance_of(user, "BTC") == (Decimal("0.5"), Decimal(0))
    assert funds() == on_chain()
    assert invariants.broken_laws() == []


def test_a_thousand_deposits_of_one_block(bitcoin: Bitcoin, customer: Customer) -> None:
    """Ten customers, a hundred transactions of ten outputs each."""
    users = [customer() for _ in range(10)]
    addresses = [address_of(user) for user in users]
    scan(bitcoin)
    for _ in range(100):
        bitcoin.chain.pay_many(dict.fromkeys(addresses, "0.0001"))
    bitcoin.chain.mine(1)
    bitcoin.chain.mine(2)
    assert scan(bitcoin) == 1000
    assert {balance_of(user, "BTC")[0] for user in users} == {Decimal("0.01")}
    assert funds() == on_chain() == Decimal("0.1")


def test_the_cursor_far_behind_catches_up(bitcoin: Bitcoin, customer: Customer) -> None:
    user = customer()
    address = address_of(user)
    scan(bitcoin)
    bitcoin.chain.pay(address, "0.5")
    bitcoin.chain.mine(1)
    bitcoin.chain.mine(40)
    bitcoin.chain.pay(address, "0.25")
    bitcoin.chain.mine(5)
    assert scan(bitcoin) == 2
    assert balance_of(user, "BTC")[0] == Decimal("0.75")


def test_what_the_node_holds_is_what_the_rows_say(bitcoin: Bitcoin, customer: Customer) -> None:
    deposit(bitcoin, customer(), "0.5")
    payouts.health_check(bitcoin.provider.pk)
    bitcoin.provider.refresh_from_db()
    assert bitcoin.provider.health == "ok"
    [snapshot] = bitcoin.provider.balance_snapshots.all()
    assert (snapshot.currency.code, snapshot.amount) == ("BTC", Decimal("0.5"))


# The hot wallet's surplus -------------------------------------------------------------------------


def ceiling(bitcoin: Bitcoin, **fields: str) -> str:
    """A cold address that is none of the signer's, and when money goes there."""
    cold = bitcoin.chain.stranger()
    bitcoin.provider.settings |= {"hot_ceiling": "1", "hot_target": "0.4", "cold_address": cold, **fields}
    bitcoin.provider.save()
    return cold


def cold_on(bitcoin: Bitcoin, rounds: int = 6) -> None:
    start = clock.now()
    for number in range(rounds):
        with clock.standing_at(start + number * timedelta(minutes=11)):
            sweeps_run()
        bitcoin.chain.mine()
        scan(bitcoin)


def test_the_surplus_goes_cold_and_is_counted_but_never_spent(
    bitcoin: Bitcoin, customer: Customer, operator: Operator
) -> None:
    user = customer()
    for amount in ("0.8", "0.7"):
        deposit(bitcoin, user, amount)
    cold = ceiling(bitcoin)
    sweeps_run()
    [row] = Payout.objects.all()
    assert (row.order_id, row.destination, row.amount) == (None, cold, Decimal("1.1"))
    # It waits for the wallet's own worker, and there is never a second one beside it.
    assert payouts.due_payouts() == []
    cold_on(bitcoin)
    row.refresh_from_db()
    assert (row.state, Payout.objects.count()) == ("confirmed", 1)
    assert bitcoin.balance(cold) == Decimal("1.1")
    assert row.cost is not None
    assert transfers(TransferKind.NETWORK_COST) == 1
    assert funds() == on_chain() == Decimal("1.5") - row.cost
    assert coins.hot_total(bitcoin.provider) == Decimal("0.4") - row.cost
    # What the signer can't spend is in no payout's offer, and the customer is owed all of it still.
    assert balance_of(user, "BTC") == (Decimal("1.5"), Decimal(0))
    order, payout = approved(user, operator(), "0.9", currency="BTC", to=bitcoin.chain.stranger())
    go_on(bitcoin)
    payout.refresh_from_db()
    assert (payout.state, "InsufficientFloat" in payout.last_error) == ("new", True)
    assert order.status == "PAYMENT_IN_PROGRESS"
    health_check(bitcoin.provider.pk)
    newest = ProviderBalanceSnapshot.objects.order_by("-pk")[0]
    assert newest.amount == Decimal("0.4") - row.cost
    reconciling.reconcile(bitcoin.provider.pk)
    reconciling.reconcile(bitcoin.provider.pk)
    assert not ReconciliationBreak.objects.exists()
    assert invariants.broken_laws() == []


@pytest.mark.parametrize("changes", [{"hot_ceiling": "2"}, {"cold_address": ""}, {"hot_ceiling": ""}])
def test_no_surplus_no_payment(bitcoin: Bitcoin, customer: Customer, changes: dict[str, str]) -> None:
    deposit(bitcoin, customer(), "1.2")
    ceiling(bitcoin, **changes)
    sweeps_run()
    assert not Payout.objects.exists()


def test_an_address_of_the_hot_wallet_is_no_cold_one(bitcoin: Bitcoin, customer: Customer) -> None:
    user = customer()
    deposit(bitcoin, user, "1.2")
    ceiling(bitcoin, cold_address=address_of(user))
    sweeps_run()
    assert not Payout.objects.exists()


def test_two_planners_make_one(bitcoin: Bitcoin, customer: Customer) -> None:
    deposit(bitcoin, customer(), "1.2")
    cold = ceiling(bitcoin)
    sweeps_run()
    with pytest.raises(IntegrityError), transaction.atomic():
        Payout.objects.create(
            provider=bitcoin.provider,
            currency=Payout.objects.get().currency,
            amount=Decimal(1),
            destination=cold,
        )
