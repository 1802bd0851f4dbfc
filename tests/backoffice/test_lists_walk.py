"""A list by keyboard alone: save what is seen, open it, choose columns, export a long list, take the file."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from backoffice import exports as short
from kauri.account.models import SignIn
from kauri.common import clock
from kauri.common.admin import list_url
from kauri.core.models import SavedView
from kauri.report import exports
from kauri.report.models import ListExport
from tests.backoffice import scene
from tests.backoffice.window import Window, sign_in

pytestmark = pytest.mark.usefixtures("house")
ROWS = 40


def reach(page: Page, target: Locator, key: str = "Tab") -> None:
    """Press a key until the focus is there."""
    for _ in range(150):
        if target.evaluate("node => node === document.activeElement"):
            return
        page.keyboard.press(key)
    raise AssertionError(f"no way by keyboard to {target}")


def choose_columns(page: Page) -> None:
    """The first goes down one place, the third goes away."""
    reach(page, page.get_by_role("button", name="Columns"))
    page.keyboard.press("Enter")
    rows = page.locator(".k-choose li")
    expect(rows.nth(0).locator("input")).to_be_focused()
    down = page.get_by_role("button", name="When: to the right")
    reach(page, down)
    page.keyboard.press("Enter")
    expect(rows.nth(1)).to_contain_text("When")
    expect(down).to_be_focused()
    box = page.locator(".k-choose input[value=door]")
    reach(page, box)
    page.keyboard.press("Space")
    reach(page, page.get_by_test_id("choose-columns"))
    page.keyboard.press("Enter")
    expect(page.locator("body")).to_contain_text("The columns are chosen.")
    titles = [text.strip() for text in page.locator("#result_list thead th").all_inner_texts()]
    assert [title.lower() for title in titles if title] == [
        "e-mail given",
        "when",
        "result",
        "address",
        "device",
    ]


@pytest.fixture
def auditor() -> scene.Person:
    SignIn.objects.bulk_create(
        SignIn(
            email=f"n{number}@example.com",
            door="api",
            succeeded=number % 2 == 0,
            ip="198.51.100.7",
            at=clock.now(),
        )
        for number in range(ROWS)
    )
    return scene.operator("Finance", "finance-one@example.com", scene.PASSWORD)


def test_save_open_choose_export_and_take(
    window: Callable[..., Window], auditor: scene.Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(short, "DIRECT_ROWS", 10)
    monkeypatch.setattr(exports, "TURN", 0)
    monkeypatch.setattr(exports, "_CHUNK", 10)
    found = window(accept_downloads=True)
    page = sign_in(found, auditor)
    page = found.open(f"{list_url(SignIn)}?succeeded__exact=0")
    page.wait_for_load_state("networkidle")
    opener = page.get_by_role("button", name="Save this view")
    reach(page, opener)
    page.keyboard.press("Enter")
    expect(page.locator("#id_save-name")).to_be_focused()
    page.keyboard.type("Failed ones")
    page.keyboard.press("Enter")
    expect(page.locator("body")).to_contain_text("The view is saved.")
    expect(page.get_by_test_id("view")).to_have_attribute("aria-current", "page")
    # Away, and back by the view's link.
    page = found.open(list_url(SignIn))
    tab = page.get_by_role("link", name="Failed ones")
    reach(page, tab)
    page.keyboard.press("Enter")
    page.wait_for_url("**succeeded__exact=0**")
    expect(page.locator("#result_list tbody tr")).to_have_count(ROWS // 2)
    choose_columns(page)
    # The list is long for this test: a worker makes the file.
    reach(page, page.get_by_role("button", name="CSV"))
    page.keyboard.press("Enter")
    expect(page.locator("body")).to_contain_text("a worker writes the file")
    export = ListExport.objects.get()
    exports.export_write(export.pk, 0)
    # The page looks again by itself.
    expect(page.locator("progress")).to_have_attribute("value", "50", timeout=30_000)
    exports.export_write(export.pk, 10)
    link = page.get_by_role("link", name="Download", exact=True)
    expect(link).to_be_visible(timeout=30_000)
    reach(page, link)
    with page.expect_download() as waiting:
        page.keyboard.press("Enter")
    text = Path(waiting.value.path()).read_text(encoding="utf-8-sig")
    rows_of = list(csv.reader(io.StringIO(text, newline="")))
    assert rows_of[0] == ["E-mail given", "When", "Result", "Address", "Device"]
    assert len(rows_of) == ROWS // 2 + 1
    assert SavedView.objects.get().name == "Failed ones"
    assert found.complaints == []
