"""A browser window, the way into the house by keyboard, and dialogs by either hand."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from django.urls import reverse
from django_otp.oath import TOTP
from playwright.sync_api import Page, expect

from kauri.account.models import TOTPDevice
from tests.backoffice import scene

#: A loaded machine is slow, not wrong.
expect.set_options(timeout=30_000)
#: More stops than any page of ours has before its buttons.
STOPS = 160


@dataclass
class Window:
    """A browser window that remembers every complaint and every host it asked."""

    page: Page
    base: str
    complaints: list[str] = field(default_factory=list)
    hosts: set[str] = field(default_factory=set)

    def open(self, path: str) -> Page:
        self.page.goto(f"{self.base}{path}")
        return self.page


def code_of(device: TOTPDevice) -> str:
    generator = TOTP(device.bin_key, device.step, device.t0, device.digits, device.drift)
    generator.time = time.time()
    return f"{generator.token():06d}"


def sign_in(found: Window, person: scene.Person) -> Page:
    """By keyboard alone: the fields are in the order in which one types."""
    page = found.open(reverse("admin:login"))
    expect(page.locator("[name=email]")).to_be_focused()
    page.keyboard.type(person.user.email)
    page.keyboard.press("Tab")
    page.keyboard.type(scene.PASSWORD)
    page.keyboard.press("Enter")
    expect(page.locator("[name=code]")).to_be_focused()
    page.keyboard.type(code_of(person.device))
    page.keyboard.press("Enter")
    page.wait_for_selector("#desk")
    return page


def named(name: str) -> re.Pattern[str]:
    """A button of ours is an icon, whose name is text as well, and its words."""
    return re.compile(rf"(^|\s){re.escape(name)}$")


def tab_until(page: Page, is_there: Callable[[], bool]) -> None:
    """Go on as somebody without a mouse does."""
    for _ in range(STOPS):
        if is_there():
            return
        page.keyboard.press("Tab")
    raise AssertionError("the keyboard never comes there")


def shortcut(page: Page, key: str) -> None:
    """Press a key of the page's own once it hears keys: its words are drawn before its scripts run."""
    page.wait_for_load_state("networkidle")
    page.keyboard.press(key)


def past_the_menu(page: Page) -> None:
    """The first stop of a page that is up leads past the side bar."""
    page.wait_for_load_state("networkidle")
    page.keyboard.press("Tab")
    if page.evaluate("document.activeElement?.matches('.k-skip') ?? false"):
        page.keyboard.press("Enter")
        page.keyboard.press("Tab")


def by_mouse(page: Page, button: str, fields: dict[str, str]) -> None:
    page.get_by_role("link", name=named(button)).first.click()
    for name, value in fields.items():
        page.fill(f"#dialog [name={name}]", value)
    page.locator("#dialog button[type=submit]").click()


def by_keyboard(page: Page, button: str, fields: dict[str, str]) -> None:
    """From the page's beginning to the button, through the dialog's fields, to its end."""
    past_the_menu(page)
    words, pattern = "document.activeElement?.innerText ?? ''", named(button)
    tab_until(page, lambda: bool(pattern.search(str(page.evaluate(words)).strip())))
    page.keyboard.press("Enter")
    for name, value in fields.items():
        expect(page.locator(f"#dialog [name={name}]")).to_be_visible()
        tab_until(page, lambda wanted=name: page.evaluate("document.activeElement?.name ?? ''") == wanted)
        page.keyboard.type(value)
    submit = "document.activeElement?.matches('#dialog button[type=submit]') ?? false"
    tab_until(page, lambda: bool(page.evaluate(submit)))
    page.keyboard.press("Enter")


HANDS = {"mouse": by_mouse, "keyboard": by_keyboard}
