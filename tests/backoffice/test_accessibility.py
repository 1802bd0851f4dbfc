"""axe-core over every kind of page, in both themes: nothing that keeps an operator out of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.urls import reverse
from playwright.sync_api import Page

from compose.local import npm
from kauri.account.models import User
from kauri.core.views import default_choose, view_save
from tests.backoffice import filled, scene
from tests.backoffice.telegram import BotApi
from tests.backoffice.test_lists import _fill
from tests.backoffice.window import Window, shortcut, sign_in
from tests.moves import six_digits

pytestmark = pytest.mark.usefixtures("house")

#: What axe calls the weight of a finding; the lighter two are advice.
_GRAVE = ("serious", "critical")
_LOOK = """async rules => (await axe.run({...rules, resultTypes: ["violations"]})).violations.flatMap(found =>
  found.nodes.map(node => ({rule: found.id, weight: found.impact, where: node.target.join(" "),
    why: (node.any[0] || node.all[0] || node.none[0] || {}).message, html: node.html.slice(0, 160)})))"""

#: All that another theme changes.
_COLOURS = {"runOnly": ["color-contrast"]}
_SWITCH = """dark => {
  document.documentElement.classList.toggle("dark", dark);
  for (const moving of document.getAnimations())
    if (moving.effect.getComputedTiming().endTime !== Infinity) moving.finish();
}"""


@pytest.fixture(scope="session")
def axe() -> Iterator[Path]:
    with npm.callable_npm():
        yield npm.installed("axe", "axe-core/axe.min.js")


@pytest.fixture
def looked(window: Callable[..., Window], axe: Path) -> Window:
    found = window()
    found.page.add_init_script(path=axe)
    return found


def findings(page: Page) -> list[str]:
    """Grave findings of the page as it stands, in both themes."""
    page.wait_for_function("!document.documentElement.hasAttribute('x-cloak')")
    said = []
    for scheme in ("light", "dark"):
        # Pages outside the theme follow the system; those inside have a switch, which sets this class.
        page.emulate_media(color_scheme=scheme)
        page.evaluate(_SWITCH, scheme == "dark")
        rows: list[dict[str, Any]] = page.evaluate(_LOOK, _COLOURS if scheme == "dark" else {})
        said += [
            f"{page.url.partition('/admin')[2]} {scheme} {row['rule']}: {row['where']} | {row['why']} | {row['html']}"
            for row in rows
            if row["weight"] in _GRAVE
        ]
    return said


@pytest.mark.parametrize("app", filled.APPS)
def test_lists_rows_and_forms(app: str, looked: Window) -> None:
    scene.provider()
    _fill(1)
    person = scene.operator("Auditor", "auditor@example.com", scene.PASSWORD)
    person.user.is_superuser = True
    person.user.save()
    sign_in(looked, person)
    said = []
    for model in filled.models_of(app):
        paths = [filled.list_of(model), filled.row_of(model)]
        if filled.may_add(model, person.user):
            paths.append(filled.add_of(model))
        for path in filter(None, paths):
            said += findings(looked.open(path))
    assert "\n".join(said) == ""


def test_the_bar_of_a_list_and_its_dialogs(looked: Window) -> None:
    person = scene.operator("Senior", "senior@example.com", scene.PASSWORD)
    sign_in(looked, person)
    query = "succeeded__exact=1&_cols=seen%2Cemail"
    view = view_save(list_name="account.signin", name="Good ones", query=query, actor=person.user.as_actor())
    default_choose(list_name=view.list_name, view_id=view.public_id, actor=person.user.as_actor())
    said = []
    for path, buttons in (("?_view=all", ("Save this view", "Columns")), ("", ("This view",))):
        for button in buttons:
            page = looked.open(reverse("admin:account_signin_changelist") + path)
            page.get_by_role("button", name=button).click()
            page.wait_for_selector("dialog[open]")
            said += findings(page)
    assert "\n".join(said) == ""


def test_the_way_in(looked: Window) -> None:
    page = looked.open(reverse("admin:login"))
    said = findings(page)
    scene.operator("Auditor", "auditor@example.com", scene.PASSWORD)
    User.objects.create_user(email="new@example.com", password=scene.PASSWORD, is_staff=True)
    for email, field in (("auditor@example.com", "[name=code]"), ("new@example.com", "[data-testid=secret]")):
        page = looked.open(reverse("admin:login"))
        page.fill("[name=email]", email)
        page.fill("[name=password]", scene.PASSWORD)
        page.locator("#login-form button[type=submit]").click()
        page.wait_for_selector(field)
        said += findings(page)
    assert "\n".join(said) == ""


def test_the_desk_its_search_a_dialog_and_a_refusal(looked: Window) -> None:
    scene.provider()
    scene.withdrawal(scene.customer("first@example.com", balance="20000", level=2), "12500")
    scene.house_lives()
    person = scene.operator("Treasury", "treasury-one@example.com", scene.PASSWORD)
    page = sign_in(looked, person)
    said = findings(page)
    shortcut(page, "Control+k")
    page.wait_for_selector("#search-input-command")
    said += findings(page)
    looked.open(reverse("admin:index"))
    page.get_by_test_id("next").click()
    page.get_by_test_id("approve").click()
    page.wait_for_selector("#approve-dialog")
    said += findings(page)
    for path in (reverse("admin:account_user_changelist") + "?q=nobody", "/admin/no-such-page/"):
        said += findings(looked.open(path))
    assert "\n".join(said) == ""


def test_ones_own_telegram(looked: Window, telegram_api: BotApi) -> None:
    """What there is to press, and the link that is shown once."""
    del telegram_api
    person = scene.operator("Treasury", "treasury-one@example.com", scene.PASSWORD)
    page = sign_in(looked, person)
    said = findings(looked.open(reverse("admin:my_telegram")))
    page.get_by_test_id("code").fill(six_digits(person.user))
    page.get_by_test_id("tie").click()
    page.get_by_test_id("link").wait_for()
    said += findings(page)
    assert "\n".join(said) == ""
