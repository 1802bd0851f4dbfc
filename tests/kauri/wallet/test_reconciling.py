"""Chain, rows and books, three ways, on real nodes: what one knows and another does not is an inbox row."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

import pytest

from kauri.account.models import User
from kauri.balance import ledger
from kauri.balance.chart import AccountKind, TransferKind
from kauri.balance.ledger import Leg
from kauri.common import evm
from kauri.common.actor import SYSTEM, Actor
from kauri.common.ids import ledger_key
from kauri.core.models import AuditEntry, Currency
from kauri.deposit_order.services import deposits_scan
from kauri.payment_provider.models import Coin, Payin, Payout
from kauri.wallet.models import Reconciliation, ReconciliationBreak
from kauri.wallet.reconciling import break_explain, reconcile
from kauri.withdrawal_order import paying
from tests.flows.test_btc import deposit as pay_in
from tests.house import Bitcoin, Ether, Usdt
from tests.kauri.wallet.test_sweeping import deposit, run, settings
from tests.moves import approved, code_of, events, give

Kind = ReconciliationBreak.Kind


def figures(house: Usdt | Ether | Bitcoin) -> dict[str, tuple[str, Decimal]]:
    return {row.currency.code: (row.state, row.difference) for row in reconcile(house.provider.pk)}


def book(house: Usdt, code: str, amount: str) -> None:
    """Float that the books believe in, whatever the chain says."""
    currency = Currency.objects.get(code=code)
    ledger.post(
        ledger_key("test", house.provider.pk, code, "float"),
        TransferKind.OPENING,
        [
            Leg(AccountKind.CAPITAL, currency, Decimal(amount)),
            Leg(AccountKind.PROVIDER_FLOAT, currency, -Decimal(amount), provider_id=house.provider.pk),
        ],
        actor=SYSTEM,
    )


def breaks() -> list[tuple[str, str, Decimal, str]]:
    return [
        (row.kind, row.currency.code, row.amount, row.state)
        for row in ReconciliationBreak.objects.select_related("currency").order_by("kind", "pk")
    ]


def test_all_agree_after_deposits_and_sweeps(usdt: Usdt, customer: Callable[..., User]) -> None:
    gas = str(usdt.provider.settings["gas_address"])
    usdt.chain.rpc.call("anvil_setBalance", gas, hex(10**18))
    usdt.chain.mine()
    book(usdt, "ETH", "1")
    deposit(usdt, customer(), "25.5")
    assert figures(usdt) == {"ETH": ("equal", Decimal(0)), "USDT": ("equal", Decimal(0))}
    settings(usdt, sweep_minimum="10")
    run(usdt)
    assert figures(usdt) == {"ETH": ("equal", Decimal(0)), "USDT": ("equal", Decimal(0))}
    assert breaks() == []
    latest = Reconciliation.objects.filter(currency__code="USDT").first()
    assert latest is not None
    assert (latest.on_chain, latest.in_books, latest.on_its_way) == (
        Decimal("10025.5"),
        Decimal("10025.5"),
        0,
    )


def test_a_deposit_that_waits_is_no_difference(usdt: Usdt, customer: Callable[..., User]) -> None:
    user = customer()
    deposit(usdt, user, "25.5")
    address = user.deposit_addresses.get().address
    usdt.send(address, "4.5")
    deposits_scan(usdt.provider.pk)
    assert figures(usdt)["USDT"] == ("equal", Decimal(0))
    assert Reconciliation.objects.filter(currency__code="USDT").first().on_its_way == Decimal("4.5")  # type: ignore[union-attr]


def test_money_that_no_row_knows_is_told_when_it_is_seen_twice(
    ether: Ether, customer: Callable[..., User]
) -> None:
    """A contract pays ether: without tracing no scanner sees it."""
    address = deposit(ether, customer(), "0.5")
    payer = ether.chain.deploy("TestEtherPayer")
    data = evm.call_data("payAll(address[])", 0x20, 1, address.address)
    ether.chain.transact(to=payer, value=hex(10**17), data=data)
    ether.chain.mine(3)
    deposits_scan(ether.provider.pk)
    tenth = Decimal("0.1")
    assert figures(ether)["ETH"] == ("different", tenth)
    assert breaks() == [("chain_more", "ETH", tenth, "suspected"), ("total", "ETH", tenth, "suspected")]
    assert events("reconciliation.break") == []
    reconcile(ether.provider.pk)
    assert [row[3] for row in breaks()] == ["open", "open"]
    told = events("reconciliation.break")
    assert {(one.payload["kind"], one.payload["amount"]) for one in told} == {
        ("chain_more", "0.1"),
        ("total", "0.1"),
    }
    assert ReconciliationBreak.objects.get(kind=Kind.CHAIN_MORE).subject == address.address
    reconcile(ether.provider.pk)
    assert len(events("reconciliation.break")) == 2, "told once"


def test_money_that_leaves_an_address_without_us_is_told(usdt: Usdt, customer: Callable[..., User]) -> None:
    address = deposit(usdt, customer(), "25.5")
    usdt.chain.rpc.call("anvil_setBalance", address.address, hex(10**18))
    usdt.chain.rpc.call("anvil_impersonateAccount", address.address)
    usdt.chain.send_tokens(
        usdt.token, "0x4444444444444444444444444444444444444444", 10 * 10**6, sender=address.address
    )
    usdt.chain.mine(3)
    for _ in range(2):
        reconcile(usdt.provider.pk)
    assert ("chain_less", "USDT", Decimal(-10), "open") in breaks()
    assert ("total", "USDT", Decimal(-10), "open") in breaks()


def test_books_that_the_chain_does_not_back(usdt: Usdt) -> None:
    book(usdt, "USDT", "7")
    for _ in range(2):
        assert figures(usdt)["USDT"] == ("different", Decimal(-7))
    assert breaks() == [("total", "USDT", Decimal(-7), "open")]
    usdt.send(usdt.hot_address, "7")
    assert figures(usdt)["USDT"] == ("equal", Decimal(0))
    assert breaks() == [("total", "USDT", Decimal(-7), "gone")]


def test_money_on_its_way_is_not_compared(
    usdt: Usdt, customer: Callable[..., User], operator: Callable[..., Actor]
) -> None:
    user = customer()
    give(user, "USDT", "100")
    _, payout = approved(user, operator(), "40")
    paying.payout_advance(payout.pk)
    usdt.chain.mine()
    assert figures(usdt)["USDT"][0] == "moving"
    assert breaks() == []


def test_a_credited_deposit_that_left_the_chain(usdt: Usdt, customer: Callable[..., User]) -> None:
    deposit(usdt, customer(), "25.5")
    usdt.chain.reorg(3)
    deposits_scan(usdt.provider.pk)
    assert Payin.objects.get().state == "alarm"
    for _ in range(2):
        reconcile(usdt.provider.pk)
    lost = Decimal("-25.5")
    assert breaks() == [("payin_gone", "USDT", lost, "open"), ("total", "USDT", lost, "open")]


def test_a_confirmed_payout_that_left_the_chain(
    usdt: Usdt, customer: Callable[..., User], operator: Callable[..., Actor]
) -> None:
    user = customer()
    give(user, "USDT", "100")
    _, payout = approved(user, operator(), "40")
    paying.payout_advance(payout.pk)
    usdt.chain.mine(3)
    Payout.objects.update(next_attempt_at="2026-01-01T00:00Z")
    paying.payout_advance(payout.pk)
    payout.refresh_from_db()
    assert payout.state == "confirmed"
    usdt.chain.reorg(3)
    usdt.chain.rpc.call("anvil_dropAllTransactions")
    reconcile(usdt.provider.pk)
    assert ("payout_gone", "USDT", Decimal(40), "suspected") in breaks()


def test_ether_and_a_token_of_one_wallet_are_each_compared_once(
    usdt: Usdt, ether: Ether, customer: Callable[..., User]
) -> None:
    """Both providers' books opened with the ten ether of the one hot wallet: ten too many."""
    assert figures(usdt) == {"USDT": ("equal", Decimal(0))}
    assert figures(ether) == {"ETH": ("different", Decimal(-10))}
    ether.chain.rpc.call("anvil_setBalance", ether.hot_address, hex(20 * 10**18))
    ether.chain.mine()
    assert figures(ether) == {"ETH": ("equal", Decimal(0))}


def test_coins_that_the_node_does_not_find(bitcoin: Bitcoin, customer: Callable[..., User]) -> None:
    pay_in(bitcoin, customer(), "0.5")
    assert figures(bitcoin) == {"BTC": ("equal", Decimal(0))}
    coin = Coin.objects.get()
    Coin.objects.create(
        provider=coin.provider,
        place=coin.place,
        transaction="ab" * 32,
        ordinal=0,
        amount=Decimal("0.25"),
        block_height=coin.block_height,
        block_hash=coin.block_hash,
    )
    for _ in range(2):
        assert figures(bitcoin) == {"BTC": ("equal", Decimal(0))}, "the total is what the node proves"
    assert breaks() == [("chain_less", "BTC", Decimal("-0.25"), "open")]


def test_a_person_explains_and_it_is_on_record(usdt: Usdt, operator: Callable[..., Actor]) -> None:
    usdt.send(usdt.hot_address, "7")
    for _ in range(2):
        reconcile(usdt.provider.pk)
    row = ReconciliationBreak.objects.get()

    def explain(actor: Actor, words: str = "our own top-up") -> str:
        return code_of(lambda: break_explain(break_id=row.pk, actor=actor, explanation=words))

    assert explain(operator("Treasury")) == "forbidden"
    assert explain(operator("Finance"), "  ") == "validation_error"
    finance = operator("Finance")
    assert explain(finance) == "ok"
    assert explain(finance) == "wrong_state"
    row.refresh_from_db()
    assert (row.state, row.explanation, row.explained_by) == ("explained", "our own top-up", finance.label)
    assert AuditEntry.objects.get(verb="break_explain").reason == "our own top-up"
    # It is still there: a new look is a new row.
    reconcile(usdt.provider.pk)
    assert breaks()[-1][3] == "suspected"


@pytest.mark.parametrize("change", [{"is_enabled": False}, {"health": "bad"}])
def test_what_is_off_or_unhealthy_is_left_alone(usdt: Usdt, change: dict[str, object]) -> None:
    for name, value in change.items():
        setattr(usdt.provider, name, value)
    usdt.provider.save()
    assert reconcile(usdt.provider.pk) == []


def test_a_silent_node_says_nothing(usdt: Usdt) -> None:
    settings(usdt, rpc_url="http://127.0.0.1:9")
    assert reconcile(usdt.provider.pk) == []
    assert breaks() == []
