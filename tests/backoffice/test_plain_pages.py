"""What is not found, and what fails, is said in words of the house and of the reader's language."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from backoffice import dashboard

MISSING = {
    "en": "There is no such page",
    "uk": "Такої сторінки немає",
    "ru": "Такой страницы нет",
}
BROKEN = {
    "en": "Something went wrong here",
    "uk": "Тут щось пішло не так",
    "ru": "Здесь что-то пошло не так",
}


@pytest.mark.parametrize("language", MISSING)
def test_an_address_that_leads_nowhere(at_desk: Callable[..., Client], language: str) -> None:
    client = at_desk()
    client.cookies["django_language"] = language
    answer = client.get("/no-such-page/")
    assert answer.status_code == 404
    assert MISSING[language] in answer.content.decode()
    assert f'<html lang="{language}">' in answer.content.decode()
    assert Client().get("/api/v1/no-such-call").headers["content-type"].startswith("application/json")


@pytest.mark.parametrize("language", BROKEN)
def test_a_page_that_fails(
    at_desk: Callable[..., Client], monkeypatch: pytest.MonkeyPatch, language: str
) -> None:
    def fail(request: Any) -> None:
        raise RuntimeError("a secret of the house")

    monkeypatch.setattr(dashboard, "figures", fail)
    client = at_desk()
    client.raise_request_exception = False
    client.cookies["django_language"] = language
    answer = client.get(reverse("admin:desk"))
    assert answer.status_code == 500
    assert BROKEN[language] in answer.content.decode()
    assert "secret" not in answer.content.decode()
    assert answer.headers["X-Request-Id"]
    assert "script-src" in answer.headers["Content-Security-Policy"]
