"""Three languages: nothing of ours is untranslated, and what runs is what is written."""

from __future__ import annotations

import ast
import gettext
import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from django.conf import settings
from django.contrib import admin
from django.test import Client
from django.urls import reverse
from django.utils import translation
from django.utils.functional import Promise

from backoffice.roles import offered, said
from kauri.order_core.models import Screening
from kauri.order_core.screener import Level
from tests.backoffice import scene

CATALOGUE = Path(settings.LOCALE_PATHS[0])
LANGUAGES = ("uk", "ru")
_FIELD = re.compile(r"%\(\w+\)s")
_LINE = re.compile(r'^(msgid|msgid_plural|msgstr(?:\[\d\])?) (".*")$')


def written(language: str) -> dict[str, list[str]]:
    """The .po file: what is translated, and its translation (all plural forms of it)."""
    return entries(CATALOGUE / language / "LC_MESSAGES" / "django.po")


def entries(catalogue: Path) -> dict[str, list[str]]:
    text = catalogue.read_text(encoding="utf-8")
    found: dict[str, list[str]] = {}
    for block in text.split("\n\n"):
        parts: list[list[str]] = []
        for line in block.splitlines():
            if match := _LINE.match(line):
                parts.append([match[1], ast.literal_eval(match[2])])
            elif line.startswith('"'):
                parts[-1][1] += ast.literal_eval(line)
        named = dict(parts[:1])
        if named.get("msgid"):
            found[named["msgid"]] = [value for name, value in parts if name.startswith("msgstr")]
    return found


def compiled(language: str) -> gettext.GNUTranslations:
    with (CATALOGUE / language / "LC_MESSAGES" / "django.mo").open("rb") as file:
        return gettext.GNUTranslations(file)


@pytest.mark.parametrize("language", LANGUAGES)
def test_what_runs_is_what_is_written(language: str) -> None:
    catalogue = compiled(language)
    for source, forms in written(language).items():
        if len(forms) == 1:
            assert catalogue.gettext(source) == forms[0]
        else:
            assert {catalogue.ngettext(source, source, count) for count in range(25)} <= set(forms)


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_word_is_translated_with_its_fields(language: str) -> None:
    for source, forms in written(language).items():
        assert all(form.strip() for form in forms), source
        for form in forms:
            assert sorted(_FIELD.findall(form)) == sorted(_FIELD.findall(source)), source


def test_both_languages_know_the_same_words() -> None:
    assert set(written("uk")) == set(written("ru"))


def test_every_marked_word_is_in_the_catalogue() -> None:
    """Python's ``_("…")`` and the templates' ``translate "…"``; what spans lines is left to the eye."""
    marks = {
        "*.py": re.compile(r'\b_\(\s*("(?:[^"\\]|\\.)+")\s*\)'),
        "*.html": re.compile(r'(?:{% translate |\b_\()("[^"]+")'),
    }
    known = set(written("uk"))
    missing = set()
    for folder in ("kauri", "backoffice", "templates"):
        for pattern, mark in marks.items():
            for path in (settings.BASE_DIR / folder).rglob(pattern):
                found = {ast.literal_eval(word) for word in mark.findall(path.read_text(encoding="utf-8"))}
                missing |= {(str(path.relative_to(settings.BASE_DIR)), word) for word in found - known}
    assert missing == set()


@pytest.mark.parametrize("language", LANGUAGES)
def test_models_are_named_in_the_language(language: str) -> None:
    names: list[object] = []
    for model in admin.site._registry:
        names += [model._meta.verbose_name, model._meta.verbose_name_plural]
        names += [field.verbose_name for field in model._meta.fields]
    marked = [name for name in names if isinstance(name, Promise)]
    with translation.override("en"):
        english = [str(name) for name in marked]
    with translation.override(language):
        shown = [str(name) for name in marked]
    # The words that are the same in every language.
    same = {"API", "nonce", "SHA-256"}
    assert {word for word, source in zip(shown, english, strict=True) if word == source} <= same


@pytest.mark.parametrize(
    ("language", "words"),
    [
        ("uk", ("Виводи на схвалення", "Робочий стіл", "Наступний у черзі", "Сума вища за межу схвалення")),
        ("ru", ("Выводы на одобрение", "Рабочий стол", "Следующий в очереди", "Сумма выше порога одобрения")),
    ],
)
def test_the_decision_reads_in_the_operators_language(
    at_desk: Callable[..., Client], language: str, words: tuple[str, ...]
) -> None:
    scene.provider()
    order = scene.withdrawal(scene.customer("first@example.com", balance="20000"), "12500")
    client = at_desk()
    client.post(reverse("admin:language"), {"language": language, "next": "/"})
    url = reverse("admin:withdrawal_order_withdrawaldetail_change", args=(order.public_id,))
    page = client.get(url).content.decode()
    for word in words:
        assert word in page


@pytest.mark.parametrize("language", ["uk", "ru"])
def test_what_a_role_may_do_is_said_in_the_readers_language(house: None, language: str) -> None:
    """The framework keeps the names of permissions in English alone."""
    with translation.override(language):
        names = {said(permission) for permission in offered()}
    assert len(names) > 150
    foreign = {word for name in names for word in re.findall(r"[A-Za-z]{2,}", name)}
    assert foreign <= {"API", "Telegram"}


@pytest.mark.usefixtures("house")
@pytest.mark.parametrize("language", LANGUAGES)
def test_what_scripts_say_is_said_in_the_readers_language(
    language: str, at_desk: Callable[..., Client]
) -> None:
    """The framework's scripts bring words of their own; what it has not translated is in our catalogue."""
    needed = entries(Path(admin.__file__).parent / "locale" / "en" / "LC_MESSAGES" / "djangojs.po")
    client = at_desk("Auditor")
    client.cookies["django_language"] = language
    script = client.get(reverse("admin:jsi18n")).content.decode()
    start = script.index("{", script.index("newcatalog ="))
    known = json.loads(script[start : script.index("};", start) + 1])
    assert needed.keys() - {key.split("\x04")[-1] for key in known} == set()
    assert known["Choose all %s"] != "Choose all %s"


@pytest.mark.parametrize("language", LANGUAGES)
def test_how_bad_an_analysis_found_it_is_said_in_words(language: str) -> None:
    with translation.override(language):
        said = {level: Screening(level=level).get_level_display() for level in Level}
    assert len(set(said.values())) == len(Level)
    assert not set(said.values()) & set(Level)
