"""What a page's header calls what it shows: a name that people say, in their language."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from django.contrib.auth.models import Group
from django.test import Client
from django.urls import reverse

from kauri.common.actor import SYSTEM
from kauri.core.audit import audit
from tests.backoffice import scene

HEADER = re.compile(r'tracking-tight">(.*?)</(?:a|span)>')


def header(client: Client, url: str) -> list[str]:
    answer = client.get(url)
    assert answer.status_code == 200
    return HEADER.findall(answer.content.decode())


def page_of(row: object, key: object) -> str:
    options = row._meta  # type: ignore[attr-defined]
    return reverse(f"admin:{options.app_label}_{options.model_name}_change", args=(key,))


@pytest.mark.parametrize(
    ("language", "words"),
    [
        ("en", ("Roles", "Audit", "Account disabled")),
        ("uk", ("Ролі", "Аудит", "Обліковий запис вимкнено")),
        ("ru", ("Роли", "Аудит", "Учётная запись отключена")),
    ],
)
def test_a_header_says_what_people_say(
    at_desk: Callable[..., Client], language: str, words: tuple[str, str, str]
) -> None:
    scene.provider()
    order = scene.withdrawal(scene.customer("first@example.com", balance="9000"), "2000")
    client = at_desk("Auditor")
    client.cookies["django_language"] = language
    role = Group.objects.get(name="Treasury")
    assert header(client, page_of(role, role.pk)) == [words[0], "Treasury"]
    entry = audit(SYSTEM, "account_disable", object_type="user", object_id=1, label="first@example.com")
    assert header(client, page_of(entry, entry.pk)) == [words[1], f"{words[2]} · first@example.com"]
    # The id is on the page, whole; the header has room for its head and its tail.
    name = str(order.public_id)
    assert header(client, page_of(order.withdrawal, name))[-1] == f"{name[:6]}…{name[-8:]}"


def test_operators_have_a_screen_of_their_own(at_desk: Callable[..., Client]) -> None:
    client = at_desk("Administrator")
    support, customer = scene.operator("Support").user, scene.customer("first@example.com")
    assert header(client, page_of(support, support.public_id)) == ["Operators", support.email]
    assert header(client, page_of(customer, customer.public_id)) == ["Customers", customer.email]
    lists = reverse("admin:account_user_changelist")
    assert header(client, f"{lists}?who=operators") == ["Operators"]
    assert header(client, lists) == ["Customers"]
    shown = client.get(page_of(support, support.public_id)).content.decode()
    assert f'href="{lists}?who=operators" class="align-middle' in shown
