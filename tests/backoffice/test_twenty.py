"""A morning at the desk: twenty cases of six kinds, from sign-in to an empty desk, by mouse and by keyboard alone."""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal

import pytest
from django.test import Client
from django.urls import reverse
from playwright.sync_api import Page, expect

from kauri.account.models import VerificationCase
from kauri.balance import invariants
from kauri.common.actor import SYSTEM
from kauri.common.admin import page_url
from kauri.core import proposals
from kauri.core.audit import audit
from kauri.core.models import Proposal
from kauri.deposit_order import crediting
from kauri.deposit_order.models import DepositDetail, UnmatchedMoney
from kauri.deposit_order.unmatched import Kind, act_propose
from kauri.internal_movement_order.models import MovementDetail
from kauri.internal_movement_order.services import MovementRequest, movement_create
from kauri.order_core.models import Approval, Order, Policy
from kauri.order_core.states import OrderStatus
from kauri.payment_provider.models import Payin
from tests.backoffice import scene
from tests.backoffice.window import HANDS, Window, past_the_menu, shortcut, sign_in, tab_until
from tests.moves import balance_of, give

pytestmark = pytest.mark.usefixtures("house")

AtDesk = Callable[..., Client]
#: The cards of the desk in the order in which they are worked, with how many cases wait on each.
CARDS = {
    "Withdrawals to approve": 8,
    "Verification queue": 3,
    "Movements to approve": 2,
    "Proposed changes": 2,
    "Unmatched money": 2,
    "Deposits on hold": 3,
}
#: Whose newest row has a page with links to rows of other lists.
WORK = (VerificationCase, MovementDetail, Proposal, UnmatchedMoney, DepositDetail, Order, Policy)


def fill() -> None:
    """Twenty cases by twenty customers, each with money of their own."""
    scene.provider()
    for number in range(8):
        customer = scene.customer(f"pays{number}@example.com", balance="20000", level=2)
        scene.withdrawal(customer, str(12000 + number))
    for number in range(3):
        scene.verification(scene.customer(f"proves{number}@example.com", level=0))
        scene.held(scene.customer(f"holds{number}@example.com"))
    maker = scene.operator("Administrator").user.as_actor()
    treasury = scene.operator("Treasury").user.as_actor()
    for number in range(2):
        _moved(number)
        policy = Policy.objects.create(
            operation="WITHDRAWAL", user=scene.customer(f"ruled{number}@example.com")
        )
        proposals.propose(
            target="order_core.policy",
            target_id=str(policy.pk),
            values={"max_amount": "5000"},
            reason="a cautious customer",
            actor=maker,
        )
        money = scene.payin(amount=str(70 + number))
        crediting.book_unmatched(money.pk, actor=SYSTEM)
        act_propose(payin_id=money.public_id, kind=Kind.KEEP, reason="nobody asks", actor=treasury)


def _moved(number: int) -> None:
    sender = scene.customer(f"sends{number}@example.com")
    give(sender, "UAH", "900000")
    movement_create(
        request=MovementRequest(
            user_id=sender.pk,
            currency="UAH",
            amount="500000",
            addressed_by=MovementDetail.AddressedBy.EMAIL,
            addressed_to=scene.customer(f"gets{number}@example.com").email,
        ),
        actor=sender.as_actor(),
    )


def counted(page: Page) -> dict[str, int]:
    """What the desk says waits, by card."""
    found = page.get_by_test_id("count").evaluate_all("links => links.map(link => link.ariaLabel)")
    return {title: int(number) for title, number in (text.rsplit(": ", 1) for text in found)}


def to_the_list(page: Page, base: str, title: str, hand: str) -> None:
    """From the desk to the head of a queue."""
    page.goto(f"{base}{reverse('admin:index')}")
    pattern = re.compile(rf"^{re.escape(title)}: ")
    if hand == "mouse":
        page.get_by_role("link", name=pattern).click()
        page.locator("#result_list tbody a").first.click()
        return
    past_the_menu(page)
    name = "document.activeElement?.ariaLabel ?? ''"
    tab_until(page, lambda: bool(pattern.match(str(page.evaluate(name)))))
    with page.expect_navigation(wait_until="networkidle"):
        page.keyboard.press("Enter")
    past_the_menu(page)
    in_list = "document.activeElement?.matches('#result_list tbody a') ?? false"
    tab_until(page, lambda: bool(page.evaluate(in_list)))
    with page.expect_navigation(wait_until="networkidle"):
        page.keyboard.press("Enter")


def withdrawals(page: Page, hand: str) -> None:
    """Approve six, one of them after it was on hold, and reject two: the page leads from one to the next."""
    for number in range(8):
        expect(page.get_by_test_id("amount")).to_contain_text(f"12\u00a000{number}")
        if number == 5:
            _press(page, hand, "w", "hold")
            _type(page, hand, "#hold-dialog [name=reason]", "until the bank opens")
            _confirm(page, hand, "hold")
            # On hold: the next one is shown; back to the one before.
            expect(page.get_by_test_id("amount")).to_contain_text("12\u00a0006")
            page.go_back()
            expect(page.get_by_test_id("held")).to_be_visible()
            expect(page.get_by_test_id("approve")).to_have_count(0)
            _press(page, hand, "w", "unhold")
            expect(page.get_by_test_id("approve")).to_be_visible()
        key, name = ("r", "reject") if number in (2, 6) else ("a", "approve")
        _press(page, hand, key, name)
        if name == "reject":
            if hand == "mouse":
                page.select_option("#reject-dialog select", "suspicious_destination")
            else:
                page.keyboard.type("Suspicious destination")
        _confirm(page, hand, name)
        expect(page.locator("body")).to_contain_text(
            f"Rejected: 1200{number} USDT" if name == "reject" else f"Approved: 1200{number} USDT"
        )


def _press(page: Page, hand: str, key: str, name: str) -> None:
    if hand == "mouse":
        page.get_by_test_id(name).click()
    else:
        shortcut(page, key)


def _type(page: Page, hand: str, field: str, text: str) -> None:
    expect(page.locator(field)).to_be_focused()
    if hand == "mouse":
        page.fill(field, text)
    else:
        page.keyboard.type(text)


def _confirm(page: Page, hand: str, name: str) -> None:
    if hand == "mouse":
        page.get_by_test_id(f"{name}-confirm").click()
        return
    expect(page.locator(f"#{name}-dialog")).to_be_visible()
    wanted = f"document.activeElement?.dataset?.testid === '{name}-confirm'"
    tab_until(page, lambda: bool(page.evaluate(wanted)))
    page.keyboard.press("Enter")


#: card -> of each of its cases the button, what the dialog asks, what the house says then.
DIALOGS = {
    "Verification queue": [("Verify", {"reason": "the face fits"}, "The customer is verified.")] * 3,
    "Movements to approve": [("Approve", {}, "Approved")] * 2,
    "Proposed changes": [("Approve", {"reason": "agreed"}, "The change is in effect.")] * 2,
    "Unmatched money": [("Approve", {"reason": "seen"}, "Done.")] * 2,
    "Deposits on hold": [
        ("Credit the customer", {"reason": "explained"}, "Credited."),
        ("Credit the customer", {"reason": "explained"}, "Credited."),
        ("Freeze", {"reason": "not explained"}, "Frozen."),
    ],
}


@pytest.mark.timeout(900)  # twenty cases on a loaded machine
@pytest.mark.parametrize("hand", HANDS)
def test_twenty_cases_from_sign_in_to_empty(window: Callable[..., Window], hand: str) -> None:
    fill()
    found = window()
    page = sign_in(found, scene.operator("Senior", "senior@example.com", scene.PASSWORD))
    waiting = counted(page)
    assert {title: waiting[title] for title in CARDS} == CARDS
    assert sum(waiting.values()) == sum(CARDS.values()) == 20
    to_the_list(page, found.base, "Withdrawals to approve", hand)
    withdrawals(page, hand)
    for title, cases in DIALOGS.items():
        for button, asked, said in cases:
            to_the_list(page, found.base, title, hand)
            HANDS[hand](page, button, asked)
            expect(page.locator("body")).to_contain_text(said)
    page.goto(f"{found.base}{reverse('admin:index')}")
    assert set(counted(page).values()) == {0}
    assert found.complaints == []
    assert found.hosts == {found.base.split("/")[2]}
    _everything_moved_once()


def _everything_moved_once() -> None:
    states = Order.objects.filter(type="WITHDRAWAL").order_by("amount_out").values_list("status", flat=True)
    paid, back = OrderStatus.PAYMENT_IN_PROGRESS, OrderStatus.CANCELLED
    assert list(states) == [paid, paid, back, paid, paid, paid, back, paid]
    assert not Approval.objects.filter(state="pending").exists()
    assert set(VerificationCase.objects.values_list("state", flat=True)) == {"approved"}
    assert set(Proposal.objects.values_list("state", flat=True)) == {"applied"}
    assert [row.state for row in Payin.objects.filter(pk__in=UnmatchedMoney.objects.values("pk"))].count(
        "kept"
    ) == 2
    held = Order.objects.filter(pk__in=DepositDetail.objects.values("pk"))
    assert sorted(held.values_list("status", flat=True)) == ["BLOCKED", "CLOSED", "CLOSED"]
    gone = [
        balance_of(user, "UAH")
        for user in (row.owner for row in Order.objects.filter(type="INTERNAL_MOVEMENT"))
    ]
    assert gone == [(Decimal(400000), Decimal(0))] * 2
    assert invariants.broken_laws() == []


ROLES = ("Support", "Compliance", "Treasury", "Finance", "Senior", "Administrator", "Auditor")


@pytest.mark.parametrize("role", ROLES)
def test_every_link_that_a_role_is_shown_opens(at_desk: AtDesk, role: str) -> None:
    """The desk's cards, the side bar and the heads of the lists: nobody is shown a door that is shut."""
    fill()
    client = at_desk(role)
    links = doors(client.get(reverse("admin:index")).content.decode())
    assert len(links) > 5
    shut = {link: client.get(link).status_code for link in sorted(links)}
    assert {link: code for link, code in shut.items() if code not in (200, 302)} == {}


@pytest.mark.parametrize("role", ROLES)
def test_no_page_of_work_shows_a_door_that_is_shut(at_desk: AtDesk, role: str) -> None:
    fill()
    order = Order.objects.filter(type="WITHDRAWAL").earliest("pk")
    audit(SYSTEM, "account_disable", object_type="user", object_id=order.owner.pk, label=order.owner.email)
    scene.delivery(order.owner, order=order)
    client = at_desk(role)
    shown = [order.owner, order.withdrawal, *(model._default_manager.latest("pk") for model in WORK)]
    opened = [client.get(page_url(row)) for row in shown]
    assert (opened[0].status_code, opened[1].status_code) == (200, 200)
    links = set.union(*(doors(page.content.decode()) for page in opened if page.status_code == 200))
    links -= doors(client.get(reverse("admin:index")).content.decode())
    assert len(links) > 10
    shut = {link: client.get(link).status_code for link in sorted(links)}
    assert {link: code for link, code in shut.items() if code not in (200, 302)} == {}


def doors(page: str) -> set[str]:
    found = set(re.findall(r'<a[^>]+href="(/[^"#]*)"', page.replace("&amp;", "&")))
    return {link for link in found if "logout" not in link and "/static/" not in link}
