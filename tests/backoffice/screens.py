"""``make screenshots``: a picture of every page, in each language, theme and width, and what no picture shows.

Not one of the tests (its name says so to pytest): it takes a quarter of an hour and leaves pictures to
look at. It fails on a complaint of the browser, a foreign host, a page wider than its window, an inline
script that the policy would allow, and English left on a page of another language.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import polib
import pytest
from django.urls import reverse
from django.utils.html import escape

from backoffice.settings.env import ROOT
from tests.backoffice import filled, scene
from tests.backoffice.test_lists import _fill
from tests.backoffice.window import Window, shortcut, sign_in

pytestmark = [pytest.mark.usefixtures("house"), pytest.mark.timeout(0)]

OUT = Path(os.environ.get("SCREENS_DIR", ROOT / ".kauri" / "screens"))
#: A desk and a tablet.
WIDTHS = (1440, 1024)
#: Titles of rows (switches): data that the house may rename, not words of ours.
_DATA = {"Withdrawals"}
_WORDS = """() => {
  const found = new Set(), walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) if (!walk.currentNode.parentElement.closest("script, style, code, pre, .material-symbols-outlined, [lang]:not(html)"))
    found.add(walk.currentNode.textContent.trim());
  return [...found];
}"""
_OVERFLOW = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
_SWITCH = 'dark => document.documentElement.classList.toggle("dark", dark)'


def english(language: str) -> set[str]:
    """What has another form in ``language``, so that its English is not to be seen there.

    Labels and sentences, that is: a small single word is as likely a code, which every language shows alike.
    """
    if language == "en":
        return set()
    catalogue = polib.pofile(str(ROOT / "templates" / "locale" / language / "LC_MESSAGES" / "django.po"))
    said = {row.msgid for row in catalogue if row.msgstr and row.msgstr != row.msgid} - _DATA
    return {text for text in said if " " in text or not text.islower()}


@dataclass
class Walk:
    """One language's way through the house."""

    found: Window
    language: str
    faults: list[str] = field(default_factory=list)
    pictures: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.foreign = english(self.language)
        (OUT / self.language).mkdir(parents=True, exist_ok=True)

    def open(self, path: str, name: str) -> None:
        answer = self.found.page.goto(f"{self.found.base}{path}")
        assert answer is not None
        # A refusal outside the theme has a policy too.
        policy = answer.header_value("content-security-policy") or ""
        scripts = next((part for part in policy.split(";") if part.strip().startswith("script-src")), "")
        if not scripts or "unsafe-inline" in scripts:
            self.faults.append(f"{path}: {scripts or 'no policy for scripts'}")
        self.take(name)

    def take(self, name: str) -> None:
        """Pictures of the page as it stands: each width, each theme."""
        page = self.found.page
        page.wait_for_function("!document.documentElement.hasAttribute('x-cloak')")
        said = sorted(self.foreign.intersection(page.evaluate(_WORDS)))
        self.faults += [f"{name}: in English: {words}" for words in said]
        for width in WIDTHS:
            page.set_viewport_size({"width": width, "height": 1000})
            if (over := page.evaluate(_OVERFLOW)) > 0:
                self.faults.append(f"{name}: {over} px wider than {width}")
            for scheme in ("light", "dark"):
                page.emulate_media(color_scheme=scheme)
                page.evaluate(_SWITCH, scheme == "dark")
                file = f"{self.language}/{re.sub('[^a-z0-9]+', '-', name.lower())}-{width}-{scheme}.png"
                page.screenshot(path=OUT / file, full_page=True, animations="disabled")
                self.pictures.append(file)
        page.emulate_media(color_scheme="light")
        page.evaluate(_SWITCH, False)


def sign_in_seen(walk: Walk, person: scene.Person) -> None:
    walk.open(reverse("admin:login"), "sign in")
    page = walk.found.page
    page.fill("[name=email]", person.user.email)
    page.fill("[name=password]", scene.PASSWORD)
    page.locator("#login-form button[type=submit]").click()
    page.wait_for_selector("[name=code]")
    walk.take("sign in, code")
    sign_in(walk.found, person)


def decisions_seen(walk: Walk) -> None:
    """The dialogs of the page on which money is decided."""
    order = scene.withdrawal(scene.customer("decided@example.com", balance="20000", level=2), "12500")
    path = reverse("admin:withdrawal_order_withdrawaldetail_change", args=(order.public_id,))
    for key, name in (("", "decision"), ("a", "approve"), ("r", "reject"), ("n", "note")):
        walk.found.open(path)
        if key:
            shortcut(walk.found.page, key)
        walk.take(f"decision {name}")


@pytest.mark.parametrize("language", ["uk", "ru", "en"])
def test_every_page(language: str, window: Callable[..., Window]) -> None:
    scene.provider()
    person = scene.operator("Auditor", "auditor@example.com", scene.PASSWORD)
    person.user.is_superuser = True
    person.user.save()
    walk = Walk(window(locale=language), language)
    sign_in_seen(walk, person)
    walk.take("desk empty")
    for model in filled.MODELS:
        walk.open(filled.list_of(model), f"{model._meta.label} empty")
    _fill(1)
    _fill(2)
    walk.open(reverse("admin:index"), "desk")
    walk.open(reverse("admin:my_telegram"), "my telegram")
    for model in filled.MODELS:
        walk.open(filled.list_of(model), f"{model._meta.label} list")
        if path := filled.row_of(model):
            walk.open(path, f"{model._meta.label} row")
        if filled.may_add(model, person.user):
            walk.open(filled.add_of(model), f"{model._meta.label} add")
    decisions_seen(walk)
    complaints = list(walk.found.complaints)
    walk.open("/no-such-page/", "error 404")  # the browser says 404 aloud, and means no harm
    index(walk)
    assert complaints == []
    assert walk.found.hosts == {walk.found.base.split("/")[2]}
    assert "\n".join(walk.faults) == ""


def index(walk: Walk) -> None:
    rows = "".join(
        f'<figure><a href="{escape(file)}"><img loading="lazy" width="360" src="{escape(file)}"></a>'
        f"<figcaption>{escape(file)}</figcaption></figure>"
        for file in walk.pictures
    )
    text = f'<!DOCTYPE html><meta charset="utf-8"><title>Kauri {walk.language}</title><style>body{{display:flex;flex-wrap:wrap}}</style>{rows}'
    (OUT / f"{walk.language}.html").write_text(text, encoding="utf-8")
