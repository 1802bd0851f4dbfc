"""How people go through a list: on and back, with its filter and search; what can't be sorted, isn't."""

from __future__ import annotations

import html
import re
from collections.abc import Callable

import pytest
from django.test import Client
from django.urls import reverse

from kauri.account.models import SignIn, User
from kauri.common import clock
from kauri.common.admin import HouseAdmin
from kauri.core.models import AuditEntry, Currency
from kauri.order_core.models import Order
from tests.backoffice import scene

AtDesk = Callable[..., Client]
LINK = re.compile(r'<a href="(\?[^"]*)"[^>]*>(First page|Previous|Next)</a>')
PEOPLE = reverse("admin:account_user_changelist")
#: Registered together, so that only their ids tell them apart.
NAMES = [f"person{number}@example.com" for number in range(8)]


@pytest.fixture
def people(house: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(HouseAdmin, "list_per_page", 3)
    now = clock.now()
    User.objects.bulk_create(
        User(email=name, created_at=now, verification_level=number % 2) for number, name in enumerate(NAMES)
    )


def shown(page: str) -> list[str]:
    return list(dict.fromkeys(re.findall(r"person\d@example\.com", page)))


def links(page: str) -> dict[str, str]:
    return {title: html.unescape(url) for url, title in LINK.findall(page)}


def get(client: Client, url: str) -> str:
    response = client.get(url)
    assert response.status_code == 200, url
    return response.content.decode()


@pytest.mark.usefixtures("people")
@pytest.mark.parametrize("query", ["", "?o=-6", "?verification_level=1", "?created_at_from_0=2020-01-01"])
def test_there_and_back(at_desk: AtDesk, query: str) -> None:
    client = at_desk("Auditor")
    found, page = [], get(client, PEOPLE + query)
    assert set(links(page)) == {"Next"}
    pages = [shown(page)]
    while "Next" in links(page):
        page = get(client, PEOPLE + links(page)["Next"])
        pages.append(shown(page))
        assert {"First page", "Previous"} <= set(links(page))
    found = [name for one in pages for name in one]
    assert sorted(found) == sorted(name for name in NAMES if "level" not in query or int(name[6]) % 2)
    back = []
    while "Previous" in links(page):
        page = get(client, PEOPLE + links(page)["Previous"])
        back.append(shown(page))
    assert back == pages[-2::-1]
    assert shown(get(client, PEOPLE + query)) == pages[0]


@pytest.mark.usefixtures("people")
def test_links_keep_what_is_filtered_and_filters_begin_at_the_head(at_desk: AtDesk) -> None:
    client = at_desk("Auditor")
    second = links(get(client, f"{PEOPLE}?verification_level=1"))["Next"]
    assert "verification_level=1" in second
    page = get(client, PEOPLE + second)
    assert "after=" in second
    assert [
        url for url in re.findall(r'href="(\?[^"]*)"', page) if "after=" in url and "level" not in url
    ] == []
    assert links(page)["First page"] == "?verification_level=1"


@pytest.mark.usefixtures("people")
def test_how_many_there_are(at_desk: AtDesk, monkeypatch: pytest.MonkeyPatch) -> None:
    client = at_desk("Auditor")
    assert re.search(r"Rows: about \d+", get(client, PEOPLE))
    monkeypatch.setattr(HouseAdmin, "list_per_page", 50)
    assert "Rows: 8<" in get(client, PEOPLE)
    assert "Rows: 0<" in get(client, f"{PEOPLE}?q=nobody@example.com")


@pytest.mark.usefixtures("people")
@pytest.mark.parametrize("mark", ["after=x", "before=WyJhIl0", "after=WyIxIiwiMiIsIjMiXQ"])
def test_a_link_that_is_none_of_ours_leads_to_the_list(at_desk: AtDesk, mark: str) -> None:
    response = at_desk("Auditor").get(f"{PEOPLE}?{mark}")
    assert (response.status_code, response.url) == (302, f"{PEOPLE}?e=1")


@pytest.mark.usefixtures("people")
def test_what_has_no_index_is_not_sorted_by(at_desk: AtDesk) -> None:
    client = at_desk("Auditor")
    page = get(client, PEOPLE)
    assert "?o=0" in page  # e-mail: unique
    assert "?o=1" not in page  # name: indexed in part only
    assert shown(get(client, f"{PEOPLE}?o=1")) == shown(page)
    assert shown(get(client, f"{PEOPLE}?o=0")) == NAMES[:3]
    assert shown(get(client, f"{PEOPLE}?o=-0")) == NAMES[:-4:-1]


def test_few_rows_are_sorted_by_anything(at_desk: AtDesk) -> None:
    page = get(at_desk("Auditor"), reverse("admin:core_currency_changelist"))
    assert "?o=2" in page
    assert Currency.objects.count() == 7


def test_a_period_is_read_newest_first(at_desk: AtDesk, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the moment itself: an older row that was written later does not come first."""
    monkeypatch.setattr(HouseAdmin, "list_per_page", 2)
    for hour in (3, 1, 4, 2):
        SignIn.objects.create(
            email=f"hour{hour}@example.com", door="api", succeeded=True, at=f"2026-11-20T0{hour}:00:00Z"
        )
    client, url = at_desk("Auditor"), reverse("admin:account_signin_changelist")
    page = get(client, f"{url}?at_from_0=2026-11-20&at_to_0=2026-11-20")
    assert re.findall(r"hour(\d)@", page) == ["4", "3"]
    assert re.findall(r"hour(\d)@", get(client, url + links(page)["Next"])) == ["2", "1"]


def test_an_audited_act_is_found_by_its_whole_name(at_desk: AtDesk) -> None:
    scene.provider()
    client, url = at_desk("Auditor"), reverse("admin:core_auditentry_changelist")
    scene.customer("somebody@example.com")
    AuditEntry.objects.create(
        at=clock.now(),
        verb="note_add",
        object_type="order",
        object_id="the-order",
        actor_kind="system",
        actor_id="0",
        actor_label="system",
    )
    assert "the-order" in get(client, f"{url}?verb__exact=note_add")
    assert "the-order" not in get(client, f"{url}?verb__exact=note")
    assert not Order.objects.exists()
