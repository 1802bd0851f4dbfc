"""A token of another contract at a customer's address: people see it once; no money comes of it."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

import pytest
from django.db import IntegrityError, connection, transaction

from kauri.account.models import User
from kauri.balance import invariants
from kauri.balance.chart import TransferKind
from kauri.balance.models import Transfer
from kauri.common import evm
from kauri.common.actor import Actor
from kauri.core.models import AuditEntry, Provider
from kauri.deposit_order.services import deposits_scan
from kauri.notification.alerts import alert_text
from kauri.order_core.models import Order
from kauri.payment_provider.models import Payin
from kauri.wallet import foreign
from kauri.wallet.foreign import foreign_explain, foreign_watch
from kauri.wallet.models import ForeignToken, ForeignWatch
from tests.house import Ether, Usdt
from tests.kauri.wallet.test_sweeping import deposit
from tests.moves import address_of, balance_of, code_of, events, transfers
from tests.nodes import FAUCET, OTHER, Chain, Middleman

Customer = Callable[..., User]


@pytest.fixture
def stranger(usdt: Usdt) -> str:
    """Another token's contract; the provider watches for such, from now on."""
    usdt.provider.settings = {**usdt.provider.settings, "watch_foreign_tokens": True}
    usdt.provider.save()
    other = usdt.chain.deploy_token()
    look(usdt)
    return other


def look(usdt: Usdt) -> int:
    """A scan, and then a look behind it."""
    deposits_scan(usdt.provider.pk)
    return foreign_watch(usdt.provider.pk)


def come(chain: Chain, token: str, address: str, units: int, *, blocks: int = 3) -> str:
    name = chain.send_tokens(token, address, units)
    chain.mine(blocks)
    return name


def states() -> list[str]:
    return list(ForeignToken.objects.order_by("pk").values_list("state", flat=True))


def test_it_is_one_row_and_no_money(usdt: Usdt, stranger: str, customer: Customer) -> None:
    user = customer()
    address = address_of(user)
    posted = Transfer.objects.count()
    name = come(usdt.chain, stranger, address, 7_000_001)
    assert (look(usdt), look(usdt)) == (1, 0)
    row = ForeignToken.objects.get()
    assert (row.contract, row.address, row.sender) == (stranger, address, FAUCET)
    assert (row.transaction, row.ordinal, row.amount) == (name, 0, "7000001")
    assert (row.is_item, row.state) == (False, "open")
    assert row.block_hash == usdt.chain.receipt(name)["blockHash"]
    assert Payin.objects.count() == Order.objects.count() == 0
    assert balance_of(user) == (Decimal(0), Decimal(0))
    assert Transfer.objects.count() == posted
    assert events("payin.unmatched") == []
    [told] = events("foreign_token.seen")
    assert (told.payload["contract"], told.payload["transaction"]) == (stranger, name)
    text = alert_text(told.kind, told.payload, "https://desk") or ""
    assert f"https://desk/wallet/foreigntoken/{row.pk}/change/" in text
    assert "more" not in text
    assert invariants.broken_laws() == []


def test_our_own_token_beside_it_is_a_deposit_and_no_row(
    usdt: Usdt, stranger: str, customer: Customer
) -> None:
    user = customer()
    address = address_of(user)
    usdt.send(address, "25.5", mine=0)
    come(usdt.chain, stranger, address, 5)
    assert look(usdt) == 1
    assert ForeignToken.objects.get().contract == stranger
    assert balance_of(user) == (Decimal("25.5"), Decimal(0))
    assert transfers(TransferKind.DEPOSIT) == 1


def test_nobodys_addresses_and_nothings_are_not_seen(usdt: Usdt, stranger: str, customer: Customer) -> None:
    """The hot wallet, a stranger, and a transfer of nothing to a customer."""
    address = address_of(customer())
    chain = usdt.chain
    for to, units in ((usdt.hot_address, 5), (OTHER, 5), (address, 0)):
        chain.send_tokens(stranger, to, units)
    chain.mine(3)
    assert look(usdt) == 0
    assert states() == []
    assert ForeignWatch.objects.get().height == chain.height() - 2, "looked through all the same"


def test_it_is_not_deep_enough_yet(usdt: Usdt, stranger: str, customer: Customer) -> None:
    come(usdt.chain, stranger, address_of(customer()), 5, blocks=2)
    assert look(usdt) == 0
    usdt.chain.mine()
    assert look(usdt) == 1


def test_a_provider_that_does_not_ask_is_not_asked(usdt: Usdt, customer: Customer) -> None:
    usdt.provider.settings = {
        name: value for name, value in usdt.provider.settings.items() if name != "watch_foreign_tokens"
    }
    usdt.provider.save()
    come(usdt.chain, usdt.chain.deploy_token(), address_of(customer()), 5)
    assert look(usdt) == 0
    assert ForeignWatch.objects.count() == 0


def test_a_reorg_above_what_is_deep_changes_nothing(usdt: Usdt, stranger: str, customer: Customer) -> None:
    come(usdt.chain, stranger, address_of(customer()), 5)
    assert look(usdt) == 1
    usdt.chain.reorg(2)
    usdt.chain.mine(2)
    assert look(usdt) == 0
    assert states() == ["open"]


def test_a_deep_reorg_takes_it_away_and_another_block_brings_it_back(
    usdt: Usdt, stranger: str, customer: Customer
) -> None:
    chain = usdt.chain
    chain.mine(2)
    look(usdt)
    name = come(chain, stranger, address_of(customer()), 5)
    raw = chain.raw(name)
    assert look(usdt) == 1
    first = ForeignToken.objects.get()
    chain.reorg(4)
    chain.rpc.call("anvil_dropAllTransactions")
    chain.mine(2)
    assert look(usdt) == 0
    assert states() == ["gone"]
    chain.rpc.call("eth_sendRawTransaction", raw)
    chain.mine(3)
    assert look(usdt) == 0
    again = ForeignToken.objects.get()
    assert (again.pk, again.state) == (first.pk, "open")
    assert again.block_hash == chain.receipt(name)["blockHash"] != first.block_hash
    assert len(events("foreign_token.seen")) == 1


def test_what_is_explained_stays_so_when_the_chain_changes(
    usdt: Usdt, stranger: str, customer: Customer, operator: Callable[..., Actor]
) -> None:
    chain = usdt.chain
    chain.mine(2)
    look(usdt)
    raw = chain.raw(come(chain, stranger, address_of(customer()), 5))
    look(usdt)
    row = ForeignToken.objects.get()
    foreign_explain(token_id=row.pk, actor=operator("Finance"), explanation="asked by letter")
    chain.reorg(4, (raw, 0))
    chain.mine(3)
    assert look(usdt) == 0
    assert states() == ["explained"]


def test_two_of_one_transaction_are_two_rows_and_a_far_behind_watch_reads_all(
    usdt: Usdt, stranger: str, customer: Customer
) -> None:
    one, two = address_of(customer()), address_of(customer())
    payer = usdt.chain.deploy("TestPayer")
    usdt.chain.fund(stranger, payer, units=10)
    arguments: list[int | str] = [stranger, 0x60, 0xC0, 2, one, two, 2, 3, 4]
    name = usdt.chain.transact(
        to=payer, data=evm.call_data("payAll(address,address[],uint256[])", *arguments)
    )
    usdt.chain.mine(450)
    deposits_scan(usdt.provider.pk)
    assert foreign_watch(usdt.provider.pk) == 2
    rows = ForeignToken.objects.order_by("ordinal")
    assert [(row.transaction, row.address, row.amount) for row in rows] == [
        (name, one, "3"),
        (name, two, "4"),
    ]


def test_tokens_at_an_address_of_ether_are_seen_too(ether: Ether, customer: Customer) -> None:
    """The commonest mistake: any token at all, ours on another network's address as well."""
    ether.provider.settings = {**ether.provider.settings, "watch_foreign_tokens": True}
    ether.provider.save()
    address = deposit(ether, customer(), "0.5").address
    foreign_watch(ether.provider.pk)
    token = ether.chain.deploy_token()
    come(ether.chain, token, address, 9)
    deposits_scan(ether.provider.pk)
    assert foreign_watch(ether.provider.pk) == 1
    assert ForeignToken.objects.get().contract == token
    assert Payin.objects.count() == 1


def test_of_one_contract_a_bounded_number_waits_for_people(
    usdt: Usdt, stranger: str, customer: Customer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(foreign, "MOST_OPEN", 3)
    address = address_of(customer())
    for units in range(1, 6):
        usdt.chain.send_tokens(stranger, address, units)
    second = usdt.chain.deploy_token()
    come(usdt.chain, second, address, 1)
    assert look(usdt) == 6
    assert states() == ["open", "open", "open", "quiet", "quiet", "open"]
    [told] = events("foreign_token.seen")
    assert told.payload["more"] == 3
    come(usdt.chain, stranger, address, 9)
    look(usdt)
    assert states()[-1] == "quiet"
    assert len(events("foreign_token.seen")) == 1, "what is quiet is not told"


def test_a_host_that_bounds_its_answers_is_asked_in_halves(
    usdt: Usdt, stranger: str, customer: Customer, middleman: Middleman
) -> None:
    refusal = {"error": {"code": -32005, "message": "query returned too many results"}}
    address = address_of(customer())
    for units in (1, 2):
        come(usdt.chain, stranger, address, units, blocks=5)
    usdt.provider.settings = {**usdt.provider.settings, "rpc_url": middleman.url}
    usdt.provider.save()

    def answer(params: list[dict[str, str]]) -> dict[str, object] | None:
        wide = (
            "fromBlock" in params[0] and int(params[0]["toBlock"], 16) - int(params[0]["fromBlock"], 16) > 1
        )
        return refusal if wide else None

    middleman.replaced["eth_getLogs"] = answer
    assert look(usdt) == 2
    middleman.replaced["eth_getLogs"] = lambda _params: refusal
    come(usdt.chain, stranger, address, 3)
    deposits_scan(usdt.provider.pk)
    before = ForeignWatch.objects.get().height
    assert foreign_watch(usdt.provider.pk) == 0
    assert ForeignWatch.objects.get().height == before, "what could not be read is not looked through"


def test_a_chain_that_changes_while_it_is_read_is_read_again(
    usdt: Usdt, stranger: str, customer: Customer, monkeypatch: pytest.MonkeyPatch
) -> None:
    come(usdt.chain, stranger, address_of(customer()), 5)
    deposits_scan(usdt.provider.pk)
    with monkeypatch.context() as patch:
        patch.setattr("kauri.payment_provider.gateways.evm_chain.EvmChain.block_at", lambda *_: None)
        assert foreign_watch(usdt.provider.pk) == 0
    assert states() == []
    assert foreign_watch(usdt.provider.pk) == 1


def test_a_crash_before_the_end_leaves_nothing_half_done(
    usdt: Usdt, stranger: str, customer: Customer, monkeypatch: pytest.MonkeyPatch
) -> None:
    come(usdt.chain, stranger, address_of(customer()), 5)
    deposits_scan(usdt.provider.pk)
    before = ForeignWatch.objects.get().height

    class Crash(Exception):
        pass

    def crash(*_: object) -> None:
        raise Crash

    with monkeypatch.context() as patch, pytest.raises(Crash):
        patch.setattr(foreign, "_tell", crash)
        foreign_watch(usdt.provider.pk)
    assert (states(), ForeignWatch.objects.get().height) == ([], before)
    assert foreign_watch(usdt.provider.pk) == 1


def test_a_person_explains_one_or_all_of_a_contract(
    usdt: Usdt, stranger: str, customer: Customer, operator: Callable[..., Actor]
) -> None:
    address = address_of(customer())
    second = usdt.chain.deploy_token()
    for token in (stranger, stranger, stranger, second):
        come(usdt.chain, token, address, 5)
    look(usdt)
    first = ForeignToken.objects.order_by("pk")[0]
    finance = operator("Finance")
    assert code_of(lambda: explain(first, operator("Support"), "spam")) == "forbidden"
    assert code_of(lambda: explain(first, finance, " ")) == "validation_error"
    assert code_of(lambda: foreign_explain(token_id=0, actor=finance, explanation="spam")) == "not_found"
    assert states() == ["open"] * 4
    assert explain(first, finance, "sent back by hand") == 1
    assert code_of(lambda: explain(first, finance, "again")) == "wrong_state"
    assert states() == ["explained", "open", "open", "open"]
    rest = ForeignToken.objects.order_by("pk")[1]
    assert foreign_explain(token_id=rest.pk, actor=finance, explanation="spam", whole_contract=True) == 2
    assert states() == ["explained", "explained", "explained", "open"]
    assert ForeignToken.objects.order_by("pk")[0].explanation == "sent back by hand"
    assert [
        row.after["rows"] for row in AuditEntry.objects.filter(verb="foreign_explain").order_by("id")
    ] == [1, 2]


def explain(row: ForeignToken, actor: Actor, words: str) -> int:
    return foreign_explain(token_id=row.pk, actor=actor, explanation=words)


@pytest.mark.parametrize(
    ("statement", "law"),
    [
        ("update wallet_foreigntoken set state = 'explained'", "foreign_token_explained_by_somebody"),
        (
            "update wallet_foreigntoken set state = 'explained', explained_by = 'x', closed_at = now()",
            "foreign_token_explained_by_somebody",
        ),
        ("update wallet_foreigntoken set amount = '-1'", "foreign_token_amount_in_digits"),
        ("update wallet_foreigntoken set amount = ''", "foreign_token_amount_in_digits"),
        (
            "insert into wallet_foreigntoken (provider_id, contract, address, sender, transaction, ordinal, amount,"
            " is_item, block_height, block_hash, state, seen_at, explained_by, explanation)"
            " select provider_id, contract, address, sender, transaction, ordinal, amount, is_item,"
            " block_height, block_hash, state, seen_at, explained_by, explanation from wallet_foreigntoken",
            "foreign_token_once",
        ),
    ],
)
def test_the_database_keeps_its_laws(house: None, statement: str, law: str) -> None:
    ForeignToken.objects.create(
        provider=Provider.objects.get(code="usdt-node"),
        contract=OTHER,
        address=OTHER,
        sender=FAUCET,
        transaction="0x1",
        ordinal=0,
        amount="7",
        block_height=1,
        block_hash="0x2",
    )
    with pytest.raises(IntegrityError, match=law), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement)
    assert states() == ["open"]
