"""The screens in a real browser: by mouse, by keyboard, in both themes, and with nobody else listening."""

from __future__ import annotations

import base64
from collections.abc import Callable

import pytest
from django.contrib import admin
from django.urls import reverse
from playwright.sync_api import expect

from kauri.account.models import SignIn, TOTPDevice, User
from kauri.order_core.models import Approval, Order, OrderNote
from kauri.order_core.states import OrderStatus
from tests.backoffice import scene
from tests.backoffice.window import Window, code_of, shortcut, sign_in

pytestmark = pytest.mark.usefixtures("house")


@pytest.fixture
def treasurer() -> scene.Person:
    return scene.operator("Treasury", "treasury-one@example.com", scene.PASSWORD)


@pytest.fixture
def order() -> Order:
    scene.provider()
    return scene.withdrawal(scene.customer("first@example.com", balance="20000", level=2), "12500")


def decision_of(order: Order) -> str:
    return reverse("admin:withdrawal_order_withdrawaldetail_change", args=(order.public_id,))


def status_of(order: Order) -> str:
    return Order.objects.values_list("status", flat=True).get(pk=order.pk)


def test_a_newcomer_enrols_and_gets_in(window: Callable[..., Window]) -> None:
    User.objects.create_user(email="new@example.com", password=scene.PASSWORD, is_staff=True)
    found = window()
    page = found.open(reverse("admin:login"))
    page.fill("[name=email]", "new@example.com")
    page.fill("[name=password]", scene.PASSWORD)
    page.locator("#login-form button[type=submit]").click()
    page.wait_for_selector("[data-testid=secret]")
    picture = page.locator(".k-qr")
    assert picture.evaluate("image => image.complete && image.naturalWidth > 0")
    secret = page.get_by_test_id("secret").inner_text().replace(" ", "")
    device = TOTPDevice(key=base64.b32decode(secret).hex())
    page.fill("[name=code]", code_of(device))
    page.locator("#enrol-form button[type=submit]").click()
    page.wait_for_selector("#desk")
    assert SignIn.objects.get().succeeded
    assert found.complaints == []


def test_decide_by_mouse(window: Callable[..., Window], treasurer: scene.Person, order: Order) -> None:
    found = window()
    page = sign_in(found, treasurer)
    page.get_by_test_id("next").click()
    page.get_by_test_id("approve").click()
    expect(page.locator("#approve-dialog")).to_contain_text(scene.DESTINATION)
    page.get_by_test_id("approve-confirm").click()
    expect(page.locator("body")).to_contain_text("Approved: 12500 USDT")
    assert status_of(order) == OrderStatus.PAYMENT_IN_PROGRESS
    assert found.complaints == []


def test_decide_by_keyboard(window: Callable[..., Window], treasurer: scene.Person, order: Order) -> None:
    second = scene.withdrawal(scene.customer("third@example.com", balance="9000"), "2000")
    found = window()
    sign_in(found, treasurer)
    page = found.open(decision_of(order))
    shortcut(page, "t")
    expect(page.get_by_test_id("taken")).to_have_text("You have taken it")
    shortcut(page, "n")
    page.keyboard.type("called: all is well, art was bought")
    page.get_by_test_id("note-confirm").press("Enter")
    expect(page.locator(".k-notes")).to_contain_text("all is well")
    shortcut(page, "a")
    expect(page.get_by_test_id("approve-confirm")).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.locator("#approve-dialog")).to_be_hidden()
    assert status_of(order) == OrderStatus.WAITING_FOR_OPERATOR_CONFIRMATION
    shortcut(page, "a")
    page.keyboard.press("Enter")
    page.wait_for_url(f"**{decision_of(second)}")
    assert status_of(order) == OrderStatus.PAYMENT_IN_PROGRESS
    shortcut(page, "r")
    page.select_option("#reject-dialog select", "suspicious_destination")
    page.get_by_test_id("reject-confirm").press("Enter")
    expect(page.locator("body")).to_contain_text("Rejected: 2000 USDT")
    assert status_of(second) == OrderStatus.CANCELLED
    assert OrderNote.objects.get().text == "called: all is well, art was bought"
    assert found.complaints == []


def test_two_operators_see_each_other(
    window: Callable[..., Window], treasurer: scene.Person, order: Order
) -> None:
    other = scene.operator("Treasury", "treasury-two@example.com", scene.PASSWORD)
    first, second = window(), window()
    sign_in(first, treasurer)
    sign_in(second, other)
    first_page, second_page = first.open(decision_of(order)), second.open(decision_of(order))
    first_page.get_by_test_id("take").click()
    expect(first_page.get_by_test_id("taken")).to_have_text("You have taken it")
    # The other page was open before: it learns by itself.
    expect(second_page.get_by_test_id("taken")).to_have_text(
        "Taken by treasury-one@example.com", timeout=60_000
    )
    expect(second_page.get_by_test_id("obstacle")).to_contain_text("treasury-one@example.com has taken it")
    assert Approval.objects.get().taken_by == treasurer.user
    assert first.complaints == second.complaints == []


def test_the_race_on_open_pages_has_one_winner(
    window: Callable[..., Window], treasurer: scene.Person, order: Order
) -> None:
    other = scene.operator("Treasury", "treasury-two@example.com", scene.PASSWORD)
    first, second = window(), window()
    sign_in(first, treasurer)
    sign_in(second, other)
    pages = [first.open(decision_of(order)), second.open(decision_of(order))]
    for page in pages:
        page.get_by_test_id("approve").click()
    pages[0].get_by_test_id("approve-confirm").click()
    expect(pages[0].locator("body")).to_contain_text("Approved:")
    pages[1].get_by_test_id("approve-confirm").click()
    expect(pages[1].locator("body")).to_contain_text("treasury-one@example.com approved it at")
    assert Approval.objects.get().votes.count() == 1


def test_the_desk_refreshes_by_itself(
    window: Callable[..., Window], treasurer: scene.Person, order: Order
) -> None:
    found = window()
    page = sign_in(found, treasurer)
    expect(page.get_by_test_id("count").first).to_have_text("1")
    scene.withdrawal(scene.customer("third@example.com", balance="9000"), "2000")
    page.mouse.move(200, 200)
    expect(page.get_by_test_id("count").first).to_have_text("2", timeout=60_000)
    assert found.complaints == []


def test_a_dialog_verifies_a_customer(window: Callable[..., Window]) -> None:
    customer = scene.customer("first@example.com", level=1)
    found = window()
    sign_in(found, scene.operator("Compliance", "fourth@example.com", scene.PASSWORD))
    page = found.open(reverse("admin:account_user_change", args=(customer.public_id,)))
    page.get_by_role("link", name="Verify").first.click()
    page.select_option("[name=level]", "2")
    page.locator("#dialog button[type=submit]").click()
    expect(page.locator("#dialog")).to_contain_text("This field is required")
    page.fill("#dialog [name=reason]", "papers seen")
    page.locator("#dialog button[type=submit]").click()
    expect(page.locator("body")).to_contain_text("first@example.com is now at level 2.")
    customer.refresh_from_db()
    assert customer.verification_level == 2
    assert found.complaints == []


def test_the_palette_opens_with_ctrl_k(
    window: Callable[..., Window], treasurer: scene.Person, order: Order
) -> None:
    found = window()
    page = sign_in(found, treasurer)
    shortcut(page, "Control+k")
    box = page.locator("#search-input-command")
    expect(box).to_be_visible()
    expect(box).to_be_focused()
    box.press_sequentially(str(order.public_id))
    page.locator("#command-results-list a").first.click()
    page.wait_for_url("**/change/")
    expect(page.get_by_test_id("amount")).to_contain_text("12\u00a0500")
    assert found.complaints == []


@pytest.mark.parametrize(("language", "scheme"), [("en", "dark"), ("uk", "light"), ("ru", "dark")])
def test_every_screen_is_quiet_and_stays_at_home(
    window: Callable[..., Window], order: Order, scheme: str, language: str
) -> None:
    """No error in the console (a broken CSP rule is one), no request to anybody else."""
    scene.house_lives()
    scene.payin()
    scene.callback()
    scene.delivery(order.owner, order=order)
    auditor = scene.operator("Auditor", "auditor@example.com", scene.PASSWORD)
    found = window(color_scheme=scheme, locale=language)
    sign_in(found, auditor)
    for model in admin.site._registry:
        path = reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")
        page = found.open(path)
        assert page.locator("html").get_attribute("lang") == language
        link = page.locator("#result_list tbody a[href*='/change/']").first
        if link.count():
            link.click()
            page.wait_for_load_state()
    assert found.complaints == []
    assert found.hosts == {found.base.split("/")[2]}


@pytest.mark.parametrize("width", [1440, 834])
def test_the_decision_fits_a_desk_and_a_tablet(
    window: Callable[..., Window], treasurer: scene.Person, order: Order, width: int
) -> None:
    found = window(viewport={"width": width, "height": 1100})
    sign_in(found, treasurer)
    page = found.open(decision_of(order))
    overflow = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert overflow <= 0
    box = page.get_by_test_id("approve").bounding_box()
    assert box is not None
    assert box["y"] + box["height"] < 1100
