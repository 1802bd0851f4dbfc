"""An operator at the desk: a headless browser that signs in and clicks, as a person would."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import pyotp
from playwright.sync_api import Page, sync_playwright

BROWSER_OPTIONS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

#: Seconds to look for a finished report.
REPORT_LOOKS = 90


class Desk:
    """One operator's browser window."""

    def __init__(self, page: Page, base: str, pictures: Path | None) -> None:
        self.page = page
        self.base = base.rstrip("/")
        self.pictures = pictures
        self.errors: list[str] = []
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("console", lambda said: self.errors.append(said.text) if said.type == "error" else None)

    def sign_in(self, operator: dict[str, str]) -> None:
        """E-mail and password, then the code of the authenticator."""
        self.page.goto(f"{self.base}/login/")
        self.page.fill("input[name=email]", operator["email"])
        self.page.fill("input[name=password]", operator["password"])
        self.page.locator("#login-form button[type=submit]").click()
        self.page.wait_for_selector("input[name=code]")
        self.page.fill("input[name=code]", pyotp.TOTP(operator["totp_secret"]).now())
        self.page.locator("#code-form button[type=submit]").click()
        self.page.wait_for_url(f"{self.base}/")
        self.picture(f"desk-{operator['role'].lower()}")

    def open(self, path: str) -> None:
        self.page.goto(f"{self.base}{path}")

    def approve(self, order_id: str) -> str:
        """Open the order's page, approve, and return what the page says then."""
        self.open(f"/order_core/order/{order_id}/")
        self.picture("decision")
        self.page.get_by_test_id("approve").click()
        self.page.get_by_test_id("approve-confirm").click()
        self.page.wait_for_load_state("load")
        self.picture("decided")
        return self.page.inner_text("body")

    def verify_customer(self, email: str, *, level: int, reason: str) -> None:
        """Find the customer by e-mail and set the verification level in its dialog."""
        self.open(f"/account/user/?q={email}")
        self.page.get_by_role("link", name=email).first.click()
        self.page.wait_for_load_state("load")
        self.picture("customer")
        self.page.get_by_role("link", name="Verify").first.click()
        self.page.select_option("[name=level]", str(level))
        self.page.fill("[name=reason]", reason)
        self.picture("verify")
        self._submit("reason")
        self.picture("verified")

    def download_report(self, definition: str, file_format: str, as_of: datetime) -> bytes:
        """Ask for a report, wait until a worker has made it, and download it."""
        self.open("/report/reportrun/")
        before = self.page.locator("#result_list tbody tr").count()
        self.page.get_by_role("link", name="New report").first.click()
        self.page.select_option("[name=definition]", definition)
        self.page.select_option("[name=file_format]", file_format)
        self.page.fill("[name=as_of]", as_of.strftime("%Y-%m-%dT%H:%M:%S"))
        self.picture(f"report-ask-{file_format}")
        self._submit("definition")
        newest = self.page.locator("#result_list tbody tr").first
        for _ in range(REPORT_LOOKS):
            self.page.wait_for_timeout(1_000)
            self.open("/report/reportrun/")
            rows = self.page.locator("#result_list tbody tr").count()
            if rows > before and newest.get_by_role("link", name="Download").count():
                break
        self.picture(f"report-{file_format}")
        with self.page.expect_download() as waiting:
            newest.get_by_role("link", name="Download").click()
        return Path(waiting.value.path()).read_bytes()

    def _submit(self, field: str) -> None:
        """Send the form that has ``field``; the page that follows is loaded."""
        with self.page.expect_navigation():
            self.page.locator(f"form:has([name={field}]) [type=submit]").first.click()

    def picture(self, name: str) -> None:
        if self.pictures is not None:
            self.pictures.mkdir(parents=True, exist_ok=True)
            self.page.screenshot(path=str(self.pictures / f"{name}.png"), full_page=True)


@contextmanager
def desk(base: str, pictures: Path | None = None, **context: Any) -> Iterator[Desk]:
    """A fresh window of the system's Chromium; it speaks to nobody but ``base``."""
    executable = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=BROWSER_OPTIONS)
        try:
            page = browser.new_context(viewport={"width": 1440, "height": 1000}, **context).new_page()
            yield Desk(page, base, pictures)
        finally:
            browser.close()
