"""A browser window, and the way into the house by keyboard."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from django.urls import reverse
from django_otp.oath import TOTP
from playwright.sync_api import Page, expect

from kauri.account.models import TOTPDevice
from tests.backoffice import scene

#: A loaded machine is slow, not wrong.
expect.set_options(timeout=30_000)


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
