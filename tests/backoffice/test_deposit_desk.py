"""Money without a home, and deposits that analysis holds, decided on in a real browser: by mouse and by keyboard."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

import pytest
from django.urls import reverse
from playwright.sync_api import expect

from kauri.account.models import User
from kauri.balance import invariants
from kauri.balance.chart import TransferKind
from kauri.common.actor import SYSTEM
from kauri.common.admin import page_url
from kauri.deposit_order import crediting
from kauri.deposit_order.models import DepositDetail, UnmatchedAct, UnmatchedMoney
from kauri.order_core.models import Order
from kauri.payment_provider.models import Payin
from tests.backoffice import scene
from tests.backoffice.window import HANDS, Window, by_mouse, named, sign_in
from tests.moves import balance_of, transfers

pytestmark = pytest.mark.usefixtures("house")

Windows = Callable[..., Window]

#: kind -> the button, what the dialog asks beside the reason, the payin's state and the ledger's transfer after.
ACTS = {
    "credit": ("Credit to a customer", {"customer": "owner@example.com"}, "credited", TransferKind.DEPOSIT),
    "send_back": ("Sent back", {"evidence": "0xsent-back-by-hand"}, "returned", TransferKind.SUSPENSE_RETURN),
    "keep": ("Keep as income", {}, "kept", TransferKind.SUSPENSE_INCOME),
}


@pytest.fixture
def money() -> UnmatchedMoney:
    """75 USDT that are final and nobody's."""
    scene.provider()
    row = scene.payin()
    crediting.book_unmatched(row.pk, actor=SYSTEM)
    return UnmatchedMoney.objects.get(pk=row.pk)


@pytest.fixture
def owner() -> User:
    return scene.customer("owner@example.com")


@pytest.fixture
def maker() -> scene.Person:
    return scene.operator("Treasury", "maker@example.com", scene.PASSWORD)


@pytest.fixture
def checker() -> scene.Person:
    return scene.operator("Senior", "checker@example.com", scene.PASSWORD)


@pytest.fixture
def held(owner: User) -> DepositDetail:
    scene.provider()
    return DepositDetail.objects.get(payin=scene.held(owner))


def state_of(row: Payin) -> str:
    return Payin.objects.values_list("state", flat=True).get(pk=row.pk)


@pytest.mark.parametrize("hand", HANDS)
@pytest.mark.parametrize("kind", ACTS)
def test_one_proposes_and_another_does_it(
    window: Windows,
    money: UnmatchedMoney,
    owner: User,
    maker: scene.Person,
    checker: scene.Person,
    kind: str,
    hand: str,
) -> None:
    button, asked, state, transfer = ACTS[kind]
    do = HANDS[hand]
    first = window()
    page = sign_in(first, maker)
    page.get_by_role("link", name="Unmatched money: 1").click()
    page.locator("#result_list tbody a").first.click()
    page.wait_for_url(f"**{page_url(money)}*")
    do(page, button, {**asked, "reason": "asked for by letter"})
    expect(page.locator("body")).to_contain_text("Proposed. Nothing has moved yet: a second person decides.")
    expect(page.get_by_role("link", name=named("Withdraw")).first).to_be_visible()
    expect(page.get_by_role("link", name=named("Approve"))).to_have_count(0)
    assert (state_of(money), transfers(transfer)) == ("unmatched", 0)

    second = window()
    page = sign_in(second, checker)
    page = second.open(f"{reverse('admin:deposit_order_unmatchedmoney_changelist')}?queue=proposed")
    page.locator("#result_list tbody a").first.click()
    expect(page.locator("body")).to_contain_text("asked for by letter")
    expect(page.locator("body")).to_contain_text("maker@example.com")
    do(page, "Approve", {"reason": "seen the letter"})
    expect(page.locator("body")).to_contain_text("Done.")
    assert (state_of(money), transfers(transfer)) == (state, 1)
    credited = Decimal(75) if kind == "credit" else Decimal(0)
    assert balance_of(owner)[0] == credited
    act = UnmatchedAct.objects.get()
    assert (act.proposed_by, act.decided_by, act.state) == (
        "maker@example.com",
        "checker@example.com",
        "done",
    )
    assert invariants.broken_laws() == []
    assert first.complaints == second.complaints == []


@pytest.mark.parametrize("hand", HANDS)
def test_a_no_moves_nothing_and_the_queue_has_it_again(
    window: Windows, money: UnmatchedMoney, maker: scene.Person, checker: scene.Person, hand: str
) -> None:
    do = HANDS[hand]
    first, second = window(), window()
    sign_in(first, maker)
    page = first.open(page_url(money))
    do(page, "Keep as income", {"reason": "nobody asks for it"})
    expect(page.locator("body")).to_contain_text("Proposed.")
    sign_in(second, checker)
    page = second.open(page_url(money))
    do(page, "Reject", {"reason": "wait a month"})
    expect(page.locator("body")).to_contain_text("Rejected: nothing moves.")
    assert (state_of(money), transfers(TransferKind.SUSPENSE_INCOME)) == ("unmatched", 0)
    assert first.complaints == second.complaints == []
    page = first.open(page_url(money))
    expect(page.locator("body")).to_contain_text("wait a month")
    expect(page.get_by_role("link", name=named("Keep as income")).first).to_be_visible()


def test_its_maker_takes_it_back(window: Windows, money: UnmatchedMoney, maker: scene.Person) -> None:
    found = window()
    sign_in(found, maker)
    page = found.open(page_url(money))
    by_mouse(page, "Sent back", {"evidence": "0xwrong", "reason": "mistyped"})
    by_mouse(page, "Withdraw", {})
    expect(page.locator("body")).to_contain_text("Withdrawn: nothing moves.")
    assert UnmatchedAct.objects.get().state == "withdrawn"
    assert state_of(money) == "unmatched"
    assert found.complaints == []


def test_a_reason_that_is_missing_is_asked_for_and_nothing_is_proposed(
    window: Windows, money: UnmatchedMoney, maker: scene.Person
) -> None:
    found = window()
    sign_in(found, maker)
    page = found.open(page_url(money))
    by_mouse(page, "Keep as income", {"reason": ""})
    expect(page.locator("#dialog")).to_contain_text("This field is required")
    assert UnmatchedAct.objects.count() == 0
    assert found.complaints == []


@pytest.mark.parametrize("hand", HANDS)
@pytest.mark.parametrize(
    ("button", "words", "status", "amount"),
    [("Credit the customer", "Credited.", "CLOSED", 75), ("Freeze", "Frozen.", "BLOCKED", 0)],
)
def test_compliance_decides_on_a_hold(
    window: Windows,
    held: DepositDetail,
    owner: User,
    button: str,
    words: str,
    status: str,
    amount: int,
    hand: str,
) -> None:
    found = window()
    page = sign_in(found, scene.operator("Compliance", "compliance@example.com", scene.PASSWORD))
    page.get_by_role("link", name="Deposits on hold: 1").click()
    page.locator("#result_list tbody a").first.click()
    page.wait_for_url(f"**{page_url(held)}*")
    assert balance_of(owner) == (Decimal(0), Decimal(0))
    HANDS[hand](page, button, {"reason": "asked where it came from"})
    expect(page.locator("body")).to_contain_text(words)
    order = Order.objects.get(pk=held.pk)
    assert order.status == status
    assert balance_of(owner) == (Decimal(amount), Decimal(0))
    expect(page.locator("body")).to_contain_text("compliance@example.com")
    assert found.complaints == []
    assert invariants.broken_laws() == []


def test_who_may_only_look_has_no_buttons(
    window: Windows, money: UnmatchedMoney, held: DepositDetail
) -> None:
    found = window()
    sign_in(found, scene.operator("Auditor", "auditor@example.com", scene.PASSWORD))
    for row, buttons in (
        (money, ("Credit to a customer", "Sent back", "Keep as income")),
        (held, ("Credit the customer", "Freeze")),
    ):
        page = found.open(page_url(row))
        expect(page.locator("h1, h2").first).to_be_visible()
        for name in buttons:
            expect(page.get_by_role("link", name=named(name))).to_have_count(0)
    assert found.complaints == []
